"""What codes a dataset holds is known from its manifest, and datasets of different tokenizers are not mixed."""

import dataclasses

import pytest

from ugf_jax import config
from ugf_jax.data.code_kind import CodeKind, code_kind, common_kind
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError

KIND = CodeKind(master=64, grid=8, auxiliary=50, groups=2, levels=1, largest=20)


@pytest.fixture
def make(tmp_path, make_codes):
    """`make(name, kind, digest)`: a dataset of one record with codes; without a kind, of text alone."""

    def write(name, kind=None, digest="one"):
        codes = (make_codes(0),)
        record = Record("r", sizes=(codes[0].bucket,), codes=codes) if kind else Record("r", captions=("text",))
        made = {"transform": {"digest": digest, "codes": config.to_json(kind)}} if kind else {}
        return write_dataset(tmp_path / name, [record], settings=made)

    return write


def test_the_kind_is_that_of_the_manifest(make):
    assert code_kind(make("a", KIND)) == KIND
    assert code_kind(make("b")) is None


def test_datasets_share_a_kind_and_the_largest_grid_counts(make):
    datasets = [make("text"), make("a", KIND), make("b", dataclasses.replace(KIND, largest=32))]
    assert common_kind(datasets, "data") == dataclasses.replace(KIND, largest=32)
    assert common_kind(datasets[:1], "data") is None


def test_other_tokenizers_are_named(make):
    first, other = make("a", KIND), make("b", dataclasses.replace(KIND, auxiliary=99))
    with pytest.raises(InputError, match=r"data\[1\]: .*b has codes with auxiliary 99, data\[0\] with 50"):
        common_kind([first, other], "data")
    with pytest.raises(InputError, match=r"data\[2\]: .*c was coded by another tokenizer than data\[1\]"):
        common_kind([make("text"), first, make("c", KIND, "two")], "data")


def test_codes_of_an_unknown_kind_are_refused(tmp_path, make_codes):
    record = Record("r", sizes=(make_codes(0).bucket,), codes=(make_codes(0),))
    for settings in ({}, {"transform": {"digest": "one"}}):
        with pytest.raises(InputError, match="does not say what kind of codes it holds; prepare it again"):
            code_kind(write_dataset(tmp_path / "d", [record], settings=settings))
    bad = {"transform": {"codes": config.to_json(KIND) | {"groups": "two"}}}
    with pytest.raises(InputError, match=r"settings\.transform\.codes\.groups is 'two'; want int"):
        code_kind(write_dataset(tmp_path / "d", [record], settings=bad))
