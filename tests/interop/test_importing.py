"""An import is a model that everything here reads, and its export is the files that it came from."""

import dataclasses
import importlib.util
import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax import config
from ugf_jax.data.documents import Layout
from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError
from ugf_jax.generation.generate_tokens import GenerationSettings, TokenGenerator
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.generation.requests import Request
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import UnifiedModel
from ugf_jax.interop.exporting import export_hf
from ugf_jax.interop.importing import import_model
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import open_source
from ugf_jax.training.bundle import load_bundle
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import abstract_params
from ugf_jax.training.pretrained import find_pretrained
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stages import unified
from ugf_jax.training.start import find_start

EXPERIMENTS = pathlib.Path(__file__).parent.parent.parent / "experiments"


@pytest.fixture(scope="module")
def llama(interop_source, tmp_path_factory):
    """A text model with memory: tied, scaled rotary positions, shared keys."""
    out = tmp_path_factory.mktemp("imported") / "llama"
    import_model(plan_import(open_source(interop_source("llama-1"))), out)
    return out


PLAIN = Additions(1, 1, None, embedding=0)  # without what a text model gets: quick to make


def bytes_of(folder, names=("config.json", "model.safetensors", "tokenizer.json")):
    return {name: (folder / name).read_bytes() for name in names}


def test_cached_greedy_decoding_with_untrained_memory_gives_the_same_64_tokens(llama, interop_source):
    """Through the model as it is loaded, with its new ids, its memory and its kept keys."""
    bundle = load_bundle(llama)
    expected = safetensors.numpy.load_file(interop_source("llama-1") / "expected.safetensors")["ids"][0]
    assert bundle.settings.model.cross_every == 4
    generator = TokenGenerator(bundle.settings.model, bundle.settings.vocabulary, bundle.variables["fusion"])
    prompt = Layout(bundle.settings.vocabulary).text(expected[:8].tolist()).document("caption")
    how = GenerationSettings(text=SamplingSettings(temperature=0.0))
    made = generator.generate([Request(prompt, 0)], how, "text", limit=64)
    np.testing.assert_array_equal(made.row(0), expected[8:])


def test_import_export_import_is_the_identity_bit_for_bit(llama, interop_source, tmp_path):
    left = export_hf(llama, tmp_path / "hf")
    assert any(name.startswith("memory/") for name in left)
    first = safetensors.numpy.load_file(interop_source("llama-1") / "model.safetensors")
    again = safetensors.numpy.load_file(tmp_path / "hf" / "model.safetensors")
    assert first.keys() == again.keys()
    for name, x in first.items():
        assert x.dtype == again[name].dtype
        np.testing.assert_array_equal(x, again[name])
    config = [json.loads((folder / "config.json").read_text()) for folder in (interop_source("llama-1"), tmp_path / "hf")]
    assert config[0] == config[1]
    import_model(plan_import(open_source(tmp_path / "hf")), tmp_path / "again")
    assert bytes_of(llama) == bytes_of(tmp_path / "again")


@pytest.mark.parametrize("name", ["qwen2-0", "qwen3-2", "chameleon-2", "unitoken-0"])
def test_what_comes_out_is_what_went_in(interop_source, tmp_path, name):
    source = interop_source(name)
    import_model(plan_import(open_source(source), None if name[0] in "cu" else PLAIN), tmp_path / "model")
    export_hf(tmp_path / "model", tmp_path / "hf")
    first, again = (safetensors.numpy.load_file(folder / "model.safetensors") for folder in (source, tmp_path / "hf"))
    assert {n for n in first.keys() - again.keys() if not n.startswith("vit.head.")} == set()
    assert again.keys() <= first.keys()
    assert all(np.array_equal(first[n], x) for n, x in again.items())
    assert json.loads((source / "config.json").read_text()) == json.loads((tmp_path / "hf" / "config.json").read_text())


def test_a_model_of_bfloat16_in_shards_keeps_its_bits(interop_source, tmp_path):
    source = shutil.copytree(interop_source("qwen2-0"), tmp_path / "source")
    values = {k: v.astype(ml_dtypes.bfloat16) for k, v in safetensors.numpy.load_file(source / "model.safetensors").items()}
    (source / "model.safetensors").unlink()
    names = sorted(values)
    for number in (0, 1):  # every second tensor: the slices of a parameter lie in two files
        own = {name: values[name] for name in names[number::2]}
        safetensors.numpy.save_file(own, source / f"model-{number + 1:05d}-of-00002.safetensors")
    (source / "expected.safetensors").unlink()
    import_model(plan_import(open_source(source), PLAIN), tmp_path / "model")
    stored = safetensors.numpy.load_file(tmp_path / "model" / "model.safetensors")
    assert stored["fusion/head"].dtype == ml_dtypes.bfloat16
    assert load_bundle(tmp_path / "model").variables["fusion"]["head"].dtype == np.float32
    export_hf(tmp_path / "model", tmp_path / "hf")
    again = safetensors.numpy.load_file(tmp_path / "hf" / "model.safetensors")
    assert all(again[name].dtype == x.dtype and again[name].tobytes() == x.tobytes() for name, x in values.items())


