"""Configs that flags name."""

import re
from typing import Any

from absl import flags

from ugf_jax.errors import InputError


def load_config(values: flags.FlagValues, name: str = "config") -> Any:
    """The `ConfigDict` of flag `name`; None where it was not given.

    Raises:
      InputError: the config file could not be read; ml_collections tells when the config is first looked into.
    """
    chosen = values[name].value
    try:
        if chosen is not None:
            chosen.get("stage")
    except OSError as error:
        reason = str(error.__cause__ or error)
        if missing := re.search(r"No such file or directory: '(.+?)'", reason):
            reason = f"{missing[1]}: no such file"
        raise InputError(f"--{name}: {' '.join(reason.split())}; want a Python file with get_config()") from error
    return chosen
