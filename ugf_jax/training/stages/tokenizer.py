"""Stage `tokenizer`: master and auxiliary image tokenizers, trained together.

The master learns the 256×256 squash; the auxiliary learns what the master's reconstruction, enlarged, misses at full
resolution. No gradient passes from the auxiliary to the master, so each could be trained alone with the same result.
An optional discriminator (PatchGAN, hinge loss, late start) is trained in the same step: its loss and the generator's are
added, each with the other's parameters held still, so that one gradient serves both.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE, POSITIVE
from ugf_jax.models.discriminator import PatchDiscriminator
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerOutput, TokenizerSettings, coarser
from ugf_jax.objectives import adversarial
from ugf_jax.objectives.perceptual import feature_matching_loss, find_network
from ugf_jax.objectives.reconstruction import ReconstructionWeights, reconstruction_loss
from ugf_jax.training import parameter_axes
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.stage import Batch, ModelState, Params, Stage

LOW_USAGE = 0.05

data = image_source


@dataclasses.dataclass(frozen=True)
class AdversarialSettings:
    """The optional discriminator; a weight of 0 builds none."""

    weight: float = config.setting(0.0, NOT_NEGATIVE)
    start_step: int = config.setting(10_000, NOT_NEGATIVE, "the generator feels it from here on")
    warmup_steps: int = config.setting(1_000, POSITIVE, "over which its weight grows")
    width: int = config.setting(64, POSITIVE)
    depth: int = config.setting(3, POSITIVE)


@dataclasses.dataclass(frozen=True)
class TokenizerObjective:
    """What the tokenizers are trained for."""

    master: ReconstructionWeights = config.setting(ReconstructionWeights())
    auxiliary: ReconstructionWeights = config.setting(ReconstructionWeights())
    master_weight: float = config.setting(1.0, NOT_NEGATIVE)
    auxiliary_weight: float = config.setting(1.0, NOT_NEGATIVE)
    quantizer_weight: float = config.setting(1.0, NOT_NEGATIVE, "commitment and codebook terms, where the quantizer has any")
    adversarial: AdversarialSettings = config.setting(AdversarialSettings())
    perceptual: str = config.setting("", doc="package.module:function that returns a network of features; empty: none")
    perceptual_weight: float = config.setting(0.1, NOT_NEGATIVE, "of matching these features, for master and auxiliary")


@dataclasses.dataclass(frozen=True)
class Settings(ImageTrainSettings):
    """A whole config of this stage."""

    model: TokenizerSettings = config.setting(TokenizerSettings())
    objective: TokenizerObjective = config.setting(TokenizerObjective())


def build(settings: Settings) -> Stage:
    """The stage as functions."""
    tokenizer = DualTokenizer(settings.model)
    objective = settings.objective
    gan = objective.adversarial
    discriminator = PatchDiscriminator(gan.width, gan.depth) if gan.weight else None
    features = find_network(objective.perceptual) if objective.perceptual else None

    def init(key: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
        keys = jax.random.split(key, 3)
        image = to_float(batch["image"][:1])
        variables = dict(tokenizer.init(keys[0], image, train=True, key=keys[1]))
        params = {"tokenizer": variables.pop("params")}
        if discriminator:
            params["discriminator"] = discriminator.init(keys[2], image)["params"]
        return params, variables

    def apply(params: Params, state: ModelState, image: jax.Array, **how: Any) -> tuple[TokenizerOutput, ModelState]:
        variables = {"params": params["tokenizer"], **state}
        return tokenizer.apply(variables, image, mutable=list(state), **how)

    def loss(
        params: Params, state: ModelState, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[ModelState, dict[str, jax.Array]]]:
        image = to_float(batch["image"])
        output, state = apply(params, state, image, train=True, key=key)
        metrics = {f"counts/{k}": v for k, v in output.counts.items()}
        total = jnp.zeros(())
        master, terms = reconstruction_loss(output.recon_low, output.low, objective.master)
        total += objective.master_weight * master
        metrics |= {f"loss/master/{k}": v for k, v in terms.items()} | {"loss/master": master}
        for i, level in enumerate(output.levels):
            auxiliary, terms = reconstruction_loss(level.recon, level.image, objective.auxiliary)
            total += objective.auxiliary_weight * auxiliary / len(output.levels)
            suffix = "" if i == len(output.levels) - 1 else f"_level{i}"
            metrics |= {f"loss/auxiliary{suffix}/{k}": v for k, v in terms.items()} | {f"loss/auxiliary{suffix}": auxiliary}
        for name, value in output.losses.items():
            total += objective.quantizer_weight * value
            metrics[f"loss/quantizer/{name}"] = value
        if features:
            for name, pair in (("master", (output.recon_low, output.low)), ("auxiliary", (output.recon, image))):
                value = feature_matching_loss(features, *pair)
                total += objective.perceptual_weight * value
                metrics[f"loss/perceptual/{name}"] = value
        if discriminator:
            added, terms = adversarial_terms(params["discriminator"], image, output.recon, step)
            total += added
            metrics |= terms
        metrics["psnr/train_master"] = psnr(master_alone(output), image).mean()
        metrics["psnr/train_full"] = psnr(output.recon, image).mean()
        return total, (state, metrics)

    def adversarial_terms(
        params: Params, real: jax.Array, fake: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        def scores(params: Params, image: jax.Array) -> jax.Array:
            assert discriminator is not None
            return cast(jax.Array, discriminator.apply({"params": params}, image))

        judge = adversarial.discriminator_loss(scores(params, real), scores(params, jax.lax.stop_gradient(fake)))
        fool = adversarial.generator_loss(scores(jax.lax.stop_gradient(params), fake))
        weight = gan.weight * adversarial.late_start(step, gan.start_step, gan.warmup_steps)
        return judge + weight * fool, {"loss/discriminator": judge, "loss/generator": fool}

    def evaluate(params: Params, state: ModelState, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        image, mask = to_float(batch["image"]), batch["mask"]
        output, _ = apply(params, state, image, train=False, key=None)
        return {"psnr/master": (psnr(master_alone(output), image), mask), "psnr/full": (psnr(output.recon, image), mask)}

    def sample(params: Params, state: ModelState, batch: Batch) -> jax.Array:
        image = to_float(batch["image"])
        output, _ = apply(params, state, image, train=False, key=None)
        master = master_alone(output)
        return jnp.stack([image, master, output.recon, output.recon - master], axis=1)

    return Stage("tokenizer", init, loss, summarize, evaluate, sample, parameter_axes.TOKENIZER)


def master_alone(output: TokenizerOutput) -> jax.Array:
    """The picture without auxiliary codes, at the image's size: `[batch, height, width, 3]`."""
    return coarser(output.recon_low, *output.recon.shape[1:3])


