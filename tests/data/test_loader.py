import dataclasses
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from ugf_jax import config
from ugf_jax.data.buckets import fit
from ugf_jax.data.image import decode
from ugf_jax.data.loader import DataSettings, Loader
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError


def picture(index):
    """An encoded noise image; sizes vary with the index so that several buckets fill."""
    rng = np.random.default_rng(index)
    height, width = [(90, 90), (64, 80), (100, 60), (140, 150)][index % 4] + rng.integers(0, 3, 2)
    pixels = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((int(width), int(height)))
    file = io.BytesIO()
    pixels.save(file, "PNG" if index % 2 else "JPEG")
    return file.getvalue(), (int(height), int(width))


def write(folder, indices, **extra):
    records = [Record(key=f"image {i}", images=(picture(i)[0],), sizes=(picture(i)[1],), **extra) for i in indices]
    return write_dataset(folder, [*records, Record(key="only text", captions=("hello",))], shards=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("loader")
    write(root / "a", range(50))
    write(root / "b", range(100, 130))
    return str(root / "a"), str(root / "b")


@pytest.fixture(scope="module")
def settings(folders):
    return DataSettings(datasets=folders, patch=8, scales=((64, 8), (128, 4)), threads=2)


def take(loader, start, count):
    return list(itertools.islice(loader.iterate(start), count))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for one, other in zip(batches, others, strict=True):
        assert (one.bucket, one.epoch) == (other.bucket, other.epoch)
        assert one.arrays.keys() == other.arrays.keys()
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name])


def test_batches_hold_the_images_they_name(settings):
    loader = Loader(settings)
    for batch in take(loader, 0, loader.batches_per_epoch + 1):
        shape = (loader.batch_size(batch.bucket), batch.bucket.height, batch.bucket.width, 3)
        assert batch.bucket in loader.buckets
        assert batch.arrays["image"].shape == shape
        for image, row, dataset in zip(*(batch.arrays[n] for n in ("image", "row", "dataset")), strict=True):
            expected = fit(decode(loader.datasets[dataset].image(int(row))), batch.bucket, settings)
            np.testing.assert_array_equal(image, expected)
    assert batch.epoch == 1


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_any_number_of_hosts_sees_the_same_global_batches(settings, hosts):
    whole = take(Loader(settings), 3, 12)
    slices = [take(Loader(settings, p, hosts), 3, 12) for p in range(hosts)]
    for step, batch in enumerate(whole):
        own = [s[step] for s in slices]
        assert {(b.bucket, b.epoch) for b in own} == {(batch.bucket, batch.epoch)}
        for name, array in batch.arrays.items():
            np.testing.assert_array_equal(np.concatenate([b.arrays[name] for b in own]), array)


def test_resuming_at_any_step_continues_the_stream(settings):
    loader = Loader(settings)
    count = loader.batches_per_epoch + 5
    stream = take(loader, 0, count)
    for start in (1, 4, loader.batches_per_epoch - 1, loader.batches_per_epoch + 2):
        assert_same(take(Loader(settings), start, count - start), stream[start:])


@pytest.mark.parametrize("change", [{"threads": 1}, {"threads": 3, "prefetch": 1}, {"threads": 16, "prefetch": 4}])
def test_threads_and_prefetching_change_nothing(settings, change):
    other = dataclasses.replace(settings, **change)
    assert_same(take(Loader(other), 2, 6), take(Loader(settings), 2, 6))
    assert Loader(other).fingerprint == Loader(settings).fingerprint


def test_half_of_the_images_are_mirrored_and_another_half_in_another_epoch(settings):
    plain, flipped = Loader(settings), Loader(dataclasses.replace(settings, flip=True))
    mirrored = {}
    for one, other in zip(take(plain, 0, 30), take(flipped, 0, 30), strict=True):
        np.testing.assert_array_equal(one.arrays["row"], other.arrays["row"])
        for i, (image, changed) in enumerate(zip(one.arrays["image"], other.arrays["image"], strict=True)):
            same = (image == changed).all()
            assert same or (image[:, ::-1] == changed).all()
            name = int(one.arrays["dataset"][i]), int(one.arrays["row"][i])
            mirrored.setdefault(name, {})[one.epoch] = not same
    values = [v for by_epoch in mirrored.values() for v in by_epoch.values()]
    assert 0.35 < np.mean(values) < 0.65
    assert any(len(set(by_epoch.values())) == 2 for by_epoch in mirrored.values())


