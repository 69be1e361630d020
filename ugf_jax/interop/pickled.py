"""Weights in PyTorch's pickled files: read with PyTorch itself, which then unpickles nothing but tensors."""

import dataclasses
import importlib
import pathlib
from typing import Any

import numpy as np

from ugf_jax.errors import InputError

_WRAPPERS = ("state_dict", "model")  # where training programs put the weights within the file


@dataclasses.dataclass(frozen=True)
class InMemory:
    """A tensor that was read with its whole file."""

    values: np.ndarray

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""
        return self.values.shape

    def read(self) -> np.ndarray:
        """Its values."""
        return self.values


def read_pickled(path: pathlib.Path) -> dict[str, InMemory]:
    """The tensors of a pickled file; all of them are in memory at once.

    Raises:
      InputError: PyTorch is not installed, or the file holds something other than tensors.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise InputError(
            f"{path}: a pickled file, which only PyTorch reads; install ugf-jax[hf], or convert it where PyTorch is: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')"
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling a hostile file raises
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: PyTorch cannot read it as weights only ({first}); convert it to safetensors") from error
    for wrapper in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    tensors = {k: v for k, v in found.items() if torch.is_tensor(v)} if isinstance(found, dict) else {}
    if not tensors:
        raise InputError(f"{path}: holds no named tensors")
    return {name: InMemory(_as_numpy(torch, value)) for name, value in tensors.items()}


def _as_numpy(torch: Any, value: Any) -> np.ndarray:
    if value.dtype == torch.bfloat16:
        value = value.float()
    return np.ascontiguousarray(value.detach().numpy())