def to_float(image: jax.Array) -> jax.Array:
    """uint8 to float32 in [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB of images in [-1, 1], `[B, H, W, 3]` → `[B]`; `a` is clipped first."""
    error = jnp.mean((jnp.clip(a, -1, 1) - b) ** 2, axis=(1, 2, 3))
    return 10 * jnp.log10(4 / jnp.maximum(error, 1e-10))


def summarize(metrics: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, str]]:
    """Turns codebook counts into usage and perplexity, and warns where a codebook lies idle."""
    values = {k: float(v) for k, v in metrics.items() if not k.startswith("counts/")}
    warnings = {}
    for name, counts in metrics.items():
        if name.startswith("counts/"):
            which = name.removeprefix("counts/")
            total, size = float(counts.sum()), len(counts)
            share = counts / max(total, 1.0)
            perplexity = float(np.exp(-np.sum(share * np.log(np.maximum(share, 1e-12)))))
            used = int(np.count_nonzero(counts))
            values |= {f"usage/{which}": used / size, f"perplexity/{which}": perplexity}
            # A window of few tokens cannot show a large codebook in use; judge by what it could have shown.
            if total and used < LOW_USAGE * min(size, total):
                warnings[which] = f"{which} uses {used} of {size} codes; check the quantizer's input and the learning rate"
    return values, warnings
