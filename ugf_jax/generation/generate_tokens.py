"""Prompts to tokens: text, master codes of images, or both as the model decides.

    generator = TokenGenerator(settings, vocabulary, params)
    generator.generate([Request(prompt, seed=1, size=(40, 24))], GenerationSettings(guidance=3.0), mode="draw", samples=4)

Where a conversation goes on after an image that the model has drawn, the caller adds that image's auxiliary codes:

    run = generator.start(requests, how, mode="free", limit=500)
    while run.advance():
        run.remember({row: details(image) for row, image in run.waiting().items()})
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import POSITIVE, setting
from ugf_jax.data.documents import Document
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation import decode_loop
from ugf_jax.generation.decode_loop import Decoding, How, Program
from ugf_jax.generation.defaults import GUIDANCE, TEMPERATURE
from ugf_jax.generation.grammar import MODES, WAITING, Grammar
from ugf_jax.generation.kept_memory import KeptMemory, keep, keep_more
from ugf_jax.generation.layout import DecodeWeights, decode_weights
from ugf_jax.generation.requests import (
    Request,
    check,
    crop_arrays,
    memory_arrays,
    prompt_arrays,
    round_rows,
)
from ugf_jax.generation.row_grammar import make_grammar
from ugf_jax.generation.sampling import Sampling, SamplingSettings
from ugf_jax.models.fusion import Continuous, FusionSettings, Tokens
from ugf_jax.models.fusion_block import Memory
from ugf_jax.models.memory import MemoryEncoder
from ugf_jax.models.vision import Adapter, VisionTower
from ugf_jax.training.stages.tokenizer import to_float

CHUNK = 4  # tokens between two looks at what is streamed
ROOM, GROWTH = 64, 4  # tokens that there is room for at first, and times as many when they are used: each is a compilation
UNLIMITED = 2**30


@dataclasses.dataclass(frozen=True)
class GenerationSettings:
    """How tokens are chosen, of text and of images apart."""

    text: SamplingSettings = setting(SamplingSettings())
    image: SamplingSettings = setting(SamplingSettings(TEMPERATURE))
    guidance: float = setting(GUIDANCE, POSITIVE, "how far master codes are moved away from those without a prompt; 1: not")


@dataclasses.dataclass(frozen=True, eq=False)
class Generated:
    """What was chosen, for each request its samples one after the other.

    Attributes:
      tokens: int32 `[rows, longest]`, PAD behind what a row has.
      lengths: int32 `[rows]`.
      log_probabilities: float32 `[rows, longest]`, of each token under the distribution that it was drawn from: guided, masked,
        at its temperature, cut; 0 where it was certain or forced.
      ended: bool `[rows]`: the row is whole. False: cut at the limit, or stopped before its end.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probabilities: np.ndarray
    ended: np.ndarray

    def row(self, number: int) -> np.ndarray:
        """int32 `[n]`, the tokens of a row."""
        return self.tokens[number, : self.lengths[number]]


