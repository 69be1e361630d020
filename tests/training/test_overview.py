import jax
import jax.numpy as jnp

from ugf_jax.training.overview import parameter_overview


def test_few_parameters_are_listed_one_by_one():
    params = {"a": {"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)}, "scale": jnp.zeros(())}
    text = parameter_overview(params)
    for name in ("a/kernel", "a/bias", "scale"):
        assert name in text
    assert "Total: 17" in text


def test_many_parameters_are_grouped_as_deep_as_there_is_room():
    layer = {name: jax.ShapeDtypeStruct((10, 50), jnp.float32) for name in ("kernel", "gate")}
    params = {f"part{p}": {f"layer{i}": layer for i in range(9)} for p in range(3)}
    for max_lines, depth, rows, arrays, size in (
        (26, 1, 3, "18", "9,000"),
        (27, 2, 27, "2", "1,000"),
        (53, 2, 27, "2", "1,000"),
    ):
        text = parameter_overview(params, max_lines)
        table = [line.split() for line in text.splitlines() if line.startswith("| part")]
        assert len(table) == rows
        assert {(row[1].count("/") + 1, row[3], row[5]) for row in table} == {(depth, arrays, size)}
        assert text.endswith("Total: 27,000 in 54 arrays")
    assert "part0/layer0/kernel" in parameter_overview(params, 54)
