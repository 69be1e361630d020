import dataclasses

import ml_collections
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = config.setting(0.1, config.POSITIVE)
    name: str = config.setting("a", config.one_of("a", "b"))


@dataclasses.dataclass(frozen=True)
class Outer:
    steps: int = config.setting(10, config.POSITIVE)
    flag: bool = False
    sizes: tuple[int, ...] = config.setting((1, 2), config.POSITIVE)
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)
    inner: Inner = config.setting(Inner())
    groups: dict[str, Inner] = config.setting({})
    limit: int | None = config.setting(None, config.POSITIVE)


def test_round_trip_through_config_dict_and_json():
    outer = Outer(steps=3, sizes=(4, 5), groups={"x": Inner(rate=2.0)}, limit=7)
    assert config.parse(Outer, config.config_dict(outer)) == outer
    assert config.parse(Outer, config.to_json(outer)) == outer


def test_a_name_that_no_flag_could_reach_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Hidden:
        inner: Inner = config.setting(Inner())
        items: int = 3

    with pytest.raises(ValueError, match="'items' is a method"):
        config.config_dict(Hidden())


def test_every_field_can_be_overridden_by_name():
    values = config.config_dict(Outer())
    values.inner.rate = 3
    values.limit = 4
    assert config.parse(Outer, values) == Outer(inner=Inner(rate=3.0), limit=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 1}, r"config\.stepz: unknown key; did you mean 'steps'"),
        ({"inner": {"zzz": 1}}, r"config\.inner\.zzz: unknown key; known keys: rate, name"),
        ({"steps": 0}, r"config\.steps is 0; want it greater than 0"),
        ({"steps": 1.5}, r"config\.steps is 1\.5; want int"),
        ({"steps": True}, r"config\.steps is True; want int"),
        ({"flag": 1}, r"config\.flag is 1; want bool"),
        ({"inner": {"rate": float("nan")}}, r"config\.inner\.rate is nan; want a number that is greater than 0"),
        ({"inner": {"rate": float("inf")}}, r"config\.inner\.rate is inf"),
        ({"inner": {"name": "c"}}, r"config\.inner\.name is 'c'; want it one of a, b"),
        ({"inner": 3}, r"config\.inner is 3; want a group of settings"),
        ({"sizes": (1, -2)}, r"config\.sizes\[1\] is -2"),
        ({"sizes": 3}, r"config\.sizes is 3; want a tuple"),
        ({"pairs": ((1, 2, 3),)}, r"config\.pairs\[0\] is \(1, 2, 3\); want 2 values"),
        ({"groups": {"x": {"rate": -1.0}}}, r"config\.groups\.x\.rate is -1\.0"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(InputError, match=message) as caught:
        config.parse(Outer, ml_collections.ConfigDict(values))
    assert "\n" not in str(caught.value)
