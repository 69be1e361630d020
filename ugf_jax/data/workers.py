"""Work spread over processes that never outlive the one that started them."""

import functools
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ugf_jax.errors import RetryError

Task = TypeVar("Task")
Result = TypeVar("Result")

POLL_SECONDS = 0.5


def _nothing() -> None:
    pass


_on_tick: Callable[[], None] = _nothing


def tick() -> None:
    """Called by the work itself after each item, so that progress is seen within a long task."""
    _on_tick()


def run_all(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, on_items: Callable[[int], None] = lambda n: None
) -> Iterator[Result]:
    """Applies `work` to every task and yields the results as they come, in any order.

    Args:
      work: for several workers, picklable and importable; the workers are spawned, not forked, since threads may be running.
      tasks: taken one at a time, never more than a few ahead.
      workers: processes; 1 works in this process.
      on_items: told how many items were done since it was last told.

    Raises:
      RetryError: a worker died. Whatever `work` raises is raised here.
    """
    if workers <= 1:
        yield from _run_here(work, tasks, on_items)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("Q", 0)
    seen = 0

    def tell() -> None:
        nonlocal seen
        now = counter.value
        on_items(now - seen)
        seen = now

    pool = futures.ProcessPoolExecutor(workers, context, initializer=_start, initargs=(counter,))
    waiting: set[futures.Future[Result]] = set()
    remaining = iter(tasks)
    try:
        while True:
            for task in itertools.islice(remaining, 2 * workers - len(waiting)):
                waiting.add(pool.submit(work, task))
            if not waiting:
                break
            done, waiting = futures.wait(waiting, timeout=POLL_SECONDS, return_when=futures.FIRST_COMPLETED)
            tell()
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise RetryError(
            "a worker process died, perhaps for lack of memory; run the same command again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_here(work: Callable[[Task], Result], tasks: Iterable[Task], on_items: Callable[[int], None]) -> Iterator[Result]:
    global _on_tick
    for task in tasks:
        _on_tick = functools.partial(on_items, 1)
        try:
            result = work(task)
        finally:
            _on_tick = _nothing
        yield result


def _count(counter: Any) -> None:
    with counter.get_lock():
        counter.value += 1


def _start(counter: Any) -> None:
    """Prepares a worker: Ctrl-C is the main process's business, and its death ends the worker."""
    global _on_tick
    _on_tick = functools.partial(_count, counter)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
