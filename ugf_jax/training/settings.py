"""The settings of a training run, as a config file gives them. Every default is here or in the part it belongs to."""

import dataclasses
import re

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE, POSITIVE
from ugf_jax.errors import InputError
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.watchdog import WatchdogSettings


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
    """When to save and what to keep."""

    every: int = config.setting(1000, POSITIVE, "steps between two saves; the last step is always saved")
    keep: int = config.setting(3, POSITIVE, "newest steps to keep")
    keep_every: int | None = config.setting(None, POSITIVE, "also keep steps that are multiples of this")


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Periodic evaluation while training, on data that are the same every time."""

    dataset: str = config.setting("", doc="prepared dataset; empty: no evaluation")
    every: int = config.setting(500, POSITIVE, "steps")
    limit: int = config.setting(256, POSITIVE, "first images (for documents: rows) of the dataset to use")
    batch_size: int = config.setting(8, POSITIVE)
    samples: int = config.setting(8, NOT_NEGATIVE, "pictures in the sample grid; 0 draws none")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """What every stage has. Stages add their `data`, `model` and `objective`.

    `resume` is the workdir of a run to take over whole (state, step and position in the data); `init_from` one whose
    parameters to start from, all but those of `init_except`. A checkpoint in the own workdir comes before both.
    """

    stage: str = "tokenizer"
    seed: int = config.setting(0, NOT_NEGATIVE)
    steps: int = config.setting(1000, POSITIVE)
    log_every: int = config.setting(20, POSITIVE, "steps")
    max_bad_steps: int = config.setting(20, POSITIVE, "updates in a row that may be skipped for a loss that is not finite")
    tensorboard: bool = False
    heartbeat: int = config.setting(100, POSITIVE, "seconds without a sign of another process after which all give up")
    resume: str = ""
    init_from: str = ""
    init_except: str = config.setting("", doc="regular expression: parameters whose path has it start afresh all the same")
    mesh: MeshSettings = config.setting(MeshSettings())
    optimizer: OptimizerSettings = config.setting(OptimizerSettings())
    checkpoint: CheckpointSettings = config.setting(CheckpointSettings())
    evaluation: EvaluationSettings = config.setting(EvaluationSettings())
    watchdog: WatchdogSettings = config.setting(WatchdogSettings())

    def validate(self, path: str) -> None:
        """Refuses combinations that contradict each other."""
        if self.resume and self.init_from:
            raise InputError(f"{path}.resume and {path}.init_from are both set; want one")
        if self.init_except and not self.init_from:
            raise InputError(f"{path}.init_except is '{self.init_except}' and {path}.init_from is empty; want both or neither")
        try:
            re.compile(self.init_except)
        except re.error as error:
            raise InputError(f"{path}.init_except: '{self.init_except}' is not a regular expression ({error})") from error