def test_other_types_are_asked_for(interop_source, tmp_path):
    plan = plan_import(open_source(interop_source("qwen2-0")), PLAIN)
    import_model(plan, tmp_path / "half", "float16")
    kept = safetensors.numpy.load_file(tmp_path / "half" / "model.safetensors")
    assert {x.dtype for x in kept.values()} == {np.dtype(np.float16)}
    export_hf(tmp_path / "half", tmp_path / "hf", "float32")
    found = safetensors.numpy.load_file(tmp_path / "hf" / "model.safetensors")
    assert {x.dtype for x in found.values()} == {np.dtype(np.float32)}


def test_training_starts_from_it(llama):
    """`config.model` and `config.init_from` read it, each array on the sharding that is wanted."""
    start = find_pretrained(llama)
    assert start.model == load_bundle(llama).settings.model
    wanted = abstract_params(load_bundle(llama).settings)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), wanted)
    stored = named_leaves(load_bundle(llama).variables["fusion"])
    for name, x in named_leaves(start.read(wanted)).items():
        assert x.dtype == jnp.float32
        np.testing.assert_array_equal(x, stored[name])

    found = find_start(TrainSettings(init_from=str(llama)), {}, State(wanted), Empty(), False)
    assert found.step == 0
    np.testing.assert_array_equal(found.params["norm"]["scale"], stored["norm/scale"])


class Empty:
    """Checkpoints of a run that has none."""

    def steps(self):
        return []


@dataclasses.dataclass
class State:
    params: Any
    model_state: Any = dataclasses.field(default_factory=dict)


def test_the_config_for_imported_models_takes_theirs_and_another_is_refused(llama):
    spec = importlib.util.spec_from_file_location("imported", EXPERIMENTS / "imported.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = config.parse(unified.Settings, module.get_config(str(llama)))
    bundle = load_bundle(llama)
    assert settings.vocabulary == bundle.settings.vocabulary
    assert settings.init_from == str(llama)
    assert TextTokenizer.load(settings.data.text_tokenizer).digest == bundle.text.digest
    find_start(settings, {}, State(abstract_params(settings)), Empty(), False)
    other = dataclasses.replace(settings, model=dataclasses.replace(settings.model, rope_base=123.0))
    with pytest.raises(InputError, match=r"config\.model\.rope_base is 123.0; the model in config\.init_from, .*, has 10000.0"):
        find_start(other, {}, State(abstract_params(other)), Empty(), False)


def test_new_parameters_are_those_of_a_seed_and_nothing_is_read_from_memory(llama, interop_source, tmp_path):
    plan = plan_import(open_source(interop_source("llama-1")))
    import_model(plan, tmp_path / "other", seed=1)
    one, two = (named_leaves(load_bundle(folder).variables) for folder in (llama, tmp_path / "other"))
    assert not one["fusion/layers/cross/output/kernel"].any()
    assert one["fusion/layers/gate"].all()
    assert not np.array_equal(one["fusion/memory/place/kernel"], two["fusion/memory/place/kernel"])
    for part in plan.parts:
        for target in part.mapping:
            np.testing.assert_array_equal(one[target], two[target])


def damaged(interop_source, tmp_path, change):
    """A source one of whose files was changed: a dictionary of tensors, or the bytes of the file."""
    source = shutil.copytree(interop_source("llama-0"), tmp_path / "source")
    path = source / "model.safetensors"
    if isinstance(change, int):
        path.write_bytes(path.read_bytes()[:change])
    else:
        values = safetensors.numpy.load_file(path)
        values |= {k: v for k, v in change.items() if v is not None}
        safetensors.numpy.save_file({k: v for k, v in values.items() if change.get(k, 1) is not None}, path)
    return source


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (-1000, r"model\.safetensors: cut short: \d+ bytes"),
        (100, "a header of .* bytes in a file of 100"),
        ({NORM: None}, rf"{NORM} is missing; fusion/layers/block_0/attention_norm/scale is made from it"),
        ({"model.layers.2.mlp.bias": np.zeros(3, np.float32)}, r"model\.layers\.2\.mlp\.bias \[3\] belongs to no part"),
        ({NORM: np.zeros(25, np.float32)}, rf"{NORM} is \[25\]; want \[24\] for fusion/layers/block_0/attention_norm/scale"),
        ({NORM: np.full(24, np.inf, np.float32)}, "attention_norm/scale: a value is not finite"),
    ],
)
def test_a_damaged_source_is_one_line_that_names_it(interop_source, tmp_path, change, message):
    source = damaged(interop_source, tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        import_model(plan_import(open_source(source), PLAIN), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "config.json").exists()  # no half model


def test_a_folder_with_something_in_it_and_a_source_without_tokenizer_are_refused(llama, interop_source, tmp_path):
    plan = plan_import(open_source(interop_source("llama-0")), PLAIN)
    with pytest.raises(InputError, match="holds a model already"):
        import_model(plan, llama)
    with pytest.raises(InputError, match="holds a model already"):
        export_hf(llama, llama)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file is there"):
        import_model(plan, tmp_path / "file")
    bare = shutil.copytree(interop_source("llama-0"), tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="name one with --text_tokenizer"):
        import_model(plan_import(open_source(bare), PLAIN), tmp_path / "out")
    (bare / "tokenizer.model").write_bytes(b"")
    with pytest.raises(InputError, match="AutoTokenizer"):
        import_model(plan_import(open_source(bare), PLAIN), tmp_path / "out")


SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]


