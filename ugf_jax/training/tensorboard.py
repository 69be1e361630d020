"""TensorBoard that cannot hold training up: a thread writes, a bounded queue feeds it, what does not fit is dropped."""

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ugf_jax.errors import InputError


class TensorBoard:
    """Writes scalars and images in the background.

    Args:
      folder: where the event files go.
      capacity: writes that may wait; more are dropped and counted in `dropped`.
      make_writer: `(folder, first step) → writer` with `add_scalar`, `add_image`, `flush`, `close`.

    Raises:
      InputError: tensorboardX is not installed.
    """

    def __init__(self, folder: str, capacity: int = 1000, make_writer: Callable[[str, int], Any] | None = None):
        self.folder, self.dropped, self.first_step = folder, 0, 0
        self._make_writer = make_writer or _tensorboardx()
        self._queue: queue.Queue[Callable[[Any], None] | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._write, name="tensorboard", daemon=True)
        self._thread.start()

    def scalars(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Queues one point for each value, named `kind/name`."""

        def add(writer: Any) -> None:
            for name, value in values.items():
                writer.add_scalar(f"{kind}/{name}", value, step)

        self._put(add)

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Queues a picture, uint8 `[H, W, 3]`."""
        self._put(lambda writer: writer.add_image(name, pixels, step, dataformats="HWC"))

    def close(self, timeout: float = 5.0) -> None:
        """Gives the thread `timeout` seconds to finish; it dies with the process otherwise."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _put(self, write: Callable[[Any], None]) -> None:
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        writer = None
        while (write := self._queue.get()) is not None:
            try:
                writer = writer or self._make_writer(self.folder, self.first_step)
                write(writer)
                if self._queue.empty():
                    writer.flush()
            except OSError:
                self.dropped += 1
        if writer:
            writer.close()


def _tensorboardx() -> Callable[[str, int], Any]:
    try:
        import tensorboardX
    except ImportError as error:
        raise InputError(
            "config.tensorboard: needs the package tensorboardX; pip install 'ugf-jax[tensorboard]', or set it to False"
        ) from error
    # Points of steps that a resumed run takes again are hidden.
    return lambda folder, first_step: tensorboardX.SummaryWriter(folder, purge_step=first_step or None)
