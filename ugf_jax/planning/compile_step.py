"""Compiles a program for devices that are not there, and takes from it what a plan needs."""

import dataclasses
import re
import time
from typing import Any

import jax

from ugf_jax.planning.hlo import Program, parse_program
from ugf_jax.planning.programs import StepProgram
from ugf_jax.training.compiler import compiler_options

# As the compiler says it in two of its phases.
_NEEDED = re.compile(r"Used ([\d.]+)([KMG]) of [\d.]+[KMG] hbm|required for HLO temporaries \(([\d.]+)([KMG])\)")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler has made.

    Attributes:
      program: its operations; None where they do not fit.
      stats: `memory_analysis()`; None likewise.
      seconds: of tracing and compiling, of this process's CPU time.
      needed: bytes that a program needs that does not fit.
    """

    program: Program | None
    stats: Any
    seconds: float
    needed: float = 0.0


def compile_program(step: StepProgram) -> Compiled:
    """Compiles; under the mesh that the program was laid out for.

    A program that does not fit is no error: plans are for finding that out.
    """
    begin = time.process_time()
    lowered = step.lower()
    try:
        made = lowered.compile(compiler_options(jax.sharding.get_mesh()))
    except jax.errors.JaxRuntimeError as error:
        needed = bytes_needed(str(error))
        if needed is None:
            raise
        return Compiled(None, None, time.process_time() - begin, needed)
    text = made.as_text()
    assert text is not None
    return Compiled(parse_program(text, step.loop), made.memory_analysis(), time.process_time() - begin)


def bytes_needed(message: str) -> float | None:
    """Memory that a program would have needed, from the compiler's refusal; None where that is about something else."""
    found = _NEEDED.search(message)
    if found is None:
        return None
    size, unit = (text for text in found.groups() if text is not None)
    return float(size) * _UNITS[unit]
