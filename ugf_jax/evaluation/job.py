"""What an evaluation is given and what it gives back."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from etils import epath

from ugf_jax.data.index import Dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation.report import Section
from ugf_jax.evaluation.summary import Variants
from ugf_jax.generation.unified_model import UnifiedModel
from ugf_jax.training.bundle import digest


@dataclasses.dataclass(frozen=True)
class Job:
    """What to evaluate.

    Attributes:
      run: work folder of a training run; None where no task evaluates one.
      bundle: folder of an exported model; None where no task evaluates one.
      dataset: held-out data; None where no task needs any.
      output: folder for `TASK/samples.jsonl`.
      step: of the checkpoint, or None for the newest.
      limit: number of items, or None for all.
      quiet: show no progress.
      memory: whether a model looks at the auxiliary codes of images.
      ensemble: work folders of more runs of stage `reward`, which judge together with `run`.
      feedback: work folder of a run of stage `rlhf`; None where no task evaluates one.
      improved: folder of the model exported from it.
    """

    run: epath.Path | None
    bundle: epath.Path | None
    dataset: Dataset | None
    output: epath.Path
    step: int | None = None
    limit: int | None = None
    quiet: bool = False
    memory: bool = True
    ensemble: tuple[epath.Path, ...] = ()
    feedback: epath.Path | None = None
    improved: epath.Path | None = None

    def subjects(self, task: "Task") -> list[epath.Path]:
        """The folders that a task evaluates.

        Raises:
          InputError: one was not named.
        """
        folders: list[epath.Path] = []
        for subject in task.subjects:
            folders += self.policy if subject == "policy" else (self.workdir if subject == "run" else self.folder,)
        return folders

    @property
    def data(self) -> Dataset:
        """The dataset of a task that needs one.

        Raises:
          InputError: none was named.
        """
        if self.dataset is None:
            raise InputError("--data=FOLDER is needed: held-out data made by `ugf prepare`")
        return self.dataset

    @property
    def workdir(self) -> epath.Path:
        """The training run of a task that evaluates one.

        Raises:
          InputError: none was named.
        """
        if self.run is None:
            raise InputError("--workdir=FOLDER is needed: the folder of a training run, e.g. --workdir=runs/demo")
        return self.run

    @property
    def folder(self) -> epath.Path:
        """The exported model of a task that evaluates one.

        Raises:
          InputError: none was named.
        """
        if self.bundle is None:
            raise InputError("--model=FOLDER is needed: a model made by `ugf export`")
        return self.bundle

    @property
    def policy(self) -> tuple[epath.Path, epath.Path]:
        """The run of stage `rlhf` and the model made of it, of a task that evaluates them.

        Raises:
          InputError: one was not named.
        """
        if self.feedback is None or self.improved is None:
            missing = "--feedback=FOLDER" if self.feedback is None else "--improved=FOLDER"
            raise InputError(f"{missing} is needed: --feedback is a run of stage rlhf, --improved the model exported from it")
        return self.feedback, self.improved

    @functools.cached_property
    def model(self) -> UnifiedModel:
        """The model in `folder`, loaded once for all tasks.

        Raises:
          InputError: the folder holds none.
        """
        return UnifiedModel.load(self.folder, self.memory)

    @functools.cached_property
    def model_digest(self) -> str:
        """Tells the model from all others; see `bundle.digest`."""
        return digest(self.folder)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task found.

    Attributes:
      results: by task key, variant and metric.
      sections: of the report.
      summary: one line for the terminal.
      step: of the checkpoint that was evaluated.
      fingerprint: of its parameters.
      config: of the run, from the checkpoint, or of the model.
      images: number of images of the dataset, readable or not; 0 where the task used none.
    """

    results: dict[str, Variants]
    sections: list[Section]
    summary: str
    step: int
    fingerprint: str
    config: dict[str, Any]
    images: int


@dataclasses.dataclass(frozen=True)
class Task:
    """A named evaluation.

    Attributes:
      version: rises whenever the same parameters and data would give other numbers.
      summary: what it measures.
      run: does it.
      subjects: what is evaluated: a "run" of training, a "model" made by `ugf export`, or a "policy", which is a run of stage
        `rlhf` with the model made of it.
      needs_data: whether it measures on a dataset.
    """

    version: int
    summary: str
    run: Callable[[Job], Outcome]
    subjects: tuple[str, ...] = ("run",)
    needs_data: bool = True
