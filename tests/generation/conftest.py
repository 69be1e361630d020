"""Two small tokenizers, really trained for two steps."""

import functools
import io

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image

from ugf_jax.data.loader import DataSettings
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.objectives.reconstruction import ReconstructionWeights
from ugf_jax.training import sharding, trainer
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.settings import CheckpointSettings
from ugf_jax.training.stages.tokenizer import Settings, TokenizerObjective, build, data

QUANTIZERS = {"fsq": QuantizerSettings(levels=(4, 4, 4)), "vq": QuantizerSettings(kind="vq", size=16, features=4)}
PIXELS = ReconstructionWeights(gradient=0.0, laplacian=0.0, ms_ssim=0.0)


def model_settings(kind="fsq", **auxiliary):
    """A tokenizer with patches of 8 pixels and a master of 2 x 2 codes."""
    quantizer = QUANTIZERS[kind]
    return TokenizerSettings(
        MasterSettings(size=16, patch=8, width=16, depth=2, heads=2, quantizer=quantizer),
        AuxiliarySettings(patch=8, window=2, width=16, depth=2, heads=2, groups=2, quantizer=quantizer, **auxiliary),
    )


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def make_model():
    return model_settings


@pytest.fixture(scope="session")
def noise():
    """`noise(count, height, width)`: uint8 `[count, height, width, 3]`, always the same."""

    def draw(count, height, width):
        return np.random.default_rng([height, width]).integers(0, 256, (count, height, width, 3), np.uint8)

    return draw


@pytest.fixture(scope="session")
def make_record():
    """`make_record(key, picture, …)`: a record of PNG files."""

    def make(key, *pictures, **fields):
        return Record(key, tuple(map(png, pictures)), tuple(p.shape[:2] for p in pictures), **fields)

    return make


@pytest.fixture(scope="session")
def run(tmp_path_factory, noise, make_record):
    """`run(kind)`: work folder of a run of two steps, both kept; `fsq` averages its parameters, `vq` does not."""
    folder = tmp_path_factory.mktemp("tokenizers")
    write_dataset(folder / "data", [make_record(f"{i}", picture) for i, picture in enumerate(noise(8, 32, 32))])

    @functools.cache
    def train(kind):
        settings = Settings(
            steps=2,
            data=DataSettings(datasets=(str(folder / "data"),), scales=((32, 8),), patch=8, max_aspect=2.0, max_stretch=0.2),
            model=model_settings(kind),
            objective=TokenizerObjective(PIXELS, PIXELS),
            optimizer=OptimizerSettings(learning_rate=0.01, warmup_steps=0, ema_decay=0.5 if kind == "fsq" else 0.0),
            checkpoint=CheckpointSettings(every=1),
        )
        with pytest.MonkeyPatch.context() as patch:  # one device compiles faster than eight
            patch.setattr(sharding, "make_mesh", functools.partial(sharding.make_mesh, devices=jax.devices()[:1]))
            trainer.train(settings, build(settings), data(settings), epath.Path(folder / kind))
        return folder / kind

    return train
