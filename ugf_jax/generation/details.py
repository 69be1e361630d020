"""Auxiliary codes for pictures of which only the master codes exist: what turns a sketch into a picture of any size."""

import functools
import os
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax import config
from ugf_jax.data.records import ImageCodes
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer, to_pixels, unbatch
from ugf_jax.models.detail import DetailModel, DetailSettings
from ugf_jax.models.detail_decoding import Details, draw_details
from ugf_jax.models.tokenizer import Codes, DualTokenizer
from ugf_jax.models.unmasking import UnmaskSettings
from ugf_jax.training.checkpoints import restore_params
from ugf_jax.training.digests import fingerprint
from ugf_jax.training.frozen import read_run
from ugf_jax.training.stages.detail import Settings


class DetailGenerator:
    """Draws auxiliary codes in a few parallel steps, at a cost linear in pixels. Each canvas size is one compilation.

    Attributes:
      tokenizer: whose codes are drawn.
      settings: of the detail model.
      params: of the detail model.
      sampling: how codes are drawn where a call does not say.
      step: training steps of the checkpoint.
    """

    def __init__(
        self,
        tokenizer: ImageTokenizer,
        settings: DetailSettings,
        params: Any,
        sampling: UnmaskSettings,
        step: int = 0,
    ):
        self.tokenizer, self.settings, self.params = tokenizer, settings, params
        self.sampling, self.step = sampling, step
        model = DetailModel(settings, tokenizer.settings.auxiliary)
        dual = DualTokenizer(tokenizer.settings)

        @functools.partial(jax.jit, static_argnums=(3, 5))
        def draw(
            variables: Any, params: Any, low: jax.Array, size: tuple[int, int], key: jax.Array, how: UnmaskSettings
        ) -> Any:
            return draw_details(dual, variables, model, params, low, size, key, how)

        self._draw = draw
        self._decode_master = jax.jit(functools.partial(dual.apply, method="decode_master"))

    @classmethod
    def load(cls, path: str | os.PathLike[str], tokenizer: ImageTokenizer, step: int | None = None) -> Self:
        """Loads the detail model from a training run.

        Args:
          path: the run's work folder.
          tokenizer: the one that it was trained with.
          step: which checkpoint; default the newest that is sound.

        Raises:
          InputError: no such run or step, a run of another stage, or trained with another tokenizer.
        """
        folder, step, found = read_run(path, "detail", step)
        settings = config.parse(Settings, found)
        params = {"detail": abstract_params(settings.model, tokenizer)}
        name = "ema" if settings.optimizer.ema_decay else "params"
        state = {"tokenizer": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tokenizer.variables)}
        try:
            step, restored = restore_params(folder, {name: params, "model_state": state}, step)
        except InputError as error:
            raise InputError(f"{path}: does not go with this tokenizer: {error}") from error
        if fingerprint(restored["model_state"]["tokenizer"]) != tokenizer.digest():
            raise InputError(
                f"{path}: trained with the codes of another tokenizer; want those of {settings.tokenizer} as it was"
            )
        return cls(tokenizer, settings.model, restored[name]["detail"], settings.sampling, step)

    def draw(self, low: jax.Array, size: tuple[int, int], key: jax.Array, sampling: UnmaskSettings | None = None) -> Details:
        """Codes and picture on one canvas, on the device.

        Args:
          low: float32 `[batch, master size, master size, 3]`, the master's image.
          size: `(height, width)` of the canvas, multiples of the auxiliary patch.
          key: random key, or one for each image `[batch]`; equal keys draw equally, whatever else is in the batch.
          sampling: how to draw; default as trained.
        """
        details: Details = self._draw(self.tokenizer.variables, self.params, low, size, key, sampling or self.sampling)
        return details

    def complete(
        self, master: np.ndarray, size: tuple[int, int], key: jax.Array, sampling: UnmaskSettings | None = None
    ) -> tuple[list[ImageCodes], np.ndarray]:
        """Whole codes from master codes, and the pictures that they decode to.

        Args:
          master: integers `[batch, grid, grid]`.
          size: `(height, width)` in pixels that is wanted; the codes are of the canvas that it lies on.
          key: as for `draw`.
          sampling: as for `draw`.

        Returns:
          codes, and uint8 `[batch, height, width, 3]` of exactly the wanted size.
        """
        canvas = self.tokenizer.padded_shape(*size)
        index = jnp.asarray(master, jnp.int32)
        details = self.draw(self._decode_master(self.tokenizer.variables, index), canvas, key, sampling)
        codes = jax.device_get(Codes(index, details.auxiliary, details.kept))
        pictures = np.asarray(to_pixels(details.recon[:, : size[0], : size[1]]))
        return [unbatch(codes, i, canvas) for i in range(len(master))], pictures


def abstract_params(settings: DetailSettings, tokenizer: ImageTokenizer) -> Any:
    """Shapes of the parameters of a detail model for the codes of `tokenizer`."""
    a = tokenizer.settings.auxiliary
    model = DetailModel(settings, a)

    def init() -> Any:
        index = jnp.zeros((1, 1, 1, a.groups), jnp.int32)
        return model.init(jax.random.key(0), jnp.zeros((1, a.patch, a.patch, 3)), index, index == 0, index[..., 0] == 0)

    return jax.eval_shape(init)["params"]