def test_identity_names_what_changes_the_batches(settings, folders, tmp_path):
    identity = Loader(settings).identity
    for change, name in [
        ({"seed": 1}, "seed"),
        ({"flip": True}, "flip"),
        ({"weights": (1.0, 2.0)}, "weights"),
        ({"scales": ((64, 4), (128, 4))}, "scales"),
        ({"max_crop": 0.1}, "max_crop"),
    ]:
        other = Loader(dataclasses.replace(settings, **change))
        assert other.identity[name] != identity[name]
        assert other.fingerprint != Loader(settings).fingerprint
    write(tmp_path / "c", range(100, 130), meta={"changed": True})
    other = Loader(dataclasses.replace(settings, datasets=(folders[0], str(tmp_path / "c"))))
    assert {k for k in identity if identity[k] != other.identity[k]} == {"datasets[1]"}


def test_summary_accounts_for_every_row(settings):
    loader = Loader(settings)
    used = int((loader.plan.batches * loader.plan.batch_sizes).sum())
    left_over = len(loader.plan.remainder(0)[0])
    without = sum(sum(r.reasons.values()) for r in loader.plan.ranks)
    assert used + left_over + without == sum(d.num_rows for d in loader.datasets)
    assert f"{left_over} left over" in loader.summary()
    assert "2 without a bucket (no image)" in loader.summary()


def test_a_damaged_image_names_its_dataset_and_key(tmp_path):
    records = [Record(key=f"image {i}", images=(picture(0)[0],), sizes=(picture(0)[1],)) for i in range(4)]
    records[2] = dataclasses.replace(records[2], images=(picture(0)[0][:300],))
    write_dataset(tmp_path / "d", records)
    loader = Loader(DataSettings(datasets=(str(tmp_path / "d"),), patch=8, scales=((64, 4),)))
    with pytest.raises(InputError, match=r"d: image of 'image 2' \(row 2\) is damaged: truncated"):
        take(loader, 0, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"datasets": ()}, "config.data.datasets is empty"),
        ({"datasets": ("/nowhere",)}, r"config.data.datasets\[0\]: /nowhere: no such folder"),
        ({"weights": (1.0,)}, "config.data.weights has 1 values; want one for each of 2"),
        ({"scales": ((64, 500),)}, "take a batch size of at most"),
        ({"min_bucket_images": 999}, "take a config.data.min_bucket_images of at most"),
        ({"scales": ((64, 9),)}, "batch size 9 of scale 64 is not a multiple of the 2 processes"),
        ({"patch": 48}, "config.data.scales: 64 is not a multiple of config.data.patch = 48"),
    ],
)
def test_wrong_settings_end_in_one_line_that_names_the_key(settings, change, words):
    with pytest.raises(InputError, match=words) as caught:
        Loader(dataclasses.replace(settings, **change), process_index=1, process_count=2)
    assert "\n" not in str(caught.value)


def test_the_advised_batch_size_works(settings):
    with pytest.raises(InputError, match="at most") as caught:
        Loader(dataclasses.replace(settings, scales=((64, 500),)))
    advised = int(str(caught.value).rsplit(" ", 1)[1])
    assert Loader(dataclasses.replace(settings, scales=((64, advised),))).batches_per_epoch > 0


def test_settings_come_from_a_config(folders):
    values = config.config_dict(DataSettings())
    values.datasets = folders
    values.scales = ((64, 8), (128, 4))
    parsed = config.parse(DataSettings, values, "config.data")
    assert parsed.bucket_settings.scales == (64, 128)
    values.weights = (1.0,)
    with pytest.raises(InputError, match=r"config\.data\.weights has 1 values"):
        config.parse(DataSettings, values, "config.data")
