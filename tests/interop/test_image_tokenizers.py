"""Imported image tokenizers against the originals, on twenty pictures; no torch needed (see fixtures/make_image_tokenizers)."""

import json
import pathlib

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop.image_tokenizers import VQImages, load_image_tokenizer

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
NAMES = json.loads((FIXTURES / "image_tokenizers.json").read_text())
KNOWN = np.load(FIXTURES / "image_tokenizers.npz")


@pytest.fixture(scope="module")
def imported(write):
    return {family: load_image_tokenizer(write(family)) for family in NAMES}


SLOW = ("chameleon deep", "chameleon wide", "janus deep", "janus wide")


@pytest.mark.parametrize("family", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES])
def test_codes_are_identical_and_pixels_equal(imported, family):
    images = VQImages(imported[family])
    codes = images.encode(KNOWN["images"])
    assert len(codes) == 20
    assert len(np.unique(codes)) > 20  # positive control: the pictures differ, and so do their codes
    np.testing.assert_array_equal(codes.reshape(20, -1), KNOWN[f"{family} codes"])
    painted = images.paint(codes)
    assert painted.shape == (20, 32, 32, 3)
    np.testing.assert_allclose(painted[:, ::3, ::3], KNOWN[f"{family} pixels"], atol=1e-4)


def same(one, other):
    flat = [np.concatenate([np.ravel(x) for _, x in sorted(leaves(v.variables))]) for v in (one, other)]
    return np.array_equal(*flat)


def leaves(tree, path=""):
    return [
        pair for k, v in tree.items() for pair in (leaves(v, f"{path}/{k}") if isinstance(v, dict) else [(f"{path}/{k}", v)])
    ]


def test_encoder_and_decoder_may_come_from_two_files(write, imported):
    """As `transformers` stores Chameleon: an encoder within the language model, no decoder."""

    def hugging(tensors):
        kept = {f"model.vqmodel.{n}": x for n, x in tensors.items() if not n.startswith("decoder.")}
        return kept | {"lm_head.weight": np.zeros((2, 2), np.float32)}

    alone = load_image_tokenizer(write("chameleon", hugging))
    assert not alone.decodes
    with pytest.raises(InputError, match="without a decoder cannot draw"):
        VQImages(alone).paint(np.zeros((1, 2, 2), int))
    with pytest.raises(InputError, match="want one as the master"):
        alone.master(32)
    both = load_image_tokenizer(write("chameleon", hugging), write("chameleon"))
    assert same(both, imported["chameleon"])
    with pytest.raises(InputError, match="other sizes"):
        load_image_tokenizer(write("chameleon", hugging), write("chameleon deep"))


def test_llamagens_names_mean_the_same_network(write, imported):
    def llamagen(tensors):
        order = (
            (".down.", ".conv_blocks."),
            (".up.", ".conv_blocks."),
            (".mid.block_1.", ".mid.0."),
            (".mid.attn_1.", ".mid.1."),
            (".mid.block_2.", ".mid.2."),
            (".block.", ".res."),
        )
        renamed = {}
        for name, x in tensors.items():
            for old, new in order:
                name = name.replace(old, new)
            renamed[name] = x
        return renamed | {"quantize.codebook_used": np.zeros(4, np.float32)}

    found = load_image_tokenizer(write("janus", llamagen))
    assert found.naming == "llamagen"
    assert same(found, imported["janus"])
    np.testing.assert_allclose(np.linalg.norm(found.variables["codebook"]["quantize"]["embedding"], axis=1), 1, atol=1e-6)


def test_codes_may_be_in_another_order(write, imported):
    order = np.random.default_rng(0).permutation(64)
    found = load_image_tokenizer(write("chameleon"), order=order)
    old, new = (x.variables["codebook"]["quantize"]["embedding"] for x in (imported["chameleon"], found))
    np.testing.assert_array_equal(new, old[order])
    with pytest.raises(InputError, match="no permutation of 64"):
        load_image_tokenizer(write("chameleon"), order=[0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {n: x for n, x in t.items() if n != "decoder.conv_in.bias"}, "decoder.conv_in.bias is missing"),
        (lambda t: t | {"encoder.down.0.x": np.zeros(3, np.float32)}, "encoder.down.0.x [3] belongs to no"),
        (lambda t: t | {"quant_conv.bias": np.zeros(9, np.float32)}, "quant_conv.bias is [9]; want [8]"),
    ],
    ids=("missing", "extra", "shape"),
)
def test_a_file_that_does_not_fit_is_refused(write, change, message):
    with pytest.raises(InputError) as caught:
        load_image_tokenizer(write("chameleon", change))
    assert message in str(caught.value)


def test_it_is_a_master_tokenizer(imported):
    settings, variables = imported["chameleon"].master(32)
    assert (settings.kind, settings.grid, settings.quantizer.size) == ("vqgan", 16, 64)
    assert variables.keys() == {"params", "codebook"}
    assert variables["params"]["vqmodel"].keys() == {"encoder", "decoder", "quant_conv", "post_quant_conv"}
    settings.validate("config")
