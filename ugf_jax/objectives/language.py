"""Next-token prediction: cross entropy without keeping the logits of a whole batch, and the z-loss."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.sharding import PartitionSpec as P

from ugf_jax.models.linear import matmul

ROWS, WIDTH = ("data", "fsdp"), "fsdp"  # mesh axes that rows, and the width of the head, are split over


@flax.struct.dataclass
class TokenLosses:
    """Of each predicted token, float32 `[batch, positions]`.

    Attributes:
      nll: negative log-likelihood of the target in nats.
      log_z: logarithm of the sum of the exponentials of the logits.
      correct: 1 where the target has the highest logit.
    """

    nll: jax.Array
    log_z: jax.Array
    correct: jax.Array


def token_losses(
    hidden: jax.Array, kernel: jax.Array, targets: jax.Array, chunk: int = 0, wanted: jax.Array | None = None
) -> TokenLosses:
    """Losses of predicting `targets` from hidden states.

    Args:
      hidden: `[batch, positions, width]`.
      kernel: the output head, `[width, vocabulary]`.
      targets: int32 `[batch, positions]`.
      chunk: positions of a row whose logits exist at one time, forwards and backwards; 0: all.
      wanted: bool `[batch, positions]`; where False the losses are 0, and chunks are filled so that most of these cost
        nothing. None: all are wanted.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = [axis for axis in ROWS if axis in mesh.axis_names and axis not in mesh.manual_axes]
    if len(axes) < len(ROWS) or hidden.shape[0] % (mesh.shape[ROWS[0]] * mesh.shape[ROWS[1]]):
        return _each(hidden, kernel, targets, wanted, chunk)
    # Each device gathers the head once, and its gradient is scattered once: left to the compiler, once a chunk or summed whole.
    spread = kernel.shape[0] % mesh.shape[WIDTH] == 0
    local = functools.partial(_with_whole_head, chunk=chunk, spread=spread)
    rows, head = P(ROWS), P(WIDTH if spread else None)
    mapped = jax.shard_map(local, in_specs=(rows, head, rows, rows), out_specs=rows, axis_names=set(ROWS))
    return mapped(hidden, kernel, targets, wanted)


def _with_whole_head(
    hidden: jax.Array, kernel: jax.Array, targets: jax.Array, wanted: jax.Array | None, chunk: int, spread: bool
) -> TokenLosses:
    # Each device's own sum of gradients is scattered first; only its part is then summed over the other rows of devices.
    kernel = jax.lax.pcast(kernel.astype(hidden.dtype), tuple(a for a in ROWS if not spread or a != WIDTH), to="varying")
    if spread:
        kernel = jax.lax.all_gather(kernel, WIDTH, tiled=True)
        # The gradient lies likewise, devices' parts one after the other: else it is summed whole on each, and then cut.
        kernel = with_layout_constraint(kernel, Layout(major_to_minor=(0, 1)))
    # Sent in the dtype of the computation; gradients of chunks are added up in float32.
    return _each(hidden, kernel.astype(jnp.float32), targets, wanted, chunk)


def _each(hidden: jax.Array, kernel: jax.Array, targets: jax.Array, wanted: jax.Array | None, chunk: int) -> TokenLosses:
    return _in_chunks(hidden, kernel, targets, chunk) if wanted is None else _of_wanted(hidden, kernel, targets, wanted, chunk)


def _of_wanted(hidden: jax.Array, kernel: jax.Array, targets: jax.Array, wanted: jax.Array, chunk: int) -> TokenLosses:
    """Those that are wanted come first, so that whole chunks of the others follow them, which are skipped."""
    flat = wanted.reshape(-1)
    size = flat.size if not chunk else min(chunk * len(wanted), flat.size)
    room = -flat.size % size
    order = jnp.argsort(~flat, stable=True)

    def cut(x: jax.Array) -> jax.Array:
        x = x.reshape(-1, *x.shape[2:]).at[order].get(unique_indices=True)
        return jnp.pad(x, ((0, room), *((0, 0) for _ in x.shape[1:]))).reshape(-1, size, *x.shape[1:])

    def found(part: tuple[jax.Array, jax.Array, jax.Array]) -> TokenLosses:
        return jax.tree.map(lambda x: jnp.where(part[2], x, 0), _losses(part[0], kernel, part[1]))

    def nothing(part: tuple[jax.Array, jax.Array, jax.Array]) -> TokenLosses:
        zeros = 0 * part[2].astype(jnp.float32)
        return TokenLosses(zeros, zeros, zeros)

    def one(_: None, part: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[None, TokenLosses]:
        return None, jax.lax.cond(part[2][0], found, nothing, part)

    _, losses = jax.lax.scan(jax.checkpoint(one), None, (cut(hidden), cut(targets), cut(wanted)))
    back = jnp.argsort(order)
    return jax.tree.map(lambda x: x.reshape(-1)[back].reshape(wanted.shape), losses)


def _in_chunks(hidden: jax.Array, kernel: jax.Array, targets: jax.Array, chunk: int) -> TokenLosses:
    positions = hidden.shape[1]
    if not chunk or chunk >= positions:
        return _losses(hidden, kernel, targets)
    room = -positions % chunk

    def cut(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, ((0, 0), (0, room), *((0, 0) for _ in x.shape[2:])))
        return x.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1)

    def one(_: None, part: tuple[jax.Array, jax.Array]) -> tuple[None, TokenLosses]:
        return None, _losses(part[0], kernel, part[1])

    _, losses = jax.lax.scan(jax.checkpoint(one), None, (cut(hidden), cut(targets)))
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(x.shape[1], -1)[:, :positions], losses)


def _losses(hidden: jax.Array, kernel: jax.Array, targets: jax.Array) -> TokenLosses:
    logits = matmul(hidden, kernel.astype(hidden.dtype)).astype(jnp.float32)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    correct = jax.lax.stop_gradient((target >= jnp.max(logits, axis=-1)).astype(jnp.float32))
    return TokenLosses(log_z - target, log_z, correct)


def mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean over everything; 0 where all weights are 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-6)


def z_loss(log_z: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean square of `log_z`, which keeps logits from drifting (Chowdhery et al. 2022, PaLM, section 5)."""
    return mean(jnp.square(log_z), weights)
