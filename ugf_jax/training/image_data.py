"""The data of stages that learn from pixels: images in buckets, with no text."""

import dataclasses
from collections.abc import Iterator

from ugf_jax import config
from ugf_jax.data.buckets import make_buckets
from ugf_jax.data.index import open_dataset
from ugf_jax.data.loader import Batch, DataSettings, Loader
from ugf_jax.data.once import batches_once
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.settings import TrainSettings


@dataclasses.dataclass(frozen=True)
class ImageTrainSettings(TrainSettings):
    """Settings of a run on images."""

    data: DataSettings = config.setting(DataSettings())


def image_source(settings: ImageTrainSettings) -> DataSource:
    """Batches `{"image": uint8 [B, H, W, 3]}`; held-out ones also have `mask` bool `[B]`, False where an image is repeated."""

    def held_out(process_index: int, process_count: int) -> Iterator[Batch]:
        evaluation, buckets = settings.evaluation, settings.data.bucket_settings
        if not evaluation.dataset:
            return
        for batch in batches_once(
            open_dataset(evaluation.dataset),
            make_buckets(buckets),
            buckets,
            evaluation.batch_size,
            evaluation.limit,
            process_index,
            process_count,
        ):
            yield dataclasses.replace(batch, arrays={name: batch.arrays[name] for name in ("image", "mask")})

    return DataSource(
        open=lambda index, count: Loader(settings.data, index, count),
        held_out=held_out,
        count=lambda arrays: {"images": arrays["image"].shape[0]},
    )
