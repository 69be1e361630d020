"""Mappings fill every parameter, use every tensor, and run backwards to the very same bits."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import CONVOLUTION, SAME, TRANSPOSED, Rule, check, load, more_rows, patches, slices, then, undo
from ugf_jax.interop.source import open_source

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


TENSORS = {
    "layers.0.w": normal(5, 3),
    "layers.1.w": normal(5, 3),
    "conv": normal(7, 2, 3, 4),
    "patch": normal(6, 3, 2, 2),
    "table": normal(9, 4),
    "scale": normal(3).astype(ml_dtypes.bfloat16),
    "inv_freq": normal(2),
}
RULES = {
    "blocks/w": Rule(("layers.0.w", "layers.1.w"), TRANSPOSED, stacked=True),
    "conv": Rule(("conv",), CONVOLUTION),
    "patch": Rule(("patch",), patches(2)),
    "table": Rule(("table",), then(more_rows(9, 12), TRANSPOSED)),
    "scale": Rule(("scale",)),
}
SHAPES = {"blocks/w": (2, 3, 5), "conv": (3, 4, 2, 7), "patch": (12, 6), "table": (4, 12), "scale": (3,)}
IGNORED = {r"inv_\w+": "computed"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("mapping") / "model.safetensors"
    safetensors.numpy.save_file(TENSORS, path)
    return open_source(path)


def test_parameters_are_what_the_rules_say(source):
    found = load(source, RULES, SHAPES, IGNORED)
    assert {name: x.shape for name, x in found.items()} == SHAPES
    assert all(x.dtype == np.float32 for x in found.values())
    np.testing.assert_array_equal(found["blocks/w"][1], TENSORS["layers.1.w"].T)
    image = normal(2, 2, 3)  # a patch, its channels last
    expected = np.einsum("ochw,hwc->o", TENSORS["patch"], image)
    np.testing.assert_allclose(image.reshape(-1) @ found["patch"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["table"][:, :9], TENSORS["table"].T)
    np.testing.assert_allclose(found["table"][:, 9:], np.repeat(TENSORS["table"].mean(0)[:, None], 3, axis=1), atol=1e-6)


def test_rules_run_backwards_to_the_same_bits(source):
    found = load(source, RULES, SHAPES, IGNORED, np.float32)
    back = {name: x for target, rule in RULES.items() for name, x in undo(found[target], rule)}
    assert back.keys() == TENSORS.keys() - {"inv_freq"}
    for name, x in back.items():
        assert x.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(x.astype(TENSORS[name].dtype), TENSORS[name])


def test_pieces_come_one_by_one_in_their_own_type(source):
    assert [x.shape for x in slices(source, RULES["blocks/w"])] == [(3, 5), (3, 5)]
    assert next(slices(source, RULES["scale"])).dtype == ml_dtypes.bfloat16


def test_new_rows_keep_the_type_and_change_nothing_else():
    table = normal(6, 3).astype(ml_dtypes.bfloat16)
    more = more_rows(6, 8).forward(table)
    assert more.dtype == table.dtype
    assert more.shape == (8, 3)
    np.testing.assert_array_equal(more_rows(6, 8).backward(more), table)
    assert more_rows(6, 6) is SAME
    assert then(SAME, TRANSPOSED) is TRANSPOSED
    assert then(TRANSPOSED, SAME) is TRANSPOSED


def test_what_is_missing_superfluous_or_misshapen_is_named(source):
    check(source, RULES, SHAPES, IGNORED)
    without = {name: rule for name, rule in RULES.items() if name != "conv"}
    missing = RULES | {"scale": dataclasses.replace(RULES["scale"], sources=("none",))}
    for rules, shapes, ignored, message in (
        (missing, SHAPES, IGNORED, "none is missing; scale is made from it"),
        (RULES, SHAPES, {}, r"inv_freq \[2\] belongs to no part that is known"),
        (without, SHAPES, IGNORED, r"conv \[7, 2, 3, 4\] belongs to no part"),
        (RULES, SHAPES | {"blocks/w": (2, 3, 6)}, IGNORED, r"layers.0.w is \[5, 3\]; want \[6, 3\] for blocks/w"),
        (RULES, SHAPES | {"table": (5, 12)}, IGNORED, r"table is \[9, 4\]; want \[9, 5\] for table"),
    ):
        with pytest.raises(InputError, match=message):
            check(source, rules, shapes, ignored)
    with pytest.raises(ValueError, match="2 tensors; want 3"):
        check(source, RULES, SHAPES | {"blocks/w": (3, 3, 5)}, IGNORED)
