"""What a source is and what it will become, before any value is read."""

import dataclasses
import json
import math
import pathlib
import shutil

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop.pickled import InMemory
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import Source, open_source
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training.bundle import UniTokenSettings
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import abstract_params
from ugf_jax.training.stages import unitoken
from ugf_jax.training.start import computation

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"


def unread(name, **change):
    """A source of the fixtures whose values cannot be read, with another config."""
    source = open_source(FOLDER / name)
    found = Source(source.path, source.config | change, {n: Unread(source.shape(n)) for n in source.names()})
    return found


@dataclasses.dataclass(frozen=True)
class Unread:
    shape: tuple[int, ...]
    dtype: np.dtype = np.dtype(np.float32)

    def read(self):
        raise AssertionError("a plan reads no values")


@pytest.mark.parametrize("name", ["llama-1", "qwen2-0", "qwen3-1", "chameleon-2", "unitoken-0"])
def test_a_plan_gives_every_parameter_a_source_or_calls_it_new(name):
    plan = plan_import(unread(name))
    plan.check()
    given = [target for part in plan.parts for target in part.mapping]
    assert len(set(given)) == len(given)
    assert {*given, *plan.new} == plan.shapes.keys()
    assert not {*given} & {*plan.new}
    table = plan.table()
    for target in plan.shapes:
        assert sum(line.startswith(f"{target} [") for line in table) == 1
    used = {tensor for part in plan.parts for rule in part.mapping.values() for tensor in rule.sources}
    for tensor in plan.parts[0].source.names():  # each is used, or is said not to be, with the reason
        assert (tensor in used) != any(line.startswith(f"not used: {tensor} (") for line in table)
    assert plan.settings.imported == plan.parts[0].source.config


def test_a_text_model_gets_ids_and_memory_and_chameleon_nothing_unless_asked():
    plain, rich = (
        plan_import(unread("llama-1")),
        plan_import(unread("llama-1"), Additions(memory=MemorySettings(), cross_every=2)),
    )
    words, rows = plain.settings.vocabulary, plain.parts[0].source.config["vocab_size"]
    assert (words.text, words.total) == (rows, plain.shapes["fusion/embed/embedding"][0])
    assert words.total > rows + words.codes
    assert (plain.settings.model.cross_every, rich.settings.model.cross_every) == (4, 2)
    assert plain.shapes["fusion/layers/gate"] == (1,)
    assert rich.shapes["fusion/layers/gate"] == (2,)
    none = plan_import(unread("llama-1"), Additions(1, 1, None, embedding=0))
    assert none.new == []
    assert plan_import(unread("chameleon-0")).new == []
    joined = plan_import(unread("chameleon-0"), Additions(memory=MemorySettings()))
    assert joined.settings.model.gate > 0  # what it lets through starts at 0; nothing would learn behind a closed one
    assert joined.settings.vocabulary == plan_import(unread("chameleon-0")).settings.vocabulary
    assert {name.split("/")[1] for name in joined.new} == {"memory", "layers"}
    assert {name.split("/")[1] for name in plain.new} == {"memory", "layers", "embed_image", "embed_text", "contrast"}


def test_ids_of_chameleon_are_those_its_config_names():
    plan = plan_import(unread("unitoken-0"))
    words = plan.settings.vocabulary
    assert isinstance(plan.settings, UniTokenSettings)
    assert (words.bos, words.pad, words.eoi, words.boi, words.sep, words.end, words.newline) == (0, 1, 40, 41, 42, 43, 44)
    assert (words.first_code, words.codes, words.total) == (4, 16, 96)
    published = unread("chameleon-0", vocab_size=65_536, vocabulary_map=None)
    assert plan_import(published).settings.vocabulary == UniTokenSettings().vocabulary  # without names: as published
    names = plan.parts[0].source.config["vocabulary_map"]
    holes = {name: i + (name == "IMGIMGPZ") for name, i in names.items()}
    with pytest.raises(InputError, match="vocabulary_map: the ids of IMGIMG… are not consecutive"):
        plan_import(unread("unitoken-0", vocabulary_map=holes))
    with pytest.raises(InputError, match=r"vocabulary_map.boi is 96; want it below .*total, 96"):
        plan_import(unread("unitoken-0", vocabulary_map=names | {"<racm3:break>": 96}))


