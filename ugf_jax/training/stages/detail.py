"""Stage `detail`: auxiliary codes from the coarse image, learned by filling in masked ones.

The tokenizer is frozen. It lies in the state beside the parameters, not in the program: so it is sharded like everything else,
and a run goes on with the codes it began with even if the tokenizer is trained further.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax import config
from ugf_jax.config import FRACTION, NOT_NEGATIVE
from ugf_jax.errors import InputError
from ugf_jax.models.detail import DetailModel, DetailSettings
from ugf_jax.models.detail_decoding import draw_details
from ugf_jax.models.tokenizer import DualTokenizer, LevelOutput, coarser, corrupt
from ugf_jax.models.unmasking import UnmaskSettings
from ugf_jax.objectives import masked
from ugf_jax.training import parameter_axes
from ugf_jax.training.frozen import FrozenTokenizer, load_tokenizer
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.stage import Batch, ModelState, Params, Stage
from ugf_jax.training.stages.tokenizer import psnr, to_float

data = image_source


@dataclasses.dataclass(frozen=True)
class DetailObjective:
    """What the detail model is trained for."""

    kept: float = config.setting(1.0, NOT_NEGATIVE, "weight of predicting which positions are skipped, where any are")
    master_corruption: float = config.setting(0.1, FRACTION, "up to this part of an image's master codes made random")


@dataclasses.dataclass(frozen=True)
class Settings(ImageTrainSettings):
    """A whole config of this stage."""

    stage: str = "detail"
    tokenizer: str = config.setting("", doc="work folder of a run of stage tokenizer")
    model: DetailSettings = config.setting(DetailSettings())
    objective: DetailObjective = config.setting(DetailObjective())
    sampling: UnmaskSettings = config.setting(UnmaskSettings(), doc="how evaluation draws codes")


def build(settings: Settings, frozen: FrozenTokenizer | None = None) -> Stage:
    """The stage as functions.

    Args:
      settings: of the run.
      frozen: the tokenizer; None for that of the settings.

    Raises:
      InputError: `settings.tokenizer` is not the work folder of a tokenizer run.
    """
    frozen = find_tokenizer(settings.tokenizer) if frozen is None else frozen
    tokenizer = DualTokenizer(frozen.settings)
    model = DetailModel(settings.model, frozen.settings.auxiliary)
    digits, groups = model.digits, frozen.settings.auxiliary.groups
    variables = jax.device_get(frozen.variables)

    def init(key: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
        height, width = batch["image"].shape[1:3]
        rows, columns = (side // frozen.settings.auxiliary.patch for side in (height, width))
        index = jnp.zeros((1, rows, columns, groups), jnp.int32)
        everything = index == 0
        params = model.init(key, jnp.zeros((1, height, width, 3)), index, everything, everything[..., 0])["params"]
        return {"detail": params}, {"tokenizer": jax.tree.map(jnp.asarray, variables)}

    def truth(
        state: ModelState, image: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[jax.Array, ...], tuple[LevelOutput, ...]]:
        """The master's image, its codes corrupted if there is a key; and the codes and outputs of all levels upon it."""

        def run(method: str, *arguments: jax.Array) -> Any:
            return tokenizer.apply(state["tokenizer"], *arguments, method=method)

        index, low = run("encode_master", run("squash", image))
        most = settings.objective.master_corruption
        if key is not None and most:
            low = run("decode_master", corrupt(index, frozen.settings.master.quantizer.codebook_size, most, key))
        return low, *run("encode_levels", image, low)

    def terms(
        params: Params, codes: tuple[jax.Array, ...], levels: tuple[LevelOutput, ...], key: jax.Array
    ) -> list[masked.MaskedTerms]:
        found = []
        for number, (index, level) in enumerate(zip(codes, levels, strict=True)):
            mask = masked.draw_mask(jax.random.fold_in(key, number), level.kept, groups)
            logits: Any = model.apply({"params": params["detail"]}, level.up, index, mask, level.kept, number)
            found.append(masked.masked_terms(logits, index, mask, level.kept, digits))
        return found

    def loss(
        params: Params, state: ModelState, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[ModelState, dict[str, jax.Array]]]:
        corruption_key, mask_key = jax.random.split(key)
        _, codes, levels = jax.lax.stop_gradient(truth(state, to_float(batch["image"]), corruption_key))
        each = terms(params, codes, levels, mask_key)
        every = jax.tree.map(lambda *x: sum(x), *each)
        total = masked.mean(every.nats, every.codes)
        metrics = {"loss/codes": total, "accuracy/codes": masked.mean(every.right, every.codes)}
        if len(each) > 1:
            metrics |= {f"loss/codes_level{n}": masked.mean(level.nats, level.codes) for n, level in enumerate(each)}
        if model.skips:
            metrics["loss/kept"] = masked.mean(every.kept_nats, every.positions)
            total += settings.objective.kept * metrics["loss/kept"]
        return total, (state, metrics)

    def evaluate(params: Params, state: ModelState, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        image, mask = to_float(batch["image"]), batch["mask"]
        low, codes, levels = truth(state, image)
        every = jax.tree.map(lambda *x: sum(x), *terms(params, codes, levels, jax.random.key(0)))
        counted = every.codes * mask
        found = {"loss/codes": every.nats, "accuracy/codes": every.right}
        measures = {name: (value / jnp.maximum(every.codes, 1), counted) for name, value in found.items()}
        if model.skips:
            measures["loss/kept"] = every.kept_nats / jnp.maximum(every.positions, 1), every.positions * mask
        pictures = {"up": enlarged(low, image), "generated": generate(params, state, low, image), "codes": levels[-1].recon}
        return measures | {f"psnr/{name}": (psnr(picture, image), mask) for name, picture in pictures.items()}

    def sample(params: Params, state: ModelState, batch: Batch) -> jax.Array:
        image = to_float(batch["image"])
        low, _, levels = truth(state, image)
        return jnp.stack([image, enlarged(low, image), generate(params, state, low, image), levels[-1].recon], axis=1)

    def generate(params: Params, state: ModelState, low: jax.Array, image: jax.Array) -> jax.Array:
        size = (image.shape[1], image.shape[2])
        key = jax.random.key(0)
        return draw_details(tokenizer, state["tokenizer"], model, params["detail"], low, size, key, settings.sampling).recon

    return Stage("detail", init, loss, summarize, evaluate, sample, parameter_axes.DETAIL)


def find_tokenizer(workdir: str) -> FrozenTokenizer:
    """The tokenizer that a config names.

    Raises:
      InputError: there is none; the message names the key.
    """
    if not workdir:
        raise InputError("config.tokenizer is empty; want the work folder of a run of stage 'tokenizer'")
    try:
        return load_tokenizer(workdir)
    except InputError as error:
        raise InputError(f"config.tokenizer: {error}") from error


def enlarged(low: jax.Array, image: jax.Array) -> jax.Array:
    """The master's image at the size of `image`."""
    return coarser(low, *image.shape[1:3])


def summarize(metrics: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, str]]:
    """All metrics are scalars, and nothing is worth a warning."""
    return {name: float(value) for name, value in metrics.items()}, {}
