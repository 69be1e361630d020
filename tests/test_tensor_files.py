"""Safetensors files: what the library writes is read; whatever is wrong with a file is one line that names it."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.errors import InputError
from ugf_jax.tensor_files import DTYPES, read_folder, read_header

RNG = np.random.default_rng(0)
TENSORS = {
    "a": RNG.standard_normal((3, 4)).astype(np.float32),
    "b.c": RNG.standard_normal((2, 3, 5)).astype(ml_dtypes.bfloat16),
    "d": np.arange(7, dtype=np.int64),
    "e": np.array(3.0, np.float16),
    "f": np.zeros((0, 3), np.uint8),
}


def file_of(path, header, data=b"", length=None):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(content) if length is None else length).to_bytes(8, "little") + content + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_what_the_library_writes_is_read(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = read_folder(tmp_path)
    assert found.keys() == TENSORS.keys()
    for name, tensor in found.items():
        assert tensor.dtype == TENSORS[name].dtype
        np.testing.assert_array_equal(tensor.read(), TENSORS[name])
    part = found["b.c"].read((slice(1, 2), slice(None), slice(0, 4)))
    np.testing.assert_array_equal(part, TENSORS["b.c"][1:2, :, :4])
    assert part.base is None  # nothing of the file stays open


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry()}, b"1234567", "cut short: .* bytes, and its header tells of"),
        ({"a": entry()}, b"123456789", "too long"),
        (b"[1, 2]", b"", "no JSON object"),
        (b"{nonsense", b"", "no JSON"),
        (b"[" * 100_000, b"", "no JSON"),
        (b'{"a": {}, "a": {}}', b"", "'a' is there twice"),
        (b'{"a": {"dtype": "F32", "shape": [2], "shape": [1], "data_offsets": [0, 8]}}', b"12345678", "'shape' is there twice"),
        ({"a": entry(shape=(3,))}, b"12345678", "a takes 8 bytes; its shape wants 12"),
        ({"a": entry(shape=(-2, -1))}, b"12345678", "the shape of a is no list of at most 8 sizes"),
        ({"a": entry(shape=(2, True))}, b"12345678", "the shape of a is no list"),
        ({"a": entry(shape=(1,) * 9, offsets=(0, 4))}, b"1234", "the shape of a is no list"),
        ({"a": entry(shape=(2**47, 2**47))}, b"12345678", "a takes 8 bytes; its shape wants"),
        ({"a": entry(offsets=(8, 0))}, b"12345678", "a takes -8 bytes"),
        ({"a": entry(offsets=(0, 4, 8))}, b"12345678", "data_offsets of a are no two places"),
        ({"a": entry(), "b": entry(offsets=(4, 12))}, b"123456789012", "b begins at byte"),
        ({"a": entry(offsets=(4, 12))}, b"123456789012", "a begins at byte"),
        ({"a": entry("F4")}, b"12345678", "a is of type F4; want one of F64, F32"),
        ({"a": 3}, b"", "a has no dtype"),
    ],
)
def test_a_hostile_file_is_named(tmp_path, header, data, message):
    path = file_of(tmp_path / "model.safetensors", header, data)
    with pytest.raises(InputError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_that_claims_too_much_is_not_read(tmp_path):
    for length in (2**63, 10**9, 50):
        with pytest.raises(InputError, match=f"a header of {length} bytes in a file of 10"):
            read_header(file_of(tmp_path / "x.safetensors", b"{}", length=length))
    (tmp_path / "x.safetensors").write_bytes(b"123")
    with pytest.raises(InputError, match="in a file of 3"):
        read_header(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path / "none")


def shard(folder, number, count, **tensors):
    safetensors.numpy.save_file(tensors, folder / f"model-{number:05d}-of-{count:05d}.safetensors")


def index(folder, places):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_shards_are_one_model_with_an_index_or_without(tmp_path):
    shard(tmp_path, 1, 2, a=TENSORS["a"])
    shard(tmp_path, 2, 2, d=TENSORS["d"])
    assert read_folder(tmp_path).keys() == {"a", "d"}
    index(tmp_path, {"a": "model-00001-of-00002.safetensors", "d": "model-00002-of-00002.safetensors"})
    assert read_folder(tmp_path).keys() == {"a", "d"}


def test_shards_that_do_not_go_together_are_named(tmp_path):
    shard(tmp_path, 1, 2, a=TENSORS["a"])
    shard(tmp_path, 2, 3, d=TENSORS["d"])
    with pytest.raises(InputError, match="2 safetensors files and no index"):
        read_folder(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    shard(tmp_path, 1, 3, d=TENSORS["d"])
    with pytest.raises(InputError, match=r"model-00003-of-00003.safetensors: no such file; the folder has 2 of 3 shards"):
        read_folder(tmp_path)
    shard(tmp_path, 3, 3, a=TENSORS["a"])
    with pytest.raises(InputError, match="d is in another file too"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a": "model-00001-of-00001.safetensors", "z": "model-00001-of-00001.safetensors"}, "z is missing; the index says"),
        ({"a": "model-00002-of-00002.safetensors"}, "no such file; model.safetensors.index.json names it"),
        ({"a": "../model.safetensors"}, "want the name of a safetensors file beside the index"),
        ({"a": "weights.bin"}, "want the name of a safetensors file"),
        ({"a": 3}, "want the name of a safetensors file"),
        ({}, 'has no "weight_map"'),
    ],
)
def test_an_index_that_lies_is_named(tmp_path, places, message):
    shard(tmp_path, 1, 1, a=TENSORS["a"])
    index(tmp_path, places)
    with pytest.raises(InputError, match=message):
        read_folder(tmp_path)


def test_every_type_has_a_name_of_the_format():
    for name, dtype in DTYPES.items():
        digits = "".join(c for c in name.split("_")[0] if c.isdigit())
        assert dtype.itemsize * 8 == int(digits or 8)  # BOOL takes a byte
