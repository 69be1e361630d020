"""Pickled files are read by PyTorch as weights only, or not at all; no torch is needed here: it is stood in for."""

import importlib
import types

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop.pickled import read_pickled
from ugf_jax.interop.source import open_source


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


@pytest.fixture
def with_torch(monkeypatch):
    """Replaces PyTorch, or takes it away: `with_torch(None)`."""
    real = importlib.import_module

    def replaced(torch):
        def found(name, *rest):
            if name == "torch":
                if torch is None:
                    raise ImportError(name)
                return torch
            return real(name, *rest)

        monkeypatch.setattr("ugf_jax.interop.pickled.importlib.import_module", found)
        return torch

    return replaced


@pytest.mark.parametrize("name", ["pytorch_model.bin", "vqgan.ckpt", "x.pth", "x.pt"])
def test_without_pytorch_a_line_says_how_to_convert(tmp_path, with_torch, name):
    with_torch(None)
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(
            InputError, match=r"install ugf-jax\[hf\], or convert it .*save_file\(torch.load\(FILE, weights_only=True"
        ) as caught:
            open_source(path)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("wrapped", [lambda t: t, lambda t: {"state_dict": t, "epoch": 3}, lambda t: {"model": t}])
def test_tensors_are_read_as_weights_only_from_wherever_they_lie(tmp_path, with_torch, wrapped):
    torch = with_torch(Torch(wrapped({"a": Value([1.0]), "b": Value([2.0, 3.0], "bfloat16"), "step": 7})))
    found = read_pickled(tmp_path / "x.ckpt")
    assert torch.asked["weights_only"] is True
    assert torch.asked["map_location"] == "cpu"
    assert list(found) == ["a", "b"]  # what is no tensor is nothing
    assert (found["b"].shape, found["b"].dtype) == ((2,), np.float32)
    np.testing.assert_array_equal(found["b"].read(), [2.0, 3.0])


def test_all_pickled_files_of_a_folder_are_one_source(tmp_path, with_torch):
    with_torch(Torch({"a": Value([1.0])}))
    for name in ("x.bin", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    source = open_source(tmp_path)
    assert source.names() == ["a"]
    np.testing.assert_array_equal(source.read("a"), [1.0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ValueError("Unsupported operand 149\nmore"), "cannot read it as weights only .Unsupported operand 149."),
        (RuntimeError(""), "cannot read it as weights only .RuntimeError."),
        ({"epoch": 3}, "holds no named tensors"),
        ([1], "holds no named tensors"),
        ({}, "holds no named tensors"),
    ],
)
def test_whatever_else_is_in_it_is_one_line(tmp_path, with_torch, content, message):
    with_torch(Torch(content))
    with pytest.raises(InputError, match=message) as caught:
        read_pickled(tmp_path / "x.pth")
    assert str(caught.value).startswith(str(tmp_path / "x.pth"))
    assert "\n" not in str(caught.value)
