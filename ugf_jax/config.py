"""Typed settings: dataclasses hold every default once; `ml_collections` carries them to the command line.

An experiment file starts from `config_dict(SomeSettings())`, changes what it wants, and the command line may change more.
`parse` turns the result back into the dataclass and refuses, in one line that names the key, whatever does not fit.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ml_collections

from ugf_jax.errors import InputError

T = TypeVar("T")
Check = tuple[str, Callable[[Any], bool]]

POSITIVE: Check = ("greater than 0", lambda x: x > 0)
NOT_NEGATIVE: Check = ("at least 0", lambda x: x >= 0)
FRACTION: Check = ("between 0 and 1", lambda x: 0 <= x <= 1)


def one_of(*choices: Any) -> Check:
    """A check that the value is one of `choices`."""
    return "one of " + ", ".join(map(str, choices)), lambda x: x in choices


def setting(default: Any, check: Check | None = None, doc: str = "") -> Any:
    """A dataclass field with a default, an optional check applied to it (to each item of a tuple) and a line of help."""
    metadata = {"check": check, "doc": doc}
    if dataclasses.is_dataclass(default) or isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def config_dict(settings: Any) -> ml_collections.ConfigDict:
    """The settings as a `ConfigDict` whose every field can be overridden by name.

    Raises:
      ValueError: a field is called as a method of `ConfigDict`, which `--config.…` would find instead.
    """
    plain = _plain(settings)
    _check_names(plain)
    return ml_collections.ConfigDict(plain, convert_dict=True)


def _check_names(values: Any) -> None:
    if isinstance(values, Mapping):
        for name, value in values.items():
            if hasattr(ml_collections.ConfigDict, name):
                raise ValueError(f"'{name}' is a method of ConfigDict; want another name")
            _check_names(value)


def to_json(settings: Any) -> dict[str, Any]:
    """The settings as nested plain dictionaries, lists and scalars."""
    return _plain(settings, tuples_as_lists=True)


def _plain(value: Any, tuples_as_lists: bool = False) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), tuples_as_lists) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v, tuples_as_lists) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return (list if tuples_as_lists else tuple)(_plain(v, tuples_as_lists) for v in value)
    return value


def parse(cls: type[T], values: Mapping[str, Any] | ml_collections.ConfigDict, path: str = "config") -> T:
    """Builds dataclass `cls` from nested mappings.

    Args:
      cls: a dataclass whose fields were declared with `setting`.
      values: nested mapping or `ConfigDict`; missing keys take the default.
      path: how messages name the root.

    Raises:
      InputError: an unknown key, a value of the wrong type, a number that is not finite, or a failed check.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "known keys: " + ", ".join(fields)
            raise InputError(f"{path}.{key}: unknown key; {hint}")
    hints = typing.get_type_hints(cls)
    parsed = {}
    for name, field in fields.items():
        if name in values:
            parsed[name] = _convert(hints[name], values[name], f"{path}.{name}", field.metadata.get("check"))
    built = cls(**parsed)
    if hasattr(built, "validate"):
        built.validate(path)
    return built


def _convert(hint: Any, value: Any, path: str, check: Check | None) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        (hint,) = (o for o in options if o is not type(None))
        return _convert(hint, value, path, check)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, (Mapping, ml_collections.ConfigDict)):
            raise InputError(f"{path} is {value!r}; want a group of settings")
        return parse(typing.cast(type, hint), value, path)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise InputError(f"{path} is {value!r}; want a tuple such as (1, 2)")
        args = typing.get_args(hint)
        if args[-1] is Ellipsis:
            args = (args[0],) * len(value)
        if len(args) != len(value):
            raise InputError(f"{path} is {value!r}; want {len(args)} values")
        return tuple(_convert(a, v, f"{path}[{i}]", check) for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if origin is dict:
        if not isinstance(value, (Mapping, ml_collections.ConfigDict)):
            raise InputError(f"{path} is {value!r}; want a mapping")
        item = typing.get_args(hint)[1]
        return {k: _convert(item, value[k], f"{path}.{k}", check) for k in value}
    return _scalar(hint, value, path, check)


def _scalar(hint: Any, value: Any, path: str, check: Check | None) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{path} is {value!r}; want {hint.__name__}")
    wanted = check[0] if check else "finite"
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path} is {value}; want a number that is {wanted}")
    if check and not check[1](value):
        raise InputError(f"{path} is {value!r}; want it {wanted}")
    return value
