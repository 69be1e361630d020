import re
import xml.etree.ElementTree as ElementTree

import pytest

from ugf_jax.evaluation.figures import COLORS, Line, plot_bars, plot_lines

LINES = [
    Line("master", [1, 2, 3], [4.0, 5.0, 7.0], COLORS["master"]),
    Line("full", [1, 2], [5.0, 6.0], COLORS["full"], [0.1, 0.2]),
]


def test_svg_is_well_formed_scales_and_takes_the_colour_of_the_page():
    svg = plot_lines(LINES, "step", "PSNR in dB")
    root = ElementTree.fromstring(svg)
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert root.attrib["aria-label"] == "PSNR in dB"
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert {COLORS["master"], COLORS["full"]} <= set(re.findall("#[0-9a-f]{6}", svg))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    text = "".join(root.itertext())
    for label in ("step", "PSNR in dB", "master", "full"):
        assert label in text


def test_equal_figures_are_equal_and_others_share_no_identifier():
    def identifiers(svg):
        return set(re.findall(r'clipPath id="(\w+)"', svg))

    svg = plot_lines(LINES, "step", "PSNR in dB")
    assert svg == plot_lines(LINES, "step", "PSNR in dB")
    other = plot_lines(LINES[:1], "step", "PSNR in dB")
    assert identifiers(svg)
    assert identifiers(svg).isdisjoint(identifiers(other))


@pytest.mark.parametrize("count", [1, 13])
def test_bars_of_any_number_of_groups(count):
    names = [f"{i}:1" for i in range(count)]
    svg = plot_bars(names, {"master": ([20.0] * count, [0.5] * count), "full": ([25.0] * count, [0.5] * count)}, "PSNR")
    text = "".join(ElementTree.fromstring(svg).itertext())
    assert all(name in text for name in names)
