"""The decode loop: one program on the device that feeds a token of each row and chooses the next, until no row wants more.

A row's last token is *pending*: chosen but not yet fed. So the loop may stop after any token and go on later, and what is fed
next may see more than what was chosen saw: the memory of an image that has just been drawn is added while its EOI is pending.

With guidance there are twice as many contexts as rows. The second half knows no prompt and no memory: it begins anew, at
position 0, whenever its row begins an image, and is read for master codes only.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.generation import decoder
from ugf_jax.generation.decoder import Cache
from ugf_jax.generation.grammar import WAITING, Grammar, Rows
from ugf_jax.generation.guidance import guide
from ugf_jax.generation.kept_memory import KeptMemory
from ugf_jax.generation.layout import DecodeWeights
from ugf_jax.generation.sampling import Sampling, draw, shape_logits
from ugf_jax.models.fusion import Continuous, FusionSettings, Tokens


@dataclasses.dataclass(frozen=True)
class Program:
    """What a compilation depends on, beside shapes.

    Attributes:
      settings: of the model.
      grammar: what rows may hold.
      guided: two contexts a row.
      cut: there is a top k or a top p.
      certain: all temperatures are 0.
    """

    settings: FusionSettings
    grammar: Grammar
    guided: bool
    cut: bool
    certain: bool

    @property
    def contexts(self) -> int:
        """Contexts of each row."""
        return 2 if self.guided else 1


@flax.struct.dataclass
class How:
    """How tokens are chosen: numbers that may change without a compilation.

    Attributes:
      text, image: sampling of each kind, `[1]` or `[rows]`.
      guidance: scale, a scalar.
    """

    text: Sampling
    image: Sampling
    guidance: jax.Array


@flax.struct.dataclass
class Decoding:
    """All that the loop carries. N rows, M contexts (N or 2 N, the unconditional last), C slots.

    Attributes:
      cache: keys and values of the contexts.
      seen: bool `[M, C]`, which slots a context sees.
      slot: int32 scalar, the next free slot.
      pending: int32 `[N]`, the token that is fed next.
      cells: int32 `[N]`, its master cell, or -1.
      positions: int32 `[M]`, its position in the document.
      rows: where each row stands.
      keys: random keys `[N]`.
      tokens: int32 `[N, room]`, chosen so far; 0 beyond.
      log_probabilities: float32 `[N, room]`, of these, under the distribution they were drawn from; 0 where forced.
      lengths: int32 `[N]`, how many were chosen.
    """

    cache: Cache
    seen: jax.Array
    slot: jax.Array
    pending: jax.Array
    cells: jax.Array
    positions: jax.Array
    rows: Rows
    keys: jax.Array
    tokens: jax.Array
    log_probabilities: jax.Array
    lengths: jax.Array


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def begin(
    settings: FusionSettings,
    samples: int,
    contexts: int,
    room: int,
    weights: DecodeWeights,
    tokens: Tokens,
    memory: KeptMemory | None,
    rows: Rows,
    keys: jax.Array,
    continuous: Continuous | None = None,
) -> Decoding:
    """Reads the prompts, all but their last tokens, which become pending.

    Args:
      settings: of the model.
      samples: rows of each prompt; it is read once for all.
      contexts: of each row.
      room: tokens that a row may get before `grow`.
      weights: of the model.
      tokens: prompts `[prompts, length]`, aligned to the right; segment 1, or 0 for padding.
      memory: one for each prompt, or None.
      rows: of the grammar, `prompts · samples`, those of one prompt together.
      keys: random keys, one for each row.
      continuous: features of a vision tower that stand in the prompts, or None; never in the place of a last token.
    """
    before, last = jax.tree.map(lambda x: x[:, :-1], tokens), jax.tree.map(lambda x: x[:, -1], tokens)
    if continuous is not None:
        continuous = dataclasses.replace(continuous, sources=continuous.sources[:, :-1])
    _, cache = decoder.prefill(settings, weights, before, memory, continuous)
    count = len(keys)

    def spread(x: jax.Array, slots: int | None = None) -> jax.Array:
        """Repeats rows for samples, makes room for unconditional contexts and, along axis `slots`, for tokens to come."""
        x = jnp.repeat(x, samples, axis=0)
        padding = [(0, (contexts - 1) * count)] + [(0, 0)] * (x.ndim - 1)
        if slots is not None:
            padding[slots] = (0, room)
        return jnp.pad(x, padding)

    def spread_heads(x: jax.Array) -> jax.Array:
        every = spread(x.reshape(before.ids.shape[0], -1, *x.shape[1:]), 2)
        return every.reshape(-1, *every.shape[2:])

    return Decoding(
        cache=dataclasses.replace(
            jax.tree.map(spread_heads, dataclasses.replace(cache, said=None)), said=jax.tree.map(spread, cache.said)
        ),
        seen=spread(before.segments > 0, 1),
        slot=jnp.int32(before.ids.shape[1]),
        pending=jnp.repeat(last.ids, samples),
        cells=jnp.repeat(last.cells, samples),
        positions=spread(last.positions),
        rows=rows,
        keys=keys,
        tokens=jnp.zeros((count, room), jnp.int32),
        log_probabilities=jnp.zeros((count, room)),
        lengths=jnp.zeros(count, jnp.int32),
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=4)
def advance(
    program: Program, weights: DecodeWeights, memory: KeptMemory | None, how: How, state: Decoding, steps: jax.Array
) -> Decoding:
    """Runs until no row wants more, some row waits after an image, all slots are used, or `steps` tokens are chosen.

    Args:
      program: what was begun.
      weights: of the model; the head has only the ids of the grammar's window.
      memory: that is seen, or None.
      how: how tokens are chosen.
      state: where it stands; its arrays are used up.
      steps: int32 scalar.
    """
    end = jnp.minimum(state.slot + steps, state.seen.shape[1])

    def goes_on(state: Decoding) -> jax.Array:
        return (state.slot < end) & jnp.any(state.rows.active) & ~jnp.any(state.rows.phase == WAITING)

    def body(state: Decoding) -> Decoding:
        logits, state = _feed(program, weights, memory, how, state)
        return _choose(program, how, state, logits)

    return jax.lax.while_loop(goes_on, body, state)


@functools.partial(jax.jit, static_argnums=1)
def grow(state: Decoding, slots: int) -> Decoding:
    """Adds slots, and as much room for tokens: a step reads all slots there are, so there should not be many unused."""

    def longer(x: jax.Array, fill: int = 0) -> jax.Array:
        return jnp.pad(x, [(0, slots if axis == 1 else 0) for axis in range(x.ndim)], constant_values=fill)

    return dataclasses.replace(
        state,
        cache=dataclasses.replace(jax.tree.map(longer, dataclasses.replace(state.cache, said=None)), said=state.cache.said),
        seen=longer(state.seen),
        tokens=longer(state.tokens),
        log_probabilities=longer(state.log_probabilities),
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def go_on(program: Program, state: Decoding) -> Decoding:
    """Lets rows that wait after an image go on."""
    return dataclasses.replace(state, rows=program.grammar.go_on(state.rows))


def _feed(
    program: Program, weights: DecodeWeights, memory: KeptMemory | None, how: How, state: Decoding
) -> tuple[jax.Array, Decoding]:
    """Feeds the pending tokens; logits float32 `[N, ids of the window]`, guided."""
    count = len(state.pending)
    seen, positions = state.seen, state.positions
    if program.guided:
        anew = jnp.pad(state.pending == program.grammar.vocabulary.boi, (count, 0))
        seen, positions = seen & ~anew[:, None], jnp.where(anew, 0, positions)

    def every(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x] * program.contexts)

    here = jnp.arange(seen.shape[1]) == state.slot
    ids, cells = every(state.pending), every(state.cells)
    tokens = Tokens(*(x[:, None] for x in (ids, jnp.ones_like(ids), positions, cells)))
    hidden, cache = decoder.step(program.settings, weights, state.cache, tokens, state.slot, seen | here, memory, looking=count)
    logits = decoder.product(hidden, weights.head).astype(jnp.float32)
    if program.guided:
        logits, unconditional = jnp.split(logits, 2)
        guided = guide(logits, unconditional, how.guidance)
        logits = jnp.where(state.rows.in_image[:, None], guided, logits)
    active = every(state.rows.active)
    if cache.said is not None and state.cache.said is not None:  # what a row that waits is fed again and again, it says once
        cache = dataclasses.replace(cache, said=jnp.where(active[:, None], cache.said, state.cache.said))
    return logits, dataclasses.replace(
        state, cache=cache, seen=seen | (here & active[:, None]), slot=state.slot + 1, positions=positions + active
    )


def _choose(program: Program, how: How, state: Decoding, logits: jax.Array) -> Decoding:
    """Chooses the next token of each row, which becomes pending."""
    grammar, rows = program.grammar, state.rows
    sampling = {"draw": how.image, "text": how.text, "free": how.image.where(rows.in_image, how.text)}[grammar.mode]
    logits = shape_logits(logits, grammar.allowed(rows), sampling, program.cut)
    # What is drawn depends on the row's key and the token's position, not on how often the loop was interrupted.
    keys = jax.vmap(jax.random.fold_in)(state.keys, state.positions[: len(state.pending)])
    drawn, log_probability = draw(keys, logits, sampling.temperature, program.certain)
    forced = grammar.forced(rows)
    token = jnp.where(forced >= 0, forced, grammar.window[0] + drawn)
    log_probability = jnp.where(forced >= 0, 0, log_probability)
    active, room = rows.active, state.tokens.shape[1]
    place = jnp.arange(len(token)), jnp.where(active, state.lengths, room)
    return dataclasses.replace(
        state,
        pending=jnp.where(active, token, state.pending),
        cells=jnp.where(active, jnp.where(rows.in_image, rows.cell, -1), state.cells),
        rows=grammar.advance(rows, token),
        tokens=state.tokens.at[place].set(token, mode="drop"),
        log_probabilities=state.log_probabilities.at[place].set(log_probability, mode="drop"),
        lengths=state.lengths + active,
    )
