"""The table of parameters that a run prints at its start."""

import dataclasses
from typing import Any

from clu import parameter_overview as clu_overview

from ugf_jax.training.digests import named_leaves


@dataclasses.dataclass(frozen=True)
class _Group:
    name: str
    arrays: int
    size: int


def parameter_overview(params: Any, max_lines: int = 40) -> str:
    """A table of names, shapes and sizes and their total.

    Where there are more than `max_lines` arrays, one line for each group: as deep into the tree as there is room.
    """
    named = named_leaves(params)
    if len(named) <= max_lines:
        return clu_overview.get_parameter_overview(params, include_stats=False)
    groups = _grouped(named, 1)
    for depth in range(2, 1 + max(name.count("/") for name in named)):
        deeper = _grouped(named, depth)
        if len(deeper) > max_lines:
            break
        groups = deeper
    total = sum(group.size for group in groups)
    return f"{clu_overview.make_table(groups)}\nTotal: {total:,} in {len(named)} arrays"


def _grouped(named: dict[str, Any], depth: int) -> list[_Group]:
    members: dict[str, list[int]] = {}
    for name, leaf in named.items():
        members.setdefault("/".join(name.split("/")[:depth]), []).append(leaf.size)
    return [_Group(name, len(sizes), sum(sizes)) for name, sizes in members.items()]
