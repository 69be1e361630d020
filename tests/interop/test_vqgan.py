"""Namings of VQ-GANs: every parameter has its tensor, whichever project wrote the file."""

import json
import pathlib

import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop import vqgan
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGANSettings

NAMES = json.loads((pathlib.Path(__file__).parent.parent / "fixtures" / "image_tokenizers.json").read_text())


class Shapes:
    """A source of nothing but shapes."""

    path = "file"

    def __init__(self, shapes, prefix=""):
        self.tensors = {prefix + name: tuple(shape) for name, shape in shapes.items()}

    def __contains__(self, name):
        return name in self.tensors

    def names(self):
        return list(self.tensors)

    def shape(self, name):
        return self.tensors[name]


def llamagen(name):
    """What LlamaGen calls a tensor of `transformers`' Janus."""
    for old, new in (
        (".down.", ".conv_blocks."),
        (".up.", ".conv_blocks."),
        (".mid.block_1.", ".mid.0."),
        (".mid.attn_1.", ".mid.1."),
        (".mid.block_2.", ".mid.2."),
        (".block.", ".res."),
    ):
        name = name.replace(old, new)
    return name


LLAMAGEN = {llamagen(name): shape for name, shape in NAMES["janus"].items()}


@pytest.mark.parametrize(
    ("names", "prefix", "naming", "settings"),
    [
        (NAMES["chameleon"], "", vqgan.CHAMELEON, VQGANSettings(32, (1, 2), 1, 16)),
        (NAMES["chameleon deep"], "model.vqmodel.", vqgan.CHAMELEON, VQGANSettings(32, (1, 1, 2), 2, 24)),
        (NAMES["janus"], "model.vqmodel.", vqgan.HUGGING, VQGANSettings(32, (1, 2), 1, 16, attention=True)),
        (LLAMAGEN, "gen_vision_model.", vqgan.LLAMAGEN, VQGANSettings(32, (1, 2), 1, 16, attention=True)),
    ],
)
def test_every_tensor_has_its_parameter(names, prefix, naming, settings):
    found = vqgan.find(Shapes(names, prefix))
    assert found == vqgan.Found(prefix, naming, settings, QuantizerSettings(kind="vq", size=64, features=8), True)
    used = {}
    for part in ("encoder", "decoder"):
        rules, shapes = vqgan.mapping(found, part)
        for path, rule in rules.items():
            (name,) = rule.sources
            assert len(names[name.removeprefix(prefix)]) == len(shapes[path])
            used[name] = path
    assert used.keys() == {prefix + name for name in names} - {prefix + vqgan.CODEBOOK}


def test_other_things_are_no_vqgan():
    with pytest.raises(InputError, match="no VQ-GAN"):
        vqgan.find(Shapes({"model.embed_tokens.weight": (2, 3)}))
    with pytest.raises(InputError, match=r"\[48, 64\] channels after 32"):
        vqgan.find(Shapes({**NAMES["chameleon"], "encoder.down.0.block.0.conv1.weight": (48, 32, 3, 3)}))
