"""Token lengths of a finished dataset can be counted again; `test_prepare` tests the whole command."""

from ugf_jax.data.index import open_dataset
from ugf_jax.data.recipes import lengths_of
from ugf_jax.data.recount import recount, remove_strays
from ugf_jax.data.shards import manifest_text, write_dataset
from ugf_jax.data.text import TextTokenizer


def test_lengths_are_added_to_a_dataset_without(tmp_path, make_record):
    records = [make_record(i) for i in range(20)]
    data = write_dataset(tmp_path, records, 2)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    older = {k: v for k, v in data.manifest.items() if k not in ("text", "lengths")}
    (tmp_path / "manifest.json").write_text(manifest_text(older))
    (tmp_path / data.manifest["lengths"]["name"]).unlink()
    text = TextTokenizer.load()
    manifest = recount(open_dataset(tmp_path), text, "test")
    again = open_dataset(tmp_path)
    again.verify()
    assert again.manifest == manifest == data.manifest
    assert again.length_table.many(range(20)) == [lengths_of(r, text) for r in records]
    assert {path.name for path in tmp_path.iterdir()} == set(whole)


def test_strays_are_removed_and_nothing_else(tmp_path, make_record):
    data = write_dataset(tmp_path, [make_record(0)])
    names = {path.name for path in tmp_path.iterdir()}
    for name in ("lengths-00000000.arrow", ".lengths-12345678.arrow.77.partial", "notes.txt"):
        (tmp_path / name).write_text("x")
    remove_strays(tmp_path, data.manifest)
    assert {path.name for path in tmp_path.iterdir()} == names | {"notes.txt"}
