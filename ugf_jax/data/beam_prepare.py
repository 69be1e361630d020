"""Preparing on a cluster: the same pieces as by `ugf_jax.data.prepare`, written by the workers of an Apache Beam pipeline.

Workers read the source and write parts and shards where all of them can: an object store, or a file system that they share. The
result is that of one machine, byte for byte, since a piece is a function of its task. Needs the extra `beam`.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ugf_jax.data.shards import write_text
from ugf_jax.errors import InputError, RetryError


class BeamRunner:
    """Has the form of `workers.run_all`; runs tasks in a pipeline.

    Args:
      options: of Beam, e.g. `["--runner=DirectRunner", "--direct_num_workers=4"]`, `["--runner=DataflowRunner", …]`.

    Raises:
      InputError: Beam is not installed, or refuses its options.
    """

    def __init__(self, options: Sequence[str]):
        try:
            from apache_beam.options.pipeline_options import PipelineOptions
        except ImportError as error:
            raise InputError("--beam: Apache Beam is not installed; want pip install 'ugf-jax[beam]'") from error
        self.options = PipelineOptions(list(options))
        if unknown := [o for o in options if o.partition("=")[0].removeprefix("--") not in self.options.get_all_options()]:
            raise InputError(f"--beam: Apache Beam has no option {unknown[0]}")

    def __call__(
        self, work: Any, tasks: Iterable[Any], workers: int, on_items: Callable[[int], None] = lambda n: None
    ) -> Iterator[Any]:
        """Applies `work` to every task and yields what `work.result` says of each.

        Args:
          work: a `PartWriter` or `ShardWriter`.
          tasks: all of them; each is done by one worker, perhaps more than once.
          workers: not used; the options say how many.
          on_items: not used; workers cannot tell.

        Raises:
          InputError: a worker met input that is wrong.
          RetryError: a piece is missing although the pipeline has ended.
        """
        import apache_beam as beam

        tasks = list(tasks)
        if not tasks:
            return
        with beam.Pipeline(options=self.options) as pipeline:
            # The tasks are few and each is long: without a shuffle one worker might be given them all.
            _ = pipeline | beam.Create(list(enumerate(tasks))) | beam.Reshuffle() | beam.Map(_attempt, work)
        for number, task in enumerate(tasks):
            refused = work.work_folder / _refused_name(number)
            with contextlib.suppress(FileNotFoundError):
                message = refused.read_text(encoding="utf-8")
                refused.unlink()
                raise InputError(message)
            result = work.result(task)
            if result is None:
                raise RetryError(f"{work.work_folder}: a piece was not written; run the same command again")
            yield result


def _attempt(numbered: tuple[int, Any], work: Any) -> None:
    """Does a task; input that is wrong is written down, since Beam would try it again and lose the one clear line."""
    number, task = numbered
    try:
        work(task)
    except InputError as error:
        write_text(work.work_folder / _refused_name(number), str(error))


def _refused_name(number: int) -> str:
    return f"refused-{number:08d}.txt"
