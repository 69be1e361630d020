"""UniToken for users: batches of prompts, several images each, any size, answers as they come."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.conversation import Turn, conversation
from ugf_jax.data.unitoken.cropping import Size, best_size, crop, crop_sizes
from ugf_jax.data.unitoken.layout import Seen, read_images
from ugf_jax.data.unitoken.prepared import REQUEST
from ugf_jax.data.unitoken.vocabulary import CODES_A_GRID
from ugf_jax.generation.generate_tokens import GenerationSettings, Run, TokenGenerator
from ugf_jax.generation.image_coder import resize
from ugf_jax.generation.pictures import Picture, to_array
from ugf_jax.generation.requests import Request
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.interop.unitoken.weights import Parts, read_unitoken

MARK = "<|image|>"
DRAW = GenerationSettings(image=SamplingSettings(top_k=2000), guidance=3.0)
ANSWER = GenerationSettings(text=SamplingSettings(temperature=0.0), image=SamplingSettings(temperature=0.0))
Conversation = Sequence[Turn]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What the model said.

    Attributes:
      text: with `<|image|>` for each image.
      images: uint8 `[height, width, 3]` each.
      tokens: int32 `[n]`, as they were chosen.
    """

    text: str
    images: list[np.ndarray]
    tokens: np.ndarray


class UniToken:
    """A UniToken that draws and answers.

    Attributes:
      parts: transformer, tokenizers and ids.
      step: pixels a side of the grids that size tokens count.
      sizes: `(height, width)` of images that it reads and draws; others are cropped, or resized, to or from the nearest.
      vision: crops for its tower; None where it has none.
    """

    def __init__(self, parts: Parts, target: int = 512, sizes: Sequence[Size] = ()):
        """From its parts; see `load`."""
        self.parts = parts
        self.step = CODES_A_GRID * parts.images.patch
        self.sizes = list(sizes) or crop_sizes(target, step=self.step)
        tower = parts.settings.vision
        self.vision = anyres_of(tower.image_size, tower.patch) if tower else None
        self.generator = TokenGenerator(parts.settings, parts.vocabulary, parts.params)

    @classmethod
    def load(cls, path: str | os.PathLike[str], dtype: str = "bfloat16", target: int = 512, vqgan: str = "") -> Self:
        """Reads a published UniToken; see `read_unitoken`."""
        return cls(read_unitoken(path, dtype, vqgan), target)

    def encode(self, image: Picture, sizes: Sequence[Size] = ()) -> Seen:
        """An image as documents have it: cropped to one of `sizes` (default: its own), the same part for both encoders."""
        pixels = to_array(image)
        made = crop(pixels, best_size(pixels.shape[0], pixels.shape[1], list(sizes) or self.sizes))
        codes = self.parts.images.encode(made.image[None])[0]
        return Seen(ImageCodes(codes, (), (), made.image.shape[:2]), made.region)

    def draw(
        self,
        prompts: Sequence[str],
        size: Size | Sequence[Size] = (512, 512),
        seed: int = 0,
        how: GenerationSettings = DRAW,
        count: int = 1,
    ) -> list[list[np.ndarray]]:
        """Images of each prompt, uint8 `[height, width, 3]`, of exactly the size asked for.

        Args:
          prompts: what to draw, drawn together.
          size: `(height, width)` in pixels of all images, or one for each prompt; each is drawn at the nearest size it knows.
          seed: prompt i is drawn with seed + i.
          how: guidance, temperature, top k and top p.
          count: images of each prompt.
        """
        wanted: Any = size
        sizes: list[Size] = [wanted] * len(prompts) if isinstance(size[0], int) else list(wanted)
        turns = [[("human", REQUEST + prompt), ("gpt", None)] for prompt in prompts]
        requests = [self.request(t, (), seed + i, own, draw=True) for i, (t, own) in enumerate(zip(turns, sizes, strict=True))]
        made = self.generator.generate(requests, how, "draw", samples=count)
        rows = [self.read(made.row(i)).images[0] for i in range(len(made.tokens))]
        exact = [resize(image, *sizes[i // count]) for i, image in enumerate(rows)]
        return [exact[i : i + count] for i in range(0, len(exact), count)]

    def answer(
        self,
        conversations: Sequence[Conversation],
        images: Sequence[Sequence[Picture]],
        limit: int = 512,
        how: GenerationSettings = ANSWER,
        seed: int = 0,
        size: Size = (512, 512),
    ) -> list[Answer]:
        """The model's next turn of each conversation, text and images as it decides.

        Args:
          conversations: turns, the last one's text None.
          images: those of each, any number.
          limit: most tokens of a turn.
          how: how tokens are chosen; by default the likeliest.
          seed: conversation i has seed + i.
          size: `(height, width)` of images that it draws.
        """
        requests = [self.request(t, own, seed + i, size) for i, (t, own) in enumerate(zip(conversations, images, strict=True))]
        made = self.generator.generate(requests, how, "free", limit=limit)
        return [self.read(made.row(i)) for i in range(len(made.tokens))]

    def request(
        self, turns: Conversation, images: Sequence[Picture], seed: int = 0, size: Size = (512, 512), draw: bool = False
    ) -> Request:
        """A conversation as what `TokenGenerator` continues."""
        seen = [self.encode(image) for image in images]
        prompt = conversation(turns, seen, self.parts.text, self.parts.vocabulary, self.vision, draw)
        height, width = best_size(*size, self.sizes)
        return Request(prompt, seed % 2**32, (height // self.step, width // self.step))

    def stream(self, run: Run, told: Callable[[list[int]], None]) -> None:
        """Decodes a run of one row to its end; `told` gets its tokens as they come."""
        more = True
        while more:
            for (new,) in run.stream():
                told(new.tolist())
            more = bool(run.waiting())
            run.remember({})

    def read(self, tokens: np.ndarray) -> Answer:
        """Tokens int32 `[n]` as text and images."""
        words = self.parts.vocabulary
        images = [self.parts.images.decode(codes[None])[0] for codes in read_images(tokens, words)]
        return Answer("".join(self._pieces(tokens)).strip(), images, tokens)

    def _pieces(self, tokens: np.ndarray) -> Iterator[str]:
        """Texts between images, and a mark for each whole image."""
        words, structure, kept = self.parts.vocabulary, self.parts.vocabulary.structure(), list[int]()
        inside = False
        for token in tokens.tolist():
            if token == words.boi:
                yield self.parts.text.decode(kept)
                kept, inside = [], True
            elif token == words.eoi and inside:
                yield MARK
                inside = False
            elif not inside and token not in structure:
                kept.append(token)
        yield self.parts.text.decode(kept)


def anyres_of(size: int, patch: int) -> AnyResSettings:
    """AnyRes for a tower of `size` pixels: the original's canvases, in as many crops as there."""
    own = AnyResSettings()
    pinpoints = tuple((width // own.size * size, height // own.size * size) for width, height in own.pinpoints)
    return AnyResSettings(size, patch, pinpoints)
