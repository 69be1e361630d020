"""A source is opened without reading its values, from a folder or a file."""

import importlib
import json
import types

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.errors import InputError
from ugf_jax.interop.source import open_source

TENSORS = {"w": np.arange(6.0).reshape(2, 3).astype(ml_dtypes.bfloat16), "b": np.ones(3, np.float32)}


@pytest.fixture
def folder(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return tmp_path


def test_a_folder_and_its_file_are_the_same_source(folder):
    for path in (folder, folder / "model.safetensors"):
        source = open_source(path)
        assert source.config == {"model_type": "llama"}
        assert set(source.names()) == {"w", "b"}
        assert "w" in source
        assert "x" not in source
        assert source.shape("w") == (2, 3)
        assert source.dtype("w") == ml_dtypes.bfloat16
        np.testing.assert_array_equal(source.read("w"), TENSORS["w"])


def test_what_is_missing_is_named(folder, tmp_path):
    source = open_source(folder)
    for ask in (source.shape, source.dtype, source.read):
        with pytest.raises(InputError, match="x is missing"):
            ask("x")
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "none")
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json: holds no JSON object"):
        open_source(folder)
    (folder / "config.json").unlink()
    assert open_source(folder).config == {}
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights in it"):
        open_source(folder)


class Torch(types.SimpleNamespace):
    """As much of PyTorch as reading needs."""

    bfloat16 = "bfloat16"

    def __init__(self, content):
        super().__init__()
        self.content, self.asked = content, {}

    def load(self, path, **how):
        self.asked = how
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def is_tensor(self, value):
        return isinstance(value, Value)


class Value:
    def __init__(self, values, dtype="float32"):
        self.values, self.dtype = np.asarray(values, np.float32), dtype

    def float(self):
        return Value(self.values)

    def detach(self):
        return self

    def numpy(self):
        assert self.dtype != "bfloat16"
        return self.values


def without(monkeypatch, torch=None):
    """Replaces PyTorch, or takes it away."""
    real = importlib.import_module

    def found(name, *rest):
        if name == "torch":
            if torch is None:
                raise ImportError(name)
            return torch
        return real(name, *rest)

    monkeypatch.setattr("ugf_jax.interop.pickled.importlib.import_module", found)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "vqgan.ckpt", "x.pth", "x.pt"])
def test_a_pickled_file_without_pytorch_says_how_to_convert_it(tmp_path, monkeypatch, name):
    without(monkeypatch)
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(
            InputError, match=r"install ugf-jax\[hf\], or convert it .*save_file\(torch.load\(FILE, weights_only=True"
        ):
            open_source(path)


def test_a_pickled_file_is_read_as_weights_only(tmp_path, monkeypatch):
    (tmp_path / "x.ckpt").write_bytes(b"")
    torch = Torch({"state_dict": {"a": Value([1.0]), "b": Value([2.0, 3.0], "bfloat16")}, "epoch": 3})
    without(monkeypatch, torch)
    source = open_source(tmp_path)
    assert torch.asked["weights_only"] is True
    assert source.names() == ["a", "b"]
    np.testing.assert_array_equal(source.read("b"), [2.0, 3.0])
    for content, message in (
        (ValueError("Unsupported operand 149\nmore"), "cannot read it as weights only .Unsupported operand 149."),
        ({"epoch": 3}, "holds no named tensors"),
        ([1], "holds no named tensors"),
    ):
        without(monkeypatch, Torch(content))
        with pytest.raises(InputError, match=message):
            open_source(tmp_path)