class TokenGenerator:
    """A trained transformer, converted once for decoding.

    Attributes:
      settings: of the model.
      vocabulary: of the model.
      weights: in the layout of decoding.
    """

    def __init__(self, settings: FusionSettings, vocabulary: VocabularySettings, params: Mapping[str, Any]):
        """From the parameters of a `FusionTransformer`."""
        self.settings, self.vocabulary = settings, vocabulary
        self.weights = _convert(settings, params)
        self._memory_params = params.get("memory")
        self._tower = {name: params[name] for name in ("vision", "adapter")} if "vision" in params else None
        self._by_window: dict[tuple[int, int], DecodeWeights] = {}

    def generate(
        self,
        requests: Sequence[Request],
        how: GenerationSettings,
        mode: str,
        limit: int = 0,
        samples: int = 1,
    ) -> Generated:
        """Runs to the end; see `start`. In mode "free" nothing is remembered of an image but its master codes."""
        run = self.start(requests, how, mode, limit, samples)
        while run.advance():
            run.remember({})
        return run.result()

    def start(
        self,
        requests: Sequence[Request],
        how: GenerationSettings,
        mode: str,
        limit: int = 0,
        samples: int = 1,
    ) -> "Run":
        """Reads the prompts.

        Args:
          requests: any lengths and sizes together.
          how: how tokens are chosen.
          mode: "draw": one image, then END. "text": text until END. "free": text and images as the model decides.
          limit: most tokens of a row, those of images included; not read in mode "draw", where it follows from the grid.
          samples: of each request; all share its prompt and its memory.

        Raises:
          InputError: an unknown mode, no limit where one is wanted, or a request that `requests.check` refuses.
        """
        check(requests, self.vocabulary)
        if mode not in MODES:
            raise InputError(f"mode is '{mode}'; want one of {', '.join(MODES)}")
        grammar = make_grammar(self.vocabulary, self.settings.grid, mode)
        if mode == "draw":
            limit = max(grammar.length(request.size) for request in requests) + 1
        if limit < 1 or samples < 1:
            raise InputError(f"limit is {limit} and samples {samples}; want both at least 1")
        used = {"draw": (how.image,), "text": (how.text,), "free": (how.text, how.image)}[mode]
        program = Program(
            self.settings,
            grammar,
            guided=mode != "text" and how.guidance != 1,
            cut=any(s.top_k or s.top_p < 1 for s in used),
            certain=all(s.temperature == 0 for s in used),
        )
        return Run(self, program, requests, _numbers(how), limit, samples)

    def weights_for(self, grammar: Grammar) -> DecodeWeights:
        """The weights with the part of the head that a grammar chooses from."""
        if grammar.window not in self._by_window:
            head = self.weights.head[:, slice(*grammar.window)]
            self._by_window[grammar.window] = dataclasses.replace(self.weights, head=head)
        return self._by_window[grammar.window]

    def memory(self, arrays: Mapping[str, np.ndarray]) -> KeptMemory | None:
        """Keys and values of the auxiliary codes `aux_…` of `collate`; None where the model or the arrays have none."""
        if self._memory_params is None or not arrays["aux_segments"].any():
            return None
        own = {name: jnp.asarray(x) for name, x in arrays.items() if name.startswith("aux_")}
        return _keep(self.settings, self.weights, self._memory_params, own)

    def see(self, prompts: Sequence[Document], length: int) -> Continuous | None:
        """Features of what the vision tower sees in prompts `[prompts, length]`, aligned to the right; None: it sees nothing.

        Raises:
          InputError: a prompt has crops and the model no tower.
        """
        if all(prompt.crops is None for prompt in prompts):
            return None
        if self._tower is None or not self.settings.vision:
            raise InputError("a prompt with crops for a vision tower; this model has none")
        crops, sources = crop_arrays(prompts, length)
        return _see(self.settings, self._tower, jnp.asarray(crops), jnp.asarray(sources))


