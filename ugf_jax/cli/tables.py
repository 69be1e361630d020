"""Tables: drawn with lines on a terminal, plain columns when piped."""

import sys
from collections.abc import Sequence

import rich.console
import rich.table


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; columns of numbers are aligned to the right."""
    right = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    print(f"\n{title}")
    if sys.stdout.isatty():
        table = rich.table.Table(show_header=any(header))
        for name, numeric in zip(header, right, strict=True):
            table.add_column(name, justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*row)
        rich.console.Console().print(table)
        return
    lines = [header, *rows] if any(header) else rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))] if lines else []
    for line in lines:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        print("  " + "  ".join(cells).rstrip())


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "0123456789-+." and not any(c.isalpha() for c in text.replace("x", ""))
