import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import agreement, find
from ugf_jax.data.shapes.drawing import draw as draw_plain
from ugf_jax.data.shapes.fine import Cluster, Dot, FineScene, Outline, Writing, draw, picture_size, scene
from ugf_jax.data.shapes.fine.graph import INKS
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, SHAPES, Item, Scene

BASE = Scene("white", (Item("square", "red", 0.3, 0.3, 0.38), Item("circle", "blue", 0.3, 0.3, 0.18, inside=0)))


def with_(outlines=(), writings=(), clusters=()):
    return FineScene(BASE, tuple(outlines), tuple(writings), tuple(clusters))


def count(image, colour):
    return int((image == colour).all(-1).sum())


def test_without_details_it_is_the_scene():
    for height, width in ((100, 100), (90, 120)):
        assert np.array_equal(draw(with_(), height, width), draw_plain(BASE, height, width))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_lies_within_the_object_and_is_as_thick_as_said(shape):
    item = Item(shape, "red", 0.5, 0.5, 0.38)
    plain = FineScene(Scene("white", (item,)), (), (), ())
    lined = FineScene(plain.scene, (Outline(0, "green", 0.01),), (), ())
    before, after = draw(plain, 400, 400), draw(lined, 400, 400)
    outside = (before == BACKGROUNDS["white"]).all(-1)
    assert (after[outside] == 255).all()
    green = (after == COLOURS["green"]).all(-1)
    assert 2 <= cv2.distanceTransform(green.astype(np.uint8), cv2.DIST_L2, 5).max() <= 3.5  # corners are thicker than 4 pixels
    assert count(after, COLOURS["red"]) > 0.6 * count(before, COLOURS["red"])


def test_an_outline_of_a_container_leaves_what_it_holds():
    image = draw(with_([Outline(0, "green", 0.01)]), 200, 200)
    assert tuple(image[60, 60]) == COLOURS["blue"]
    assert count(image, COLOURS["green"]) > 100


def test_text_and_dots_are_where_they_should_be():
    writing = Writing("H", 1, 0.0, 0.0, 0.05, "white")
    beside = Writing("LT", 0, 0.0, 0.25, 0.05, "black")
    dots = Cluster("bottom right", "pink", (Dot(0.8, 0.8, 0.03), Dot(0.9, 0.7, 0.03)))
    image = draw(with_((), [writing, beside], [dots]), 300, 400)  # the shorter side is 300
    white = np.argwhere((image[70:110, 100:140] == INKS["white"]).all(-1)).mean(0)
    assert np.allclose(white, (20, 20), atol=1)
    ink = np.argwhere((image == INKS["black"]).all(-1)).mean(0)
    assert np.allclose(ink, (0.3 * 300 + 0.25 * 300, 120), atol=3.5)
    pink = np.argwhere((image == COLOURS["pink"]).all(-1))
    assert np.allclose(pink.mean(0), (0.75 * 300, 0.85 * 400), atol=1)
    assert count(image, COLOURS["pink"]) == pytest.approx(2 * np.pi / 4 * 9**2, rel=0.3)


def test_a_scene_looks_the_same_at_every_resolution():
    for i in range(6):
        small, large = draw(scene(i), 256, 200), draw(scene(i), 1024, 800)
        reduced = cv2.resize(large, (200, 256), interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(int) - small).mean() < 0.6


def test_details_do_not_change_what_the_checker_finds_but_squashing_removes_them():
    right = 0
    for i in range(60):
        fine = scene(i, "test")
        image = draw(fine, *picture_size(i, "test"))
        plain = draw_plain(fine.scene, *image.shape[:2])
        right += all(agreement(find(image).scene, fine.scene).values())
        different = np.abs(image.astype(int) - plain).max(-1) > 60
        assert 0.001 < different.mean() < 0.05  # details are there, and they are small
    assert right >= 57
