import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import draw, find, picture_size, prompt_and_scene, satisfies, scene
from ugf_jax.data.shapes.checker import UNKNOWN, match_shape
from ugf_jax.data.shapes.drawing import box, coverage
from ugf_jax.data.shapes.graph import RELATIONS, SHAPES, Item, Scene


def jpeg(image, rng):
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def noise(image, rng):
    return np.clip(np.rint(image + rng.normal(0, 8, image.shape)), 0, 255).astype(np.uint8)


def blur(image, rng):
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def clean(image, rng):
    return image


def matching(found, true):
    """Number of the found object for each true one, by place and size, or None where their counts differ."""
    if len(found.objects) != len(true.objects):
        return None
    left, chosen = set(range(len(found.objects))), []
    for o in true.objects:
        chosen.append(
            min(
                left,
                key=lambda i, o=o: (
                    abs(found.objects[i].x - o.x) + abs(found.objects[i].y - o.y) + abs(found.objects[i].diameter - o.diameter)
                ),
            )
        )
        left.remove(chosen[-1])
    return chosen


def exactly_right(found, true):
    """Whether every object, attribute and relation, and the background, were found."""
    chosen = matching(found, true)
    if chosen is None or found.background != true.background:
        return False
    numbers = range(len(chosen))
    names = ("shape", "colour", "size", "position")
    return all(
        getattr(found.objects[k], name) == getattr(o, name) for k, o in zip(chosen, true.objects, strict=True) for name in names
    ) and all(
        found.holds(chosen[i], r, chosen[j]) == true.holds(i, r, j)
        for i in numbers
        for j in numbers
        if i != j
        for r in RELATIONS
    )


def accuracy(count, side, degrade=clean, split="test"):
    rng = np.random.default_rng(0)
    right = 0
    for i in range(count):
        true = scene(i, split)
        image = np.ascontiguousarray(degrade(draw(true, *picture_size(i, split, side)), rng))
        right += exactly_right(find(image).scene, true)
    return right / count


@pytest.mark.parametrize(("side", "degrade", "least"), [(256, clean, 0.99), (128, clean, 0.98), (512, clean, 0.99)])
def test_true_scenes_are_found_whole(side, degrade, least):
    assert accuracy(150, side, degrade) >= least


@pytest.mark.parametrize("degrade", [jpeg, noise, blur])
def test_degraded_scenes_are_found_whole(degrade):
    assert accuracy(100, 256, degrade) >= 0.98
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
        for k, o in zip(matching(found.scene, true), true.objects, strict=True):
            seen = found.scene.objects[k]
            assert abs(seen.x - o.x) * size[1] < 0.7
            assert abs(seen.y - o.y) * size[0] < 0.7
            assert seen.diameter == pytest.approx(o.diameter, rel=0.06)
            assert np.allclose(found.boxes[k], box(o, *size), atol=3.0)


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
