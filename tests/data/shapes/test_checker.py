import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import agreement, draw, find, picture_size, prompt_and_scene, satisfies, scene
from ugf_jax.data.shapes.checker import UNKNOWN, match_shape
from ugf_jax.data.shapes.drawing import box, coverage
from ugf_jax.data.shapes.graph import SHAPES, Item, Scene


def jpeg(image, rng):
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def noise(image, rng):
    return np.clip(np.rint(image + rng.normal(0, 8, image.shape)), 0, 255).astype(np.uint8)


def blur(image, rng):
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def clean(image, rng):
    return image


def accuracy(count, side, degrade=clean, split="test"):
    rng = np.random.default_rng(0)
    right = 0
    for i in range(count):
        true = scene(i, split)
        image = np.ascontiguousarray(degrade(draw(true, *picture_size(i, split, side)), rng))
        right += all(agreement(find(image).scene, true).values())
    return right / count


@pytest.mark.parametrize(("side", "degrade", "least"), [(256, clean, 0.99), (128, clean, 0.98), (512, clean, 0.99)])
def test_true_scenes_are_found_whole(side, degrade, least):
    assert accuracy(150 if side == 256 else 80, side, degrade) >= least


@pytest.mark.parametrize("degrade", [jpeg, noise, blur])
def test_degraded_scenes_are_found_whole(degrade):
    assert accuracy(60, 256, degrade) >= 0.98
    assert accuracy(100, 128, degrade) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("degrade", [clean, jpeg, noise, blur])
@pytest.mark.parametrize("side", [128, 192, 256, 384, 512])
def test_scenes_of_every_size_are_found_whole(side, degrade, split):
    assert accuracy(1200, side, degrade, split) >= (0.99 if degrade is clean or side >= 192 else 0.97)


def test_prompts_are_met_by_their_own_pictures_and_hardly_by_others():
    prompts = [prompt_and_scene(i) for i in range(210)]
    found = [find(draw(s, *picture_size(i))).scene for i, (_, _, s) in enumerate(prompts)]
    own = [all(satisfies(f, r).values()) for f, (_, r, _) in zip(found, prompts, strict=True)]
    order = np.random.default_rng(0).permutation(len(prompts))
    others = [all(satisfies(found[k], r).values()) for k, (_, r, _) in zip(order, prompts, strict=True)]
    assert np.mean(own) >= 0.99
    assert np.mean(others) <= 0.05


def test_places_and_boxes_are_accurate_to_a_pixel():
    for i in range(40):
        true, size = scene(i), picture_size(i)
        found = find(draw(true, *size))
        for seen, bounds in zip(found.scene.objects, found.boxes, strict=True):
            o = min(true.objects, key=lambda o: np.hypot(o.x - seen.x, o.y - seen.y) + abs(o.diameter - seen.diameter))
            assert abs(seen.x - o.x) * size[1] < 0.7
            assert abs(seen.y - o.y) * size[0] < 0.7
            assert seen.diameter == pytest.approx(o.diameter, rel=0.06)
            assert np.allclose(bounds, box(o, *size), atol=3.0)


def test_nothing_is_found_in_nothing():
    assert find(np.full((90, 130, 3), 255, np.uint8)).scene == Scene("white", ())


def test_a_blot_has_no_shape():
    rng = np.random.default_rng(1)
    image = np.full((256, 256, 3), 255, np.uint8)
    for x, y in ((40, 60), (60, 150), (110, 90), (160, 170)):
        cv2.line(image, (x, y), (x + 60, y - 30), (200, 30, 30), 4)
        cv2.line(image, (110, 110), (x, y), (200, 30, 30), 4)
    found = find(noise(image, rng))
    assert {o.shape for o in found.scene.objects} == {UNKNOWN}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.01, 1.5])
def test_each_shape_matches_itself_at_every_size(shape, spread):
    for side in (14, 40, 160):
        mask, _, _ = coverage(Item(shape, "red", 0.5, 0.5, 0.5), side * 2, side * 2)
        covered = cv2.GaussianBlur(np.pad(mask / 255, 6), (0, 0), spread)
        name, diameter, _, fit = match_shape(covered)
        assert name == shape
        assert diameter == pytest.approx(side, rel=0.06)
        assert fit > 0.9


def test_finding_is_deterministic_and_leaves_the_picture_alone():
    image = draw(scene(7), 200, 256)
    copy = image.copy()
    assert find(image) == find(copy)
    assert np.array_equal(image, copy)


def test_agreement_sees_each_difference():
    star, ring = Item("star", "red", 0.2, 0.2, 0.38), Item("ring", "blue", 0.5, 0.5, 0.18)
    true = Scene("white", (star, ring))
    cases = {
        (): Scene("white", (ring, star)),
        ("background",): Scene("black", (star, ring)),
        ("colour",): Scene("white", (star, Item("ring", "cyan", 0.5, 0.5, 0.18))),
        ("shape",): Scene("white", (star, Item("circle", "blue", 0.5, 0.5, 0.18))),
        ("position", "relation"): Scene("white", (star, Item("ring", "blue", 0.2, 0.5, 0.18))),
        ("size", "relation"): Scene("white", (star, Item("ring", "blue", 0.5, 0.5, 0.38))),
        ("count", "shape", "colour", "size", "position", "relation"): Scene("white", (star,)),
    }
    for wrong, found in cases.items():
        assert tuple(name for name, right in agreement(found, true).items() if not right) == wrong
