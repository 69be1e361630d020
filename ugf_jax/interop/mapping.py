"""Which tensors of another project become which parameters here, and the way back.

A `Mapping` has a `Rule` for each parameter, by its path (`layers/block_0/mlp/up/kernel`): the tensors that it is made from and
what is done to them. The same rules run backwards write the other project's files again.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as AnyMapping
from typing import Any

import jax
import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.interop.source import Source


@dataclasses.dataclass(frozen=True)
class Change:
    """What is done to a tensor, and what undoes it; both use nothing but methods of arrays, so that shapes can be computed.

    Attributes:
      name: for people to read.
      forward: a tensor of the source to a parameter (or to one slice of a stacked one).
      backward: the inverse; gives the shape that the source must have, too.
    """

    name: str
    forward: Callable[[Any], Any]
    backward: Callable[[Any], Any]


SAME = Change("as it is", lambda x: x, lambda x: x)
TRANSPOSED = Change("transposed", lambda x: x.T, lambda x: x.T)  # a linear layer of PyTorch, [out, in]
CONVOLUTION = Change("axes 2, 3, 1, 0", lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))  # [out, in, h, w]


def patches(side: int, channels: int = 3) -> Change:
    """A convolution whose stride is its size, as the matrix `[side · side · channels, out]` of its flattened patches."""
    return Change(
        "patches flattened",
        lambda x: x.transpose(2, 3, 1, 0).reshape(side * side * channels, -1),
        lambda x: x.reshape(side, side, channels, -1).transpose(3, 2, 0, 1),
    )


def more_rows(rows: int, total: int) -> Change:
    """A table of `rows` embeddings, continued to `total` with their mean: no logit of a new row is ever the largest."""

    def forward(x: Any) -> Any:
        mean = np.mean(x, axis=0, dtype=np.float32).astype(x.dtype)
        return np.concatenate([x, np.broadcast_to(mean, (total - rows, *mean.shape))])

    return Change(f"{total - rows} rows of the mean added", forward, lambda x: x[:rows]) if total > rows else SAME


def then(first: Change, second: Change) -> Change:
    """One change after another."""
    if SAME in (first, second):
        return second if first is SAME else first
    return Change(
        f"{first.name}, {second.name}",
        lambda x: second.forward(first.forward(x)),
        lambda x: first.backward(second.backward(x)),
    )


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a parameter is made.

    Attributes:
      sources: names of tensors; one, or with `stacked` one for each slice along the parameter's first axis.
      change: what is done to each.
      stacked: whether the tensors are stacked along a new first axis.
    """

    sources: tuple[str, ...]
    change: Change = SAME
    stacked: bool = False


Mapping = dict[str, Rule]
Shapes = AnyMapping[str, tuple[int, ...]]


def check(source: Source, mapping: Mapping, shapes: Shapes, ignored: AnyMapping[str, str]) -> None:
    """Refuses a source that is not what a mapping wants; reads no values.

    Args:
      source: the tensors that there are.
      mapping: of all parameters that come from it.
      shapes: of these parameters.
      ignored: regular expressions of whole names that may be left over, each with the reason.

    Raises:
      InputError: a tensor is missing, superfluous or of another shape; the message names it.
    """
    used = set()
    for target, rule in mapping.items():
        for name, wanted in zip(rule.sources, source_shapes(rule, shapes[target]), strict=True):
            if name not in source:
                raise InputError(f"{source.path}: {name} is missing; {target} is made from it")
            if source.shape(name) != wanted:
                raise InputError(f"{source.path}: {name} is {_shape(source.shape(name))}; want {_shape(wanted)} for {target}")
            used.add(name)
    for name in source.names():
        if name not in used and why_ignored(name, ignored) is None:
            raise InputError(f"{source.path}: {name} {_shape(source.shape(name))} belongs to no part that is known")


def why_ignored(name: str, ignored: AnyMapping[str, str]) -> str | None:
    """The reason for which a tensor may be left over; None where there is none."""
    return next((reason for pattern, reason in ignored.items() if re.fullmatch(pattern, name)), None)


def source_shapes(rule: Rule, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes that the tensors of a rule must have, for a parameter of this shape."""
    count = shape[0] if rule.stacked else 1
    if len(rule.sources) != count:
        raise ValueError(f"{len(rule.sources)} tensors; want {count}")
    if not rule.stacked:
        return [_undone(rule, shape)]
    return [_undone(rule, shape[1:])] * len(rule.sources)


def _undone(rule: Rule, shape: tuple[int, ...]) -> tuple[int, ...]:
    return jax.eval_shape(rule.change.backward, jax.ShapeDtypeStruct(shape, np.float32)).shape


def slices(source: Source, rule: Rule) -> Iterator[np.ndarray]:
    """The parameter of a rule, piece by piece: each slice along its first axis if it is stacked, else the whole."""
    for name in rule.sources:
        yield rule.change.forward(source.read(name))


def load(
    source: Source, mapping: Mapping, shapes: Shapes, ignored: AnyMapping[str, str], dtype: Any = np.float32
) -> dict[str, np.ndarray]:
    """All parameters of a mapping by their paths, in memory; see `check`."""
    check(source, mapping, shapes, ignored)
    found = {}
    for target, rule in mapping.items():
        pieces = [piece.astype(dtype) for piece in slices(source, rule)]
        found[target] = np.stack(pieces) if rule.stacked else pieces[0]
    return found


def undo(target: np.ndarray, rule: Rule) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of the other project that a parameter stands for, by name."""
    pieces = target if rule.stacked else [target]
    for name, piece in zip(rule.sources, pieces, strict=True):
        yield name, np.ascontiguousarray(rule.change.backward(np.asarray(piece)))


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
