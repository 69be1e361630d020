"""The training stages, by the name that a config's `stage` gives."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from ugf_jax.errors import InputError
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Stage

# Modules by name; a stage that needs the sampler lives where that can be imported.
MODULES = {name: f"ugf_jax.training.stages.{name}" for name in ("tokenizer", "detail", "unified", "unitoken", "reward")}
MODULES |= {"rlhf": "ugf_jax.feedback.rlhf.stage"}
NAMES = tuple(MODULES)


@dataclasses.dataclass(frozen=True)
class StageType:
    """A stage before it is configured: the dataclass of its settings, and what builds its functions and its data from them."""

    settings: type[TrainSettings]
    build: Callable[[Any], Stage]
    data: Callable[[Any], DataSource]


def find(name: Any) -> StageType:
    """The stage called `name`.

    Raises:
      InputError: there is none.
    """
    if name not in NAMES:
        raise InputError(f"config.stage is {name!r}; want one of {', '.join(NAMES)}")
    module = importlib.import_module(MODULES[name])
    return StageType(module.Settings, module.build, module.data)