def test_a_tower_is_joined_only_to_a_model_without():
    seen = unread("siglip-1")
    plan = plan_import(unread("qwen2-0"), vision=seen)
    plan.check()
    assert {part.source.path.name for part in plan.parts} == {"qwen2-0", "siglip-1"}
    assert sum(name.startswith("fusion/adapter/") for name in plan.new) == 4
    with pytest.raises(InputError, match=r"unitoken-0: has a vision tower already; leave out .*siglip-1"):
        plan_import(unread("unitoken-0"), vision=seen)
    with pytest.raises(InputError, match=r"llama-0: no vision tower of SigLIP in it"):
        plan_import(unread("qwen2-0"), vision=unread("llama-0"))


def test_layers_are_grouped_as_asked_or_as_they_divide():
    for every, gates in ((1, 4), (2, 2), (4, 1)):
        assert plan_import(unread("llama-1"), Additions(cross_every=every)).shapes["fusion/layers/gate"] == (gates,)
    with pytest.raises(InputError, match="--cross_every is 3; want a number that divides the model's 4 layers"):
        plan_import(unread("llama-1"), Additions(cross_every=3))


def test_what_is_not_a_model_is_called_by_its_name(tmp_path):
    parts = {"encoder.conv_in.weight": 1, "quantize.embedding.weight": 1}
    tensors = {name: InMemory(np.zeros(n)) for name, n in parts.items()}
    known = {
        "siglip-0: a SigLIP vision tower, a part of a model; give it as --vision": unread("siglip-0"),
        "vq: an image tokenizer": Source(pathlib.Path("vq"), {}, tensors),
        "x: what it is cannot be told; want a config.json": Source(pathlib.Path("x"), {}, {}),
        r"x/config\.json: model_type is 'mamba'; want one of llama, ": Source(pathlib.Path("x"), {"model_type": "mamba"}, {}),
    }
    for message, source in known.items():
        with pytest.raises(InputError, match=message) as caught:
            plan_import(source)
        assert "\n" not in str(caught.value)


def test_a_tied_table_may_be_there_twice(tmp_path):
    """Some files hold the head beside the table that it is."""
    folder = shutil.copytree(FOLDER / "llama-1", tmp_path / "tied")
    source = open_source(folder)
    table = InMemory(source.read("model.embed_tokens.weight"))
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    tensors = {name: InMemory(source.read(name)) for name in source.names()} | {"lm_head.weight": table}
    plan = plan_import(Source(folder, source.config, tensors))
    plan.check()
    assert "not used: lm_head.weight (the table of embeddings again)" in plan.table()


def test_the_published_sizes_are_those_of_the_stages():
    """Chameleon-7B's and SigLIP-SO400M's config and shapes give the parameters that experiments/unitoken_stage1.py trains."""
    trunk = {"model_type": "chameleon", "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32}
    trunk |= {"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 65_536, "rms_norm_eps": 1e-5}
    seen = {"vision_model.embeddings.patch_embedding.weight": (1152, 3, 14, 14)}
    seen |= {"vision_model.embeddings.position_embedding.weight": (729, 1152)}
    seen |= {f"vision_model.encoder.layers.{n}.mlp.fc1.weight": (4304, 1152) for n in range(27)}
    vision = Source(pathlib.Path("siglip"), {"model_type": "siglip"}, {name: Unread(shape) for name, shape in seen.items()})
    source = Source(pathlib.Path("lumina"), trunk, {"lm_head.weight": Unread((65_536, 4096))})
    plan, wanted = plan_import(source, vision=vision), unitoken.Settings()
    assert plan.settings.vocabulary == wanted.vocabulary
    assert computation(plan.settings.model) == computation(wanted.model)
    shapes = {f"fusion/{name}": x.shape for name, x in named_leaves(abstract_params(wanted)).items()}
    assert plan.shapes == shapes
    assert sum(math.prod(shape) for shape in shapes.values()) > 7e9
