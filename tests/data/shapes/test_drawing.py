import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.drawing import box, coverage, draw, outline
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, SHAPES, Item, Scene


def _area(shape, side):
    def one(p):
        return abs(np.sum(p[:, 0] * np.roll(p[:, 1], -1) - np.roll(p[:, 0], -1) * p[:, 1])) / 2 * side**2

    outer, *holes = map(one, outline(shape))
    return outer - sum(holes)


@pytest.mark.parametrize("shape", SHAPES)
def test_covered_area_and_centre_are_those_of_the_outline(shape):
    item = Item(shape, "red", 0.413, 0.587, 0.38)
    mask, row, column = coverage(item, 200, 200)
    assert mask.sum() / 255 == pytest.approx(_area(shape, 76), rel=0.015)
    rows, columns = np.indices(mask.shape)
    assert (columns * mask).sum() / mask.sum() + column + 0.5 == pytest.approx(82.6, abs=0.15)
    assert (rows * mask).sum() / mask.sum() + row + 0.5 == pytest.approx(117.4, abs=0.15)


@pytest.mark.parametrize("shape", SHAPES)
def test_box_encloses_the_shape_tightly(shape):
    item = Item(shape, "red", 0.5, 0.5, 0.37)
    mask, row, column = coverage(item, 150, 310)
    left, top, right, bottom = box(item, 150, 310)
    rows, columns = np.nonzero(mask)
    seen = (columns.min() + column, rows.min() + row, columns.max() + column + 1, rows.max() + row + 1)
    assert np.allclose(seen, (left, top, right, bottom), atol=1.3)


def test_edges_are_anti_aliased_and_inside_and_outside_are_pure():
    scene = Scene("white", (Item("circle", "red", 0.5, 0.5, 0.38),))
    image = draw(scene, 128, 128)
    values = np.unique(image.reshape(-1, 3), axis=0)
    assert len(values) > 10
    pure = {COLOURS["red"], BACKGROUNDS["white"]}
    mixed = sum(tuple(p) not in pure for p in image.reshape(-1, 3))
    assert 0 < mixed < 3 * 2 * np.pi * 0.19 * 128
    assert tuple(image[64, 64]) == COLOURS["red"]
    assert tuple(image[0, 0]) == BACKGROUNDS["white"]


def test_a_scene_looks_the_same_at_every_resolution():
    for i in range(20):
        scene = examples.scene(i)
        large = draw(scene, 2 * 256, 2 * 200)
        reduced = cv2.resize(large, (200, 256), interpolation=cv2.INTER_AREA)
        difference = np.abs(reduced.astype(int) - draw(scene, 256, 200))
        assert difference.mean() < 0.3
        assert difference.max() < 80


def test_aspect_ratio_moves_objects_apart_but_does_not_distort_them():
    item = Item("circle", "blue", 0.25, 0.7, 0.3)
    for height, width in ((100, 250), (250, 100), (100, 100)):
        mask, _, _ = coverage(item, height, width)
        assert mask.sum() / 255 == pytest.approx(np.pi * 15**2, rel=0.02)
        left, top, right, bottom = box(item, height, width)
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((0.25 * width, 0.7 * height))


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 160), (160, 64), (640, 256)])
def test_objects_are_whole_and_do_not_overlap(height, width):
    for i in range(60):
        scene = examples.scene(i, "test")
        seen = np.zeros((height, width), int)
        for item in scene.objects:
            mask, row, column = coverage(item, height, width)
            x0, y0, x1, y1 = box(item, height, width)
            assert min(x0, y0, width - x1, height - y1) > 0
            if item.inside is None:
                seen[row : row + mask.shape[0], column : column + mask.shape[1]] += mask > 0
            else:
                outer, top, left = coverage(scene.objects[item.inside], height, width)
                frame = np.zeros((height, width), np.uint8)
                frame[top : top + outer.shape[0], left : left + outer.shape[1]] = outer
                inner = frame[row : row + mask.shape[0], column : column + mask.shape[1]]
                assert inner[mask > 0].min() == 255
        assert seen.max() == 1
