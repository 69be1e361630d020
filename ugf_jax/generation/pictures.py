"""Pictures as users hand them over, and as arrays."""

import os
import pathlib

import numpy as np
from PIL import Image

from ugf_jax.data.image import decode
from ugf_jax.errors import InputError

Picture = np.ndarray | Image.Image | bytes | str | os.PathLike[str]


def to_array(picture: Picture) -> np.ndarray:
    """Any picture as uint8 `[height, width, 3]`.

    Args:
      picture: uint8 `[height, width, 3]`, a PIL image, the bytes of an image file, or its path.

    Raises:
      InputError: an array of another shape or type, a missing file, or an image that cannot be read.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise InputError(f"an image is {picture.dtype} {picture.shape}; want uint8 (height, width, 3)")
        return picture
    if isinstance(picture, Image.Image):
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, bytes):
        return decode(picture)
    path = pathlib.Path(picture)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); want an image file") from error
    try:
        return decode(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