class Run:
    """A batch that is being decoded."""

    def __init__(
        self,
        generator: TokenGenerator,
        program: Program,
        requests: Sequence[Request],
        how: How,
        limit: int,
        samples: int,
    ):
        """Reads the prompts; made by `TokenGenerator.start`."""
        self._generator, self._program, self._how = generator, program, how
        self._real = len(requests) * samples
        padded = [*requests, *[requests[-1]] * (round_rows(len(requests)) - len(requests))]
        self._groups = generator.settings.memory.groups if generator.settings.cross_every else 0
        arrays = prompt_arrays([r.prompt for r in padded], self._groups, generator.vocabulary.pad)
        self._memory = generator.memory(arrays)
        self._remembered = np.repeat(arrays["aux_segments"].sum(axis=1, dtype=np.int32), samples)
        left = np.repeat(np.where(np.arange(len(padded)) < len(requests), limit, 0), samples)
        size = [np.repeat([generator.vocabulary.size_token(r.size[i]) for r in padded], samples) for i in range(2)]
        rows = program.grammar.start(*(jnp.asarray(x, jnp.int32) for x in (left, *size)))
        seeds = jnp.asarray(np.array([r.seed for r in padded], np.uint32))
        self._state: Decoding = decode_loop.begin(
            generator.settings,
            samples,
            program.contexts,
            limit if program.grammar.mode == "draw" else ROOM,
            generator.weights,
            Tokens.of({n: jnp.asarray(arrays[n]) for n in ("tokens", "segments", "positions", "cells")}),
            self._memory,
            rows,
            _row_keys(seeds, samples),
            generator.see([r.prompt for r in padded], arrays["tokens"].shape[1]),
        )

    def advance(self, steps: int | None = None) -> bool:
        """Decodes on, at most `steps` tokens of each row; default: to the end, or until rows wait.

        Returns:
          whether there is more to do: rows wait for `remember`, or `steps` were not enough.
        """
        weights = self._generator.weights_for(self._program.grammar)
        left = UNLIMITED if steps is None else steps
        while True:
            before = int(self._state.slot)
            most = jnp.int32(left)
            self._state = decode_loop.advance(self._program, weights, self._memory, self._how, self._state, most)
            left -= int(self._state.slot) - before
            active = bool(np.asarray(self._state.rows.active).any())
            waiting = bool(self._waits().any())
            if not left or waiting or not active:
                return active or waiting
            self._state = decode_loop.grow(self._state, (GROWTH - 1) * self._state.tokens.shape[1])

    def _waits(self) -> np.ndarray:
        """Which rows wait, bool `[rows]`."""
        return np.asarray(self._state.rows.phase)[: self._real] == WAITING

    def waiting(self) -> dict[int, np.ndarray]:
        """Rows that have just drawn an image and go on after it: its master codes int32 `[grid, grid]` by row."""
        result, grammar = self.result(), self._program.grammar
        waiting = np.flatnonzero(self._waits()).tolist()
        return {row: grammar.images(result.row(row))[-1] for row in waiting}

    def remember(self, images: Mapping[int, ImageCodes]) -> None:
        """Lets rows that wait go on, with the auxiliary codes of the images that they have drawn, for those given."""
        if images and self._groups:
            releases = np.asarray(self._state.positions)  # EOI, which is pending, is the first token to see the image
            found = {row: (codes, int(releases[row])) for row, codes in images.items()}
            self._add_memory(memory_arrays(found, len(self._remembered), self._groups))
        self._state = decode_loop.go_on(self._program, self._state)

    def _add_memory(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds `memory_arrays` to what each row has."""
        more = self._generator.memory(arrays)
        if more is not None and self._memory is not None:
            room = self._memory.releases.shape[1] - 1
            while room < int(np.max(self._remembered)) + arrays["aux_segments"].shape[1]:
                room *= 2  # each room is a compilation
            more = keep_more(self._memory, more, jnp.asarray(self._remembered), room)
        self._memory = more if more is not None else self._memory
        self._remembered = self._remembered + arrays["aux_segments"].sum(axis=1, dtype=np.int32)

    def result(self) -> Generated:
        """What there is so far."""
        state, words = self._state, self._program.grammar.vocabulary
        lengths = np.asarray(state.lengths)[: self._real]
        longest = int(lengths.max())
        there = np.arange(longest) < lengths[:, None]
        tokens = np.where(there, np.asarray(state.tokens)[: self._real, :longest], words.pad).astype(np.int32)
        ended = np.any(tokens == words.end, axis=1)  # nothing comes after it
        return Generated(tokens, lengths, np.asarray(state.log_probabilities)[: self._real, :longest], ended)

    def stream(self, chunk: int = CHUNK) -> Iterator[list[np.ndarray]]:
        """Decodes to the end, or to the next image that is waited for, and yields new tokens on the way.

        Args:
          chunk: tokens at a time.

        Yields:
          for each row its new tokens int32 `[n]`.
        """
        told = self.result().lengths
        while True:
            more = self.advance(chunk)
            now = self.result()
            yield [now.row(i)[told[i] :] for i in range(len(told))]
            told = now.lengths
            if not more or self._waits().any():
                return


def _numbers(how: GenerationSettings) -> How:
    return How(Sampling.of(how.text), Sampling.of(how.image), jnp.float32(how.guidance))


@functools.partial(jax.jit, static_argnums=0)
def _convert(settings: FusionSettings, params: Mapping[str, Any]) -> DecodeWeights:
    return decode_weights(settings, params)


@functools.partial(jax.jit, static_argnums=0)
def _keep(settings: FusionSettings, weights: DecodeWeights, params: Any, arrays: Mapping[str, jax.Array]) -> KeptMemory:
    encoder = MemoryEncoder(settings.memory, settings.block.dtype)
    segments, releases = arrays["aux_segments"], arrays["aux_releases"]
    places, levels = arrays["aux_places"], arrays["aux_levels"]
    values = encoder.apply({"params": params}, arrays["aux_codes"], places, levels, segments, releases)
    assert isinstance(values, jax.Array)
    return keep(settings, weights, Memory(values, segments, releases))


@functools.partial(jax.jit, static_argnums=0)
def _see(settings: FusionSettings, params: Any, crops: jax.Array, sources: jax.Array) -> Continuous:
    assert settings.vision
    features = VisionTower(settings.vision).apply({"params": params["vision"]}, to_float(crops.reshape(-1, *crops.shape[2:])))
    values = Adapter(settings.width, settings.block.dtype).apply({"params": params["adapter"]}, features)
    assert isinstance(values, jax.Array)
    return Continuous(values.reshape(len(crops), -1, settings.width), sources)


@functools.partial(jax.jit, static_argnums=1)
def _row_keys(seeds: jax.Array, samples: int) -> jax.Array:
    """A random key for each sample of each seed uint32 `[prompts]`; the first sample of a seed is the same, however many."""

    def of_prompt(seed: jax.Array) -> jax.Array:
        return jax.vmap(lambda sample: jax.random.fold_in(jax.random.key(seed), sample))(jnp.arange(samples))

    return jax.vmap(of_prompt)(seeds).reshape(-1)
