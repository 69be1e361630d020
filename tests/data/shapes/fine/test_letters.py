import itertools

import numpy as np
import pytest

from ugf_jax.data.shapes.fine import letters


def written(text, cap):
    across, down = (h * cap for h in letters.half_size(text))
    columns, rows = int(np.ceil(2 * across)) + 2, int(np.ceil(2 * down)) + 2
    lines = [s * cap + (columns / 2, rows / 2) for s in letters.strokes(text)]
    return letters.coverage(lines, letters.STROKE * cap, rows, columns)


def test_letters_stay_apart_at_eight_pixels():
    drawn = {letter: written(letter, 8).astype(float) for letter in letters.LETTERS}
    for a, b in itertools.combinations(drawn, 2):
        different = np.abs(drawn[a] - drawn[b]).sum()
        assert different > 0.2 * (drawn[a] + drawn[b]).sum() / 2, (a, b)


@pytest.mark.parametrize("text", ["A", "NX", "HTK"])
def test_the_announced_size_is_that_of_the_ink(text):
    for cap in (8, 30, 50):
        mask = written(text, cap)
        rows, columns = np.nonzero(mask > 64)
        seen = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
        assert np.allclose(seen, [2 * h * cap for h in letters.half_size(text)], atol=1.6)


def test_a_line_covers_its_length_times_its_thickness():
    line = [np.array([(10.3, 20.2), (70.3, 20.2)])]
    for thickness in (1.6, 2.0, 5.3):
        covered = letters.coverage(line, thickness, 40, 80).sum() / 255
        assert covered == pytest.approx(60 * thickness + np.pi / 4 * thickness**2, abs=60 / 8 + 1)  # one sample in eight


def test_a_character_without_strokes_is_refused():
    with pytest.raises(KeyError):
        letters.strokes("a")
