"""A source is recognised by what it is, and the same images and captions are the same records whatever held them."""

import io
import json
import re

import datasets
import numpy as np
import pytest
import tensorflow_datasets as tfds
import webdataset
from PIL import Image

from ugf_jax.data.index import open_dataset
from ugf_jax.data.parts import PrepareSettings
from ugf_jax.data.prepare import prepare
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.sources import (
    ConversationSource,
    FolderSource,
    ParquetSource,
    TarSource,
    TfdsSource,
    open_sources,
)
from ugf_jax.errors import InputError


def drawing(number):
    """Encoded images of several formats, sizes and modes: `(ending, bytes)`."""
    rng = np.random.default_rng(number)
    height, width = rng.integers(20, 60, 2)
    pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
    form = ("png", "jpg", "webp", "png")[number % 4]
    image = Image.fromarray(pixels if number % 4 != 1 else pixels[..., :3])
    buffer = io.BytesIO()
    (image.quantize(16) if number % 4 == 3 else image).save(buffer, {"jpg": "JPEG"}.get(form, form.upper()))
    return form, buffer.getvalue()


EXAMPLES = [(f"in/k{i:02d}", *drawing(i), [f"picture {i}", f"not  {i + 1}\tbut {i}"]) for i in range(9)]


class Drawings(tfds.core.GeneratorBasedBuilder):
    """The examples as a TFDS dataset."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        text = tfds.features.Text()
        features = {"image": tfds.features.Image(), "key": text, "captions": tfds.features.Sequence(text)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for key, _, data, captions in EXAMPLES:
            yield key, {"image": io.BytesIO(data), "key": key, "captions": captions}


def as_folder(root):
    for key, ending, data, captions in EXAMPLES:
        path = root / f"{key}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps({"captions": captions}))
    return root


def as_metadata(root):
    (root / "in").mkdir(parents=True)
    with open(root / "metadata.jsonl", "w") as file:
        for key, ending, data, captions in EXAMPLES:
            (root / f"{key}.{ending}").write_bytes(data)
            file.write(json.dumps({"file_name": f"{key}.{ending}", "captions": captions}) + "\n")
    return root


def as_tar(root):
    root.mkdir()
    with webdataset.ShardWriter(str(root / "x-%03d.tar"), maxcount=4, verbose=0) as sink:
        for key, ending, data, captions in EXAMPLES:
            sink.write({"__key__": key, ending: data, "json": {"captions": captions}})
    return root


def as_parquet(root):
    root.mkdir()
    rows = [
        {"image": {"bytes": data, "path": f"{key}.{ending}"}, "captions": captions} for key, ending, data, captions in EXAMPLES
    ]
    features = datasets.Features({"image": datasets.Image(), "captions": datasets.List(datasets.Value("string"))})
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(root / "x.parquet"), batch_size=4)
    return root


def as_tfds(root):
    Drawings(data_dir=root, file_format="array_record").download_and_prepare()
    return root / "drawings"


FORMS = {
    as_folder: FolderSource,
    as_metadata: FolderSource,
    as_tar: TarSource,
    as_parquet: ParquetSource,
    as_tfds: TfdsSource,
}


def test_the_same_records_whatever_held_them(tmp_path):
    found = {}
    for form, kind in FORMS.items():
        (source,) = open_sources(str(form(tmp_path / form.__name__))).values()
        assert type(source) is kind
        prepare(source, tmp_path / f"out {form.__name__}", PrepareSettings())
        found[form.__name__] = sorted(open_dataset(tmp_path / f"out {form.__name__}").records(), key=lambda r: r.key)
    first = found["as_folder"]
    assert [(r.key, r.images) for r in first] == [(key, (data,)) for key, _, data, _ in EXAMPLES]
    assert first[3].captions == ("picture 3", "not 4 but 3")
    for name, records in found.items():
        assert records == first, name


def touch(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_files_and_folders_are_recognised(tmp_path):
    def kind(name):
        return {split: type(source) for split, source in open_sources(name).items()}

    touch(tmp_path / "t" / "a.tar")
    touch(tmp_path / "t" / "b.tar.gz")
    touch(tmp_path / "p" / "data" / "train-00000-of-00001.parquet")
    touch(tmp_path / "p" / "data" / "test-00000-of-00001.parquet")
    assert kind(str(tmp_path / "t")) == kind(str(tmp_path / "t" / "a.tar")) == {"": TarSource}
    assert len(open_sources(str(tmp_path / "t" / "*.tar*"))[""].paths) == 2
    assert kind(str(tmp_path / "p")) == {"test": ParquetSource, "train": ParquetSource}
    assert kind(touch(tmp_path / "c.json")) == kind(touch(tmp_path / "c.jsonl")) == {"": ConversationSource}
    (tmp_path / "empty").mkdir()
    assert kind(str(tmp_path / "empty")) == {"": FolderSource}
    assert open_sources("shapes:100", split="test").keys() == {"test"}
    assert open_sources("fine:100@512", split="test")["test"].max_side == 512


def test_a_folder_may_bear_the_name_of_a_drawn_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "fine" / "a.png")
    assert isinstance(open_sources("fine")[""], FolderSource)


def test_paths_of_conversations_start_where_the_user_says(tmp_path):
    name = touch(tmp_path / "c.json")
    assert open_sources(name)[""].image_root == tmp_path
    (tmp_path / "images").mkdir()
    assert open_sources(name, image_root=str(tmp_path / "images"))[""].image_root == tmp_path / "images"
    with pytest.raises(InputError, match="no such folder"):
        open_sources(name, image_root=str(tmp_path / "none"))


def test_what_is_not_understood_is_refused_with_advice(tmp_path):
    touch(tmp_path / "mixed" / "a.png")
    touch(tmp_path / "mixed" / "a.tar")
    touch(tmp_path / "saved" / "dataset_info.json", b"{}")
    write_dataset(tmp_path / "done", [])
    for name, words in {
        str(tmp_path / "nothing"): "no such file or folder",
        str(tmp_path / "*.tar"): "no file matches",
        touch(tmp_path / "x.zip"): "not something that can be read; want a folder",
        touch(tmp_path / "x.png"): "one image; name the folder",
        str(tmp_path / "mixed"): "holds images and tar files; name one kind",
        str(tmp_path / "saved"): "to_parquet",
        str(tmp_path / "done"): "already a prepared dataset",
        "shapes": "want a number of scenes",
    }.items():
        with pytest.raises(InputError, match=re.escape(words)):
            open_sources(name)
    with pytest.raises(InputError, match="no split 'dev'; splits: train, validation, test"):
        open_sources("shapes:10", split="dev")
    with pytest.raises(InputError, match="it has no splits"):
        open_sources(touch(tmp_path / "t.tar"), split="dev")