def header(path, change):
    """Writes a header of `change(header)` before the data of a file."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    values = json.loads(data[8:end])
    content = json.dumps(change(values)).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + data[end:])


def overlapping(values):
    """The second tensor is said to begin where the first one does."""
    _, two, *_ = sorted((v for k, v in values.items() if k != "__metadata__"), key=lambda v: v["data_offsets"])
    begin, end = two["data_offsets"]
    two["data_offsets"] = [0, end - begin]
    return values


def grown(values):
    next(v for k, v in values.items() if k != "__metadata__")["shape"] = [2**40, 2**40]
    return values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"{}: cut short: \d+ bytes, and its header tells of \d+"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), r"{}: too long"),
        (lambda path: path.unlink(), r"{}: no such file; model\.safetensors\.index\.json names it"),
        (lambda path: path.write_bytes(b""), r"{}: not a sound safetensors file: a header of 0 bytes in a file of 0"),
        (
            lambda path: path.write_bytes((2**62).to_bytes(8, "little") + b"{}" * 9),
            r"{}: .* a header of 4611686018427387904 bytes",
        ),
        (lambda path: header(path, overlapping), r"{}: .* begins at byte \d+, not where the one before it ends"),
        (lambda path: header(path, grown), r"{}: .* takes \d+ bytes; its shape wants \d+"),
        (lambda path: header(path, lambda values: []), r"{}: .* no JSON object"),
    ],
    ids=("truncated", "longer", "missing", "empty", "huge header", "overlap", "huge shape", "no object"),
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_shard_is_one_line_that_names_it(interop_source, tmp_path, damage, message, number):
    source = shutil.copytree(interop_source("llama-0"), tmp_path / "source")
    values = safetensors.numpy.load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    places = {name: SHARDS[i % 2] for i, name in enumerate(sorted(values))}
    for shard in SHARDS:
        safetensors.numpy.save_file({n: x for n, x in values.items() if places[n] == shard}, source / shard)
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    plan_import(open_source(source), PLAIN).check()  # the whole of it is sound
    damage(source / SHARDS[number])
    with pytest.raises(InputError, match=message.format(SHARDS[number])) as caught:
        import_model(plan_import(open_source(source), PLAIN), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_with_an_image_tokenizer_is_complete_and_one_without_says_so(tiny_model, interop_source, tmp_path):
    bundle = load_bundle(tiny_model)
    images = ImageTokenizer(bundle.settings.tokenizer, bundle.variables["tokenizer"], 7)
    source = open_source(interop_source("qwen2-1"))
    plan = plan_import(source, dataclasses.replace(PLAIN, codes=images.settings.master.quantizer.codebook_size))
    with pytest.raises(InputError, match=r"--image_tokenizer: has 16 master codes; .*qwen2-1 has ids for 1"):
        plan_import(source, PLAIN).with_images(images)
    import_model(plan.with_images(images), tmp_path / "whole")
    import_model(plan, tmp_path / "text")
    whole, text = UnifiedModel.load(tmp_path / "whole"), UnifiedModel.load(tmp_path / "text")
    assert whole.tokenizer.digest() == images.digest() == whole.settings.codes
    assert whole.settings.steps == {"tokenizer": 7}
    for refused in (lambda: text.encode([np.zeros((8, 8, 3), np.uint8)]), lambda: text.decode(None)):
        with pytest.raises(InputError, match="came without an image tokenizer"):
            refused()
