import math
from collections import Counter

import numpy as np
import pytest

from ugf_jax.data.shapes.drawing import box, coverage, radius
from ugf_jax.data.shapes.fine import letters, scene
from ugf_jax.data.shapes.splits import belongs
from ugf_jax.errors import InputError

SCENES = [scene(i, "test") for i in range(150)]
SIZES = ((200, 200), (200, 267), (267, 200))


def text_box(fine, writing, height, width):
    item, side = fine.scene.objects[writing.about], min(height, width)
    across, down = (h * writing.cap * side for h in letters.half_size(writing.text))
    x, y = item.x * width + writing.x * side, item.y * height + writing.y * side
    return x - across, y - down, x + across, y + down


def apart(a, b):
    return a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]


def covered(item, dots, height, width):
    """Whether an object covers a pixel that a dot covers too."""
    seen = np.zeros((height, width), int)
    for drawn in (item, *dots):
        mask, row, column = coverage(drawn, height, width)
        seen[row : row + mask.shape[0], column : column + mask.shape[1]] += mask > 0
    return seen.max() > 1


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_all_is_within_the_picture_and_text_and_dots_cover_nothing_else(height, width):
    for fine in SCENES[:60]:
        texts = [(w, text_box(fine, w, height, width)) for w in fine.writings]
        dots = [box(d, height, width) for d in fine.dots()]
        places = dots + [t for _, t in texts]
        assert all(min(x0, y0, width - x1, height - y1) > 0 for x0, y0, x1, y1 in places)
        assert all(apart(a, b) for i, a in enumerate(places) for b in places[:i])
        for number, item in enumerate(fine.scene.objects):
            here = box(item, height, width)
            assert all(apart(here, d) for d in dots)
            assert all(apart(here, t) for w, t in texts if not w.on and w.about != number)
            assert all(apart(here, t) for w, t in texts if not w.on and w.about == number)


def test_text_is_nearest_to_what_it_stands_beside():
    for fine in SCENES:
        for w in fine.writings:
            if not w.on:
                item = fine.scene.objects[w.about]
                x, y = item.x + w.x, item.y + w.y
                gaps = {
                    i: math.hypot(o.x - x, o.y - y) - o.diameter * radius(o.shape)
                    for i, o in enumerate(fine.scene.objects)
                    if o.inside is None
                }
                assert min(gaps, key=gaps.get) == w.about


def test_details_have_the_sizes_that_the_question_is_about():
    for fine in SCENES:
        assert all(0.03 <= w.cap <= 0.055 and 1 <= len(w.text) <= 3 for w in fine.writings)
        assert all(0.006 <= o.thickness <= 0.01 for o in fine.outlines)
        assert all(0.02 <= d.diameter <= 0.03 for d in fine.dots())
        assert all(o.colour != fine.scene.objects[o.about].colour for o in fine.outlines)
        for cluster, other in (fine.clusters, fine.clusters[::-1]):
            assert cluster.position != other.position
            dots = [d for d in fine.dots() if d.position == cluster.position]
            assert len(dots) == len(cluster.dots) <= 5


def test_any_number_of_dots_is_as_likely_wherever_they_are():
    counts = Counter(len(c.dots) for f in SCENES for c in f.clusters)
    assert set(counts) == set(range(6))
    assert max(counts.values()) < 0.25 * counts.total()


def test_scenes_belong_to_their_split_and_never_change():
    assert scene(5) == scene(5) != scene(5, "test")
    for split in ("train", "validation", "test"):
        assert all(belongs(scene(i, split).scene, split) for i in range(20))
    with pytest.raises(InputError, match="no split 'dev'"):
        scene(0, "dev")
