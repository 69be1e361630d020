"""Images of any size to codes and back, and tokenizers read from training runs."""

import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from ugf_jax.data import records
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer, to_pixels
from ugf_jax.models.tokenizer import DualTokenizer
from ugf_jax.training.checkpoints import Checkpointer, restore_params, saved_arrays
from ugf_jax.training.stages.tokenizer import to_float

SIZE, CANVAS = (13, 21), (16, 24)


@pytest.fixture(scope="module")
def make(make_model):
    """Tokenizers whose parameters are all random: fresh ones draw nothing."""

    @functools.cache
    def make(**auxiliary):
        settings = make_model(**auxiliary)
        shapes = jax.eval_shape(DualTokenizer(settings).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        rng = np.random.default_rng(0)
        return ImageTokenizer(
            settings, jax.tree.map(lambda s: jnp.asarray(0.4 * rng.standard_normal(s.shape), jnp.float32), shapes)
        )

    return make


def assert_same_codes(a, b):
    for one, other in zip(jax.tree.leaves(list(map(vars, a))), jax.tree.leaves(list(map(vars, b))), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size", [SIZE, (17, 16)])
def test_any_size_comes_back_as_it_went_in(make, noise, size):
    tokenizer, images = make(), noise(2, *size)
    codes = tokenizer.encode(images)
    rows, columns = (-(-side // 8) for side in size)
    assert [c.bucket for c in codes] == [(8 * rows, 8 * columns)] * 2
    assert codes[0].master.shape == (2, 2)
    assert codes[0].auxiliary[0].shape == (rows, columns, 2)
    assert codes[0].kept[0].shape == (rows, columns)
    decoded = tokenizer.decode(codes, size)
    assert (decoded.shape, decoded.dtype) == (images.shape, np.uint8)


def test_reconstruction_is_decoding_of_the_codes(make, noise):
    tokenizer, images = make(), noise(2, *SIZE)
    found, codes = tokenizer.reconstruct(images), tokenizer.encode(images)
    assert_same_codes(found["codes"], codes)
    np.testing.assert_array_equal(found["full"], tokenizer.decode(codes, SIZE))
    np.testing.assert_array_equal(found["master"], tokenizer.decode(codes, SIZE, levels=0))
    assert (found["full"] != found["master"]).any()


def test_codes_and_pixels_are_those_of_the_model_on_the_continued_image(make, noise):
    tokenizer, images = make(), noise(2, *SIZE)
    padded = np.pad(images, ((0, 0), (0, 3), (0, 3), (0, 0)), mode="edge")
    model = DualTokenizer(tokenizer.settings)
    wanted = jax.jit(lambda v, x: model.apply(v, x, method="encode"))(tokenizer.variables, to_float(jnp.asarray(padded)))
    codes = tokenizer.encode(images)
    for i, one in enumerate(codes):
        np.testing.assert_array_equal(one.master, wanted.master[i])
        np.testing.assert_array_equal(one.auxiliary[0], wanted.auxiliary[0][i])
        np.testing.assert_array_equal(one.kept[0], wanted.kept[0][i])
    painted = jax.jit(lambda v, codes: model.apply(v, codes, *CANVAS, method="decode"))(tokenizer.variables, wanted)
    for levels, image in ((None, painted.recon), (0, painted.up)):
        pixels = tokenizer.decode(codes, SIZE, levels).astype(int)
        assert np.abs(pixels - to_pixels(image)[:, : SIZE[0], : SIZE[1]]).max() <= 1  # rounding of floats computed apart


def test_the_master_alone_needs_no_auxiliary_codes(make, noise):
    tokenizer = make()
    codes = tokenizer.encode(noise(2, *SIZE))
    blank = [records.ImageCodes(c.master, tuple(np.zeros_like(a) for a in c.auxiliary), c.kept, c.bucket) for c in codes]
    np.testing.assert_array_equal(tokenizer.decode(codes, SIZE, levels=0), tokenizer.decode(blank, SIZE, levels=0))
    assert (tokenizer.decode(codes, SIZE) != tokenizer.decode(blank, SIZE)).any()


@pytest.mark.parametrize(("keep", "positions"), [(0.0, 0), (0.5, 3), (0.34, 3), (1.0, 6)])
def test_the_budget_is_kept_and_paid_for(make, noise, keep, positions):
    tokenizer = make()
    for codes in tokenizer.encode(noise(2, *SIZE), keep):
        assert codes.kept[0].sum() == positions  # of 2 x 3
        assert not codes.auxiliary[0][~codes.kept[0]].any()
        # 64 codes are 6 bits: 4 of the master, 2 a kept position; and which of the 6 positions are kept, where not all are.
        mask = 6 if positions < 6 else 0
        assert tokenizer.bits(codes) == {"master": 24.0, "auxiliary": 12.0 * positions + mask}


def test_of_no_budget_only_the_master_codes_are_made(make, noise):
    tokenizer = make(levels=2)
    images = noise(2, 40, 50)
    for one, whole in zip(tokenizer.encode(images, keep=0), tokenizer.encode(images), strict=True):
        np.testing.assert_array_equal(one.master, whole.master)
        assert [kept.shape for kept in one.kept] == [kept.shape for kept in whole.kept]
        assert [codes.shape for codes in one.auxiliary] == [codes.shape for codes in whole.auxiliary]
        assert not any(kept.any() for kept in one.kept)
        assert one.bucket == whole.bucket


def test_the_budget_goes_where_the_master_misses_most(make):
    tokenizer = make()
    # Whatever the master paints, noise in one cell costs most there.
    image = np.full((2, *CANVAS, 3), 128, np.uint8)
    image[:, 8:16, 16:24] = np.where(np.indices((8, 8)).sum(0)[..., None] % 2, 255, 0)
    kept = tokenizer.encode(image, keep=1 / 6)[0].kept[0]
    low = tokenizer.decode(tokenizer.encode(image), CANVAS, levels=0)[0]
    energy = np.square(low.astype(float) - image[0]).reshape(2, 8, 3, 8, 3).mean(axis=(1, 3, 4))
    assert kept.sum() == 1
    assert np.argmax(kept) == np.argmax(energy)


def test_codes_of_another_canvas_are_refused(make, noise):
    codes = make().encode(noise(2, *SIZE))
    make().decode(codes, (9, 17))  # the same canvas
    with pytest.raises(InputError) as caught:
        make().decode(codes, (17, 21))
    assert str(caught.value) == "codes of a 16x24 canvas; an image of 17x21 pixels has codes of 24x24"


def test_two_levels_work_at_odd_sizes(make, noise):
    tokenizer, images = make(levels=2), noise(1, 19, 37)
    codes = tokenizer.encode(images)
    assert [a.shape for a in codes[0].auxiliary] == [(2, 3, 2), (3, 5, 2)]
    full, one, none = (tokenizer.decode(codes, (19, 37), levels) for levels in (None, 1, 0))
    assert full.shape == one.shape == none.shape == images.shape
    assert (full != one).any()
    assert (one != none).any()
    assert tokenizer.bits(codes[0]) == {"master": 24.0, "auxiliary": 12.0 * (6 + 15)}


def test_codes_survive_a_record(make, noise):
    tokenizer = make()
    codes = tokenizer.encode(noise(2, *SIZE), keep=0.5)
    stored = records.unpack(records.pack(records.Record("a", codes=tuple(codes)))).codes
    assert_same_codes(stored, codes)
    np.testing.assert_array_equal(tokenizer.decode(stored, SIZE), tokenizer.decode(codes, SIZE))


@pytest.mark.parametrize(("kind", "average"), [("fsq", True), pytest.param("vq", False, marks=pytest.mark.slow)])
def test_a_loaded_tokenizer_has_the_variables_of_the_checkpoint(run, kind, average):
    tokenizer = ImageTokenizer.load(run(kind))
    assert tokenizer.step == 2
    assert tokenizer.config["stage"] == "tokenizer"
    folder = epath.Path(run(kind)) / "checkpoints"
    arrays = {k: jax.ShapeDtypeStruct(s, d) for k, (d, s) in saved_arrays(folder).items() if not d.startswith("key")}
    _, state = restore_params(folder, flax.traverse_util.unflatten_dict(arrays, sep="/"))
    assert ("ema" in state) == average
    wanted = {"params": state["ema" if average else "params"]["tokenizer"], **state.get("model_state", {})}
    assert jax.tree.structure(tokenizer.variables) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, tokenizer.variables, wanted)
    assert ("codebook" in tokenizer.variables) == (kind == "vq")
    assert tokenizer.reconstruct(np.zeros((2, *SIZE, 3), np.uint8))["full"].shape == (2, *SIZE, 3)


def test_the_digest_tells_trainings_apart(run):
    first, second, again = (ImageTokenizer.load(run("fsq"), step).digest() for step in (1, 2, None))
    assert first != second
    assert second == again


def test_what_is_no_tokenizer_is_refused(run, tmp_path):
    with pytest.raises(InputError, match=r"nothing: not the work folder of a training run"):
        ImageTokenizer.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="no checkpoint of step 7; steps there: 1, 2"):
        ImageTokenizer.load(run("fsq"), step=7)
    with Checkpointer(tmp_path / "other" / "checkpoints") as checkpoints:
        checkpoints.save(1, {"params": jnp.ones(2)}, {"config": {"stage": "transformer"}})
    with pytest.raises(InputError, match="a run of stage 'transformer'; want stage 'tokenizer'"):
        ImageTokenizer.load(tmp_path / "other")
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="no checkpoints there"):
        ImageTokenizer.load(tmp_path / "empty")
