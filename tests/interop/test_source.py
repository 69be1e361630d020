"""A source is opened without reading its values, from a folder or a file."""

import json

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
