import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes.drawing import coverage, draw
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, Item, Scene
from ugf_jax.data.shapes.segment import background_name, border_colour, colour_of, differing, regions, share, to_lab


def _picture(shape="circle", colour="red", background="white", blur=0.0, side=128):
    image = draw(Scene(background, (Item(shape, colour, 0.5, 0.5, 0.19),)), side, side)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_background_is_read_from_the_border_even_when_an_object_touches_it(background):
    image = _picture(background=background)
    image[:40, :20] = COLOURS["green"]
    assert background_name(border_colour(image)) == background


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_are_named_on_every_background_however_thin_and_blurred(colour, background):
    for shape in ("circle", "ring"):
        image = _picture(shape, colour, background, blur=1.2, side=96)
        surround = border_colour(image)
        (region,) = regions(differing(to_lab(image), surround, 96), 96)
        assert colour_of(image, region, surround)[0] == colour


def test_a_hole_is_inside_the_mask_but_not_solid():
    image = _picture("ring")
    (region,) = regions(differing(to_lab(image), border_colour(image), 128), 128)
    rows, columns = region.mask.shape
    assert region.mask[rows // 2, columns // 2]
    assert not region.solid[rows // 2, columns // 2]
    assert image[region.view].shape[:2] == region.mask.shape


@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_share_measures_the_covered_area_whatever_the_blur(blur):
    image = _picture("star", "blue", "beige", blur)
    measured = share(image, np.float32(BACKGROUNDS["beige"]), np.float32(COLOURS["blue"])).sum()
    mask, _, _ = coverage(Item("star", "blue", 0.5, 0.5, 0.19), 128, 128)
    assert measured == pytest.approx(mask.sum() / 255, rel=0.02)


def test_dirt_is_not_a_region():
    differs = np.zeros((100, 100), bool)
    differs[10:13, 10:13] = True
    differs[50:70, 40:60] = True
    assert [r.box for r in regions(differs, 100)] == [(40, 50, 60, 70)]
