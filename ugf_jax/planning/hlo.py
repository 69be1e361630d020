"""Reads the text of a compiled program (HLO after all passes): what is in it, and how often each part runs."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_END = re.compile(r"^\}(, execution_thread=.*)?$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LOOP = re.compile(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_KNOWN = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2}
_BYTES |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One operation.

    Attributes:
      name: as it is referred to.
      shape: of the result, as text: `bf16[8,128]{1,0}`, or a tuple of such.
      opcode: e.g. `fusion`.
      rest: operands and attributes, as text.
      root: whether it is the result of its computation.
    """

    name: str
    shape: str
    opcode: str
    rest: str
    root: bool = False

    @functools.cached_property
    def arrays(self) -> list[tuple[float, tuple[int, ...]]]:
        """Bytes of an item and dimensions of each array of the result."""
        return arrays_of(self.shape)

    @property
    def size(self) -> float:
        """Bytes of the result."""
        return sum(size * math.prod(dimensions) for size, dimensions in self.arrays)

    @functools.cached_property
    def operands(self) -> list[str]:
        """Names of the operands."""
        return re.findall(r"%([\w.\-]+)", self.rest[: _balanced(self.rest)])

    def attribute(self, pattern: str) -> str | None:
        """The first group of a regular expression found after the operands."""
        found = re.search(pattern, self.rest)
        return found[1] if found else None

    @property
    def source(self) -> str:
        """The JAX operation that it stems from, e.g. `jit(step)/…/attention/query/dot_general`."""
        return self.attribute(r'op_name="([^"]*)"') or ""


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: instructions by the name of their computation.
      entry: where it begins.
      unknown: trips of a loop whose length the text does not tell.
    """

    computations: dict[str, list[Instruction]]
    entry: str
    unknown: int = 1

    @functools.cached_property
    def loops(self) -> dict[str, int]:
        """Trips of each loop by the name of its body; those of unknown length take `unknown`."""
        found = {}
        for instructions in self.computations.values():
            for one in instructions:
                if one.opcode == "while":
                    trips = self._trips(one)
                    found[one.attribute(r"body=%?([\w.\-]+)") or ""] = self.unknown if trips is None else trips
        return found

    @property
    def endless(self) -> int:
        """Loops whose length the text does not tell."""
        return sum(self._trips(one) is None for body in self.computations.values() for one in body if one.opcode == "while")

    def _trips(self, loop: Instruction) -> int | None:
        if known := loop.attribute(_KNOWN.pattern):
            return int(known)
        condition = self.computations.get(loop.attribute(r"condition=%?([\w.\-]+)") or "", [])
        constants = {one.name: int(one.rest.split(")")[0]) for one in condition if _is_integer(one)}
        root = next((one for one in condition if one.root), None)
        if root is None or root.opcode not in ("compare", "fusion"):
            return None
        limits = [constants[name] for name in root.operands if name in constants]
        return limits[0] if len(limits) == 1 and (root.opcode == "fusion" or "direction=LT" in root.rest) else None

    def calls(self, one: Instruction, fused: bool) -> list[tuple[str, int]]:
        """Computations that an instruction runs, and how often; those inside fusions only if `fused`."""
        if loop := _LOOP.search(one.rest):
            return [(loop[2], self.loops[loop[2]])]
        if branches := _BRANCHES.search(one.rest):
            return [(name.strip().lstrip("%"), 1) for name in branches[1].split(",")]
        if one.opcode in ("fusion", "call", "async-start", "conditional") and (fused or one.opcode != "fusion"):
            return [(name, 1) for name in _CALLED.findall(one.rest)]
        return []

    def runs(self, fused: bool = False) -> dict[str, int]:
        """How often each computation runs that the entry reaches, fused ones only on demand."""
        counts: dict[str, int] = {}

        def walk(name: str, times: int) -> None:
            counts[name] = counts.get(name, 0) + times
            for one in self.computations.get(name, []):
                for called, trips in self.calls(one, fused):
                    walk(called, times * trips)

        walk(self.entry, 1)
        return counts

    def instructions(self, fused: bool = False) -> Iterator[tuple[str, Instruction, int]]:
        """Computation, instruction and how often it runs, for all that runs."""
        for name, times in self.runs(fused).items():
            for one in self.computations.get(name, []):
                yield name, one, times


def parse_program(text: str, unknown: int = 1) -> Program:
    """A program from its text.

    Args:
      text: from `jax.stages.Compiled.as_text`.
      unknown: trips of a loop whose length the text does not tell.

    Raises:
      ValueError: no entry in it.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            if head := _HEAD.match(line):
                current = computations.setdefault(head[2], [])
                entry = head[2] if head[1] else entry
        elif _END.match(line):
            current = None
        elif found := _INSTRUCTION.match(line):
            current.append(_instruction(found[2], found[3], bool(found[1])))
        elif current:  # attributes of kernels have line breaks in them
            current[-1] = dataclasses.replace(current[-1], rest=current[-1].rest + line)
    if not entry:
        raise ValueError("no ENTRY in the text of the program")
    return Program(computations, entry, unknown)


def arrays_of(shape: str) -> list[tuple[float, tuple[int, ...]]]:
    """Bytes of an item and dimensions of each array of a shape."""
    return [
        (_BYTES.get(kind, 1), tuple(int(n) for n in dimensions.split(",") if n))
        for kind, dimensions in _ARRAY.findall(shape)
        if kind in _BYTES or kind.startswith("f8")
    ]


def _instruction(name: str, text: str, root: bool) -> Instruction:
    end = _balanced(text) if text.startswith("(") else text.find(" ")
    shape, rest = text[:end], text[end:].lstrip()
    opcode, _, rest = rest.partition("(")
    return Instruction(name, shape, opcode, rest, root)


def _balanced(text: str) -> int:
    """Where the parenthesis closes that was opened at the start of `text` or just before it."""
    depth = 0 if text.startswith("(") else 1
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return at + 1
    return len(text)


def _is_integer(one: Instruction) -> bool:
    return (
        one.opcode == "constant" and bool(re.match(r"[su]\d+\[\]", one.shape)) and one.rest.split(")")[0].lstrip("-").isdigit()
    )
