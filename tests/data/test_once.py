import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.buckets import BucketSettings, fit, make_buckets
from ugf_jax.data.image import decode
from ugf_jax.data.once import batches_once
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError

SETTINGS = BucketSettings(scales=(64,), patch=8, max_stretch=0.2, max_crop=0.1)
SIZES = [(64, 64), (40, 90), (64, 64), (90, 40), (64, 64), (64, 64), (60, 66)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(0)
    records = [Record(key="text", captions=("no image",))]
    for i, (height, width) in enumerate(SIZES):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
        records.append(Record(key=str(i), images=(file.getvalue(),), sizes=((height, width),)))
    return write_dataset(tmp_path_factory.mktemp("once") / "data", records)


def collect(dataset, **how):
    return list(batches_once(dataset, make_buckets(SETTINGS), SETTINGS, how.pop("batch_size", 4), **how))


def test_every_image_is_there_once_and_fitted_to_its_bucket(dataset):
    rows = []
    for batch in collect(dataset):
        for image, row, real in zip(*(batch.arrays[k] for k in ("image", "row", "mask")), strict=True):
            np.testing.assert_array_equal(image, fit(decode(dataset.image(int(row))), batch.bucket, SETTINGS))
            rows += [int(row)] * bool(real)
    assert sorted(rows) == list(range(1, 1 + len(SIZES)))


def test_hosts_together_see_what_one_host_sees(dataset):
    alone, hosts = collect(dataset), [collect(dataset, process_index=p, process_count=2) for p in range(2)]
    for batch, *slices in zip(alone, *hosts, strict=True):
        for name, values in batch.arrays.items():
            np.testing.assert_array_equal(values, np.concatenate([s.arrays[name] for s in slices]))


def test_limit_takes_the_first_images(dataset):
    rows = [
        int(r) for b in collect(dataset, limit=3) for r, real in zip(b.arrays["row"], b.arrays["mask"], strict=True) if real
    ]
    assert sorted(rows) == [1, 2, 3]


def test_a_batch_size_that_hosts_do_not_divide_is_refused(dataset):
    with pytest.raises(InputError, match=r"batch_size 4 must be a multiple of the 3 processes"):
        collect(dataset, process_count=3)
