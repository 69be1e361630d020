"""Plots as inline SVG that takes its text colour from the page, so that one figure suits light and dark."""

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# Distinguishable on white and on near-black, and to colour-blind readers (Okabe and Ito 2008, slightly adjusted).
COLORS = {"master": "#d97706", "full": "#2f7fd6", "auxiliary": "#2f7fd6", "jpeg": "#a35bb5", "webp": "#149c76"}
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#8884",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
      label: in the legend.
      x: `[points]`.
      y: `[points]`.
      color: hexadecimal.
      error: standard errors `[points]`, drawn as bars, or None.
      faint: thin and pale, behind the others.
      markers: draw the points.
    """

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    color: str
    error: Sequence[float] | None = None
    faint: bool = False
    markers: bool = False


def plot_lines(lines: Sequence[Line], x_label: str, y_label: str, logarithmic: bool = False) -> str:
    """Curves in one frame, as an `<svg>` element."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            marker = "o" if line.markers else None
            look = {"lw": 1.0, "alpha": 0.45} if line.faint else {"marker": marker, "markersize": 4}
            if line.error is not None:
                axes.errorbar(line.x, line.y, line.error, color=line.color, label=line.label, capsize=2, **look)
            else:
                axes.plot(line.x, line.y, color=line.color, label=line.label, **look)
        if logarithmic:
            axes.set_yscale("log")
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.ticklabel_format(axis="x", style="plain")
        if len(lines) > 1:
            axes.legend(loc="best", fontsize=9)
        return _svg(figure, y_label, repr(lines))


def plot_bars(names: Sequence[str], series: Mapping[str, tuple[Sequence[float], Sequence[float]]], y_label: str) -> str:
    """Groups of bars with error bars, as an `<svg>` element.

    Args:
      names: of the groups.
      series: values and standard errors, one for each group, by label; the label is a key of `COLORS`.
      y_label: what the values are.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(series)
        for i, (label, (values, errors)) in enumerate(series.items()):
            x = np.arange(len(names)) + (i - (len(series) - 1) / 2) * width
            axes.bar(x, values, width * 0.92, yerr=errors, color=COLORS[label], label=label, ecolor=_INK, error_kw={"lw": 0.8})
        axes.set_xticks(np.arange(len(names)), names)
        axes.grid(axis="x", visible=False)
        axes.set(ylabel=y_label)
        lowest = min(min(values) for values, _ in series.values())
        axes.set_ylim(bottom=max(0.0, np.floor(lowest / 5) * 5 - 5) if lowest > 0 else None)
        axes.legend(loc="upper center", ncols=len(series), bbox_to_anchor=(0.5, 1.14), fontsize=9)
        return _svg(figure, y_label, repr(series))


def _svg(figure: Figure, label: str, salt: str) -> str:
    """The figure as an element that scales with the page; equal figures give equal text."""
    buffer = io.StringIO()
    # Identifiers (of clip paths) must differ between the figures of a page; the salt makes them a function of the content.
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = svg.replace(_INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
