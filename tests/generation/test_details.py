import jax
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.generation.details import DetailGenerator, abstract_params
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.models.detail import DetailSettings
from ugf_jax.models.tokenizer import DualTokenizer
from ugf_jax.models.unmasking import UnmaskSettings
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.stages.detail import Settings


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jax.device_put(0.3 * rng.standard_normal(x.shape, np.float32)), tree)


def make_tokenizer(settings, seed=0):
    model, image = DualTokenizer(settings), np.zeros((1, 16, 16, 3), np.float32)
    return ImageTokenizer(settings, random_like(jax.eval_shape(lambda: model.init(jax.random.key(0), image)), seed))


@pytest.fixture(scope="module")
def tokenizer(make_model):
    return make_tokenizer(make_model())


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """Work folder of a detail run: random parameters, averages and the tokenizer."""
    settings = Settings(
        tokenizer="runs/tokenizer",
        model=DetailSettings(width=16, depth=2, heads=2, window=2),
        sampling=UnmaskSettings(steps=2),
        optimizer=OptimizerSettings(ema_decay=0.5),
    )
    abstract = {"detail": abstract_params(settings.model, tokenizer)}
    state = {
        "params": random_like(abstract, 2),
        "ema": random_like(abstract, 3),
        "model_state": {"tokenizer": tokenizer.variables},
    }
    folder = tmp_path_factory.mktemp("detail")
    with Checkpointer(folder / "checkpoints") as checkpoints:
        checkpoints.save(5, state, {"config": config.to_json(settings)})
    return folder, state


@pytest.fixture(scope="module")
def generator(folder, tokenizer):
    return DetailGenerator.load(folder[0], tokenizer)


SIZE = (21, 40)  # not multiples of the patch
MASTER = np.arange(8).reshape(2, 2, 2)


def test_codes_are_whole_and_decode_to_the_pictures(generator, tokenizer):
    codes, pictures = generator.complete(MASTER, SIZE, jax.random.key(0))
    assert pictures.shape == (2, *SIZE, 3)
    for one, master in zip(codes, MASTER, strict=True):
        np.testing.assert_array_equal(one.master, master)
        assert one.bucket == (24, 40)
        assert one.kept[0].shape == (3, 5)
        assert one.auxiliary[0].shape == (3, 5, 2)
        assert one.auxiliary[0].max() < tokenizer.settings.auxiliary.quantizer.codebook_size
    decoded = tokenizer.decode(codes, SIZE)
    assert np.abs(decoded.astype(int) - pictures).max() <= 1  # other fusions in another program


def test_equal_keys_draw_equally_whatever_else_is_in_the_batch(generator):
    keys = jax.random.split(jax.random.key(1), 2)
    (first, second), _ = generator.complete(MASTER, SIZE, keys)
    (turned, again), _ = generator.complete(MASTER[[1, 0]], SIZE, keys[::-1])
    np.testing.assert_array_equal(first.auxiliary[0], again.auxiliary[0])
    np.testing.assert_array_equal(second.auxiliary[0], turned.auxiliary[0])
    (other, _), _ = generator.complete(MASTER, SIZE, keys[::-1])
    assert (first.auxiliary[0] != other.auxiliary[0]).any()


def test_averaged_parameters_are_loaded(generator, folder):
    assert generator.step == 5
    assert generator.sampling == UnmaskSettings(steps=2)
    jax.tree.map(np.testing.assert_array_equal, generator.params, folder[1]["ema"]["detail"])


def test_what_does_not_go_together_is_refused(folder, tokenizer, make_model, tmp_path):
    with pytest.raises(InputError, match="not the work folder of a training run"):
        DetailGenerator.load(tmp_path, tokenizer)
    with pytest.raises(InputError, match="trained with the codes of another tokenizer; want those of runs/tokenizer"):
        DetailGenerator.load(folder[0], make_tokenizer(make_model(), seed=1))
    with pytest.raises(InputError, match="does not go with this tokenizer"):
        DetailGenerator.load(folder[0], make_tokenizer(make_model("vq")))
