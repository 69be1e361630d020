"""An imported image tokenizer is a run of stage `tokenizer` at step 0, for everything that reads such runs."""

import dataclasses
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.interop.image_tokenizers import load_image_tokenizer
from ugf_jax.interop.tokenizer_run import describe, import_image_tokenizer, table
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.quantizers import QuantizerSettings, make_codebook
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.stages.tokenizer import Settings, build
from ugf_jax.training.start import find_start

KNOWN = np.load(pathlib.Path(__file__).parent.parent / "fixtures" / "image_tokenizers.npz")
SMALL = AuxiliarySettings(patch=8, window=2, width=16, depth=2, heads=2, groups=2, quantizer=QuantizerSettings(levels=(4, 4)))


@pytest.fixture(scope="module")
def imported(write):
    return load_image_tokenizer(write("chameleon"))


@pytest.fixture(scope="module")
def run(imported, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "chameleon"
    import_image_tokenizer(imported, out, 32, seed=3, auxiliary=SMALL)
    return out


def test_its_master_is_the_original_and_its_auxiliary_paints_nothing_yet(run):
    """Against the codes and pixels that were stored of the original; see fixtures/make_image_tokenizers."""
    tokenizer = ImageTokenizer.load(run)
    assert (tokenizer.step, tokenizer.settings.auxiliary) == (0, SMALL)
    made = tokenizer.reconstruct(KNOWN["images"])
    codes = np.stack([one.master for one in made["codes"]])
    np.testing.assert_array_equal(codes.reshape(20, -1), KNOWN["chameleon codes"])
    pixels = np.clip(KNOWN["chameleon pixels"] * 127.5 + 127.5, 0, 255)
    assert np.abs(made["master"][:, ::3, ::3] - pixels).max() < 0.51
    np.testing.assert_array_equal(made["full"], made["master"])


def test_training_takes_over_its_codebook(run, imported, tmp_path):
    settings = config.parse(Settings, json.loads((run / "config.json").read_text()))
    settings, stage = dataclasses.replace(settings, init_from=str(run)), build(settings)
    image = {"image": jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)}
    params, state = jax.eval_shape(stage.init, jax.eval_shape(lambda: jax.random.key(0)), image)
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), (params, state))
    with Checkpointer(tmp_path / "own") as own:
        start = find_start(settings, {}, types.SimpleNamespace(params=abstract[0], model_state=abstract[1]), own, False)
    for found, part in ((start.params["tokenizer"]["master"], "params"), (start.codebooks["codebook"]["master"], "codebook")):
        jax.tree.map(np.testing.assert_array_equal, found["vqmodel"], imported.variables[part])


@pytest.mark.parametrize("held", [True, False])
def test_its_codes_stay_where_they_are_in_training(run, imported, held):
    quantizer = ImageTokenizer.load(run).settings.master.quantizer if held else imported.quantizer
    model = make_codebook(quantizer)
    latents = jax.random.normal(jax.random.key(0), (50, quantizer.features))
    before = imported.variables["codebook"]["quantize"]
    _, after = model.apply({"codebook": before}, latents, None, jax.random.key(1), mutable=["codebook"])
    assert np.array_equal(after["codebook"]["embedding"], before["embedding"]) == held


def test_what_becomes_of_each_tensor_is_told(write, imported):
    source = write("chameleon")
    lines = table(source)
    assert len(lines) == len(source.names())
    assert all(sum(f"<- {name}" in line for line in lines) == 1 for name in ("encoder.conv_in.weight", "decoder.conv_in.bias"))
    assert describe(imported).startswith("VQ-GAN (chameleon), 64 codes of 8 features, 2 pixels a code")


def test_what_cannot_be_a_run_is_refused(write, imported, run, tmp_path):
    with pytest.raises(InputError, match="holds something already"):
        import_image_tokenizer(imported, run, 32, auxiliary=SMALL)
    with pytest.raises(InputError, match=r"master\.size is 33; want a multiple of"):
        import_image_tokenizer(imported, tmp_path / "out", 33, auxiliary=SMALL)
    half = load_image_tokenizer(write("chameleon", lambda t: {n: x for n, x in t.items() if not n.startswith("decoder.")}))
    with pytest.raises(InputError, match="without a decoder"):
        import_image_tokenizer(half, tmp_path / "out", 32, auxiliary=SMALL)
    assert not (tmp_path / "out").exists()
