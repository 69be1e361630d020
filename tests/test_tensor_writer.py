"""Files written in pieces are those that the safetensors library reads."""

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from ugf_jax.errors import InputError
from ugf_jax.tensor_files import read_folder
from ugf_jax.tensor_writer import TensorWriter

RNG = np.random.default_rng(0)
TENSORS = {
    "stacked": RNG.standard_normal((4, 3, 5)).astype(np.float32),
    "half": RNG.standard_normal((7, 2)).astype(ml_dtypes.bfloat16),
    "one": np.array(2.5, np.float32),
    "ids": np.arange(6, dtype=np.int32),
}
KINDS = {name: (x.dtype, x.shape) for name, x in TENSORS.items()}


def write(folder, shard=10**9):
    with TensorWriter(folder, "model", KINDS, shard) as writer:
        for name, x in TENSORS.items():
            writer.write(name, [x[:1], x[1:]] if x.ndim else [x])


@pytest.mark.parametrize(("shard", "files"), [(10**9, 1), (100, 2), (1, 4)])
def test_what_is_written_in_pieces_is_read_whole(tmp_path, shard, files):
    write(tmp_path, shard)
    paths = sorted(tmp_path.glob("*.safetensors"))
    assert len(paths) == files
    assert (tmp_path / "model.safetensors.index.json").exists() == (files > 1)
    found = {}
    for path in paths:
        found |= safetensors.numpy.load_file(path)
        with safetensors.safe_open(path, "numpy") as file:
            assert file.metadata() == {"format": "pt"}
    own = {name: tensor.read() for name, tensor in read_folder(tmp_path).items()}
    for arrays in (found, own):
        assert arrays.keys() == TENSORS.keys()
        for name, x in TENSORS.items():
            assert arrays[name].dtype == x.dtype
            np.testing.assert_array_equal(arrays[name], x)


def test_a_mistake_of_the_caller_is_an_error(tmp_path):
    for pieces, message in (
        ([TENSORS["stacked"][:2]], "stacked: 120 bytes are missing"),
        ([TENSORS["stacked"].astype(np.float64)], "a piece of float64; want float32"),
    ):
        with pytest.raises(ValueError, match=message), TensorWriter(tmp_path, "model", KINDS) as writer:
            writer.write("stacked", pieces)
    with pytest.raises(ValueError, match="it is the turn of stacked"), TensorWriter(tmp_path, "model", KINDS) as writer:
        writer.write("half", [TENSORS["half"]])
    with pytest.raises(ValueError, match="half was never written"), TensorWriter(tmp_path, "model", KINDS) as writer:
        writer.write("stacked", [TENSORS["stacked"]])


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(InputError, match=r"model\.safetensors: cannot write"):
        write(tmp_path / "none")
