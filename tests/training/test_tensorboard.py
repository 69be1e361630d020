import sys
import threading

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.tensorboard import TensorBoard


class Writer:
    """Records what it is told; blocks while `gate` is closed; `broken` writes fail as on a full disk."""

    def __init__(self, gate=None, broken=()):
        self.gate, self.broken, self.points, self.closed = gate, broken, [], False

    def add_scalar(self, name, value, step):
        if self.gate:
            self.gate.wait()
        if step in self.broken:
            raise OSError("No space left on device")
        self.points.append((name, value, step))

    def add_image(self, name, pixels, step, dataformats):
        self.points.append((name, pixels.shape, step, dataformats))

    def flush(self):
        pass

    def close(self):
        self.closed = True


def test_everything_is_written_in_order():
    writer = Writer()
    board = TensorBoard("folder", make_writer=lambda folder, first: writer)
    board.scalars(1, "train", {"loss": 2.0, "psnr": 3.0})
    board.image(1, "grid", np.zeros((4, 6, 3), np.uint8))
    board.scalars(2, "validation", {"loss": 1.0})
    board.close()
    assert writer.points == [
        ("train/loss", 2.0, 1),
        ("train/psnr", 3.0, 1),
        ("grid", (4, 6, 3), 1, "HWC"),
        ("validation/loss", 1.0, 2),
    ]
    assert writer.closed
    assert board.dropped == 0


def test_a_writer_that_hangs_never_blocks_and_drops_are_counted():
    gate = threading.Event()
    writer = Writer(gate)
    board = TensorBoard("folder", capacity=5, make_writer=lambda folder, first: writer)
    for step in range(100):
        board.scalars(step, "train", {"loss": 0.0})
    assert 94 <= board.dropped <= 95  # five wait, and perhaps one is in the writer's hands
    board.close(timeout=0.05)
    assert not writer.closed
    gate.set()
    board.close()
    assert len(writer.points) == 100 - board.dropped


def test_a_full_disk_loses_points_and_nothing_else():
    writer = Writer(broken={1, 2})
    board = TensorBoard("folder", make_writer=lambda folder, first: writer)
    for step in range(4):
        board.scalars(step, "train", {"loss": 0.0})
    board.close()
    assert [step for _, _, step in writer.points] == [0, 3]
    assert board.dropped == 2


def test_real_event_files_are_made(tmp_path):
    board = TensorBoard(str(tmp_path / "tensorboard"))
    board.scalars(1, "train", {"loss": 0.5})
    board.image(1, "grid", np.zeros((4, 6, 3), np.uint8))
    board.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"train/loss" in content
    assert b"\x89PNG" in content


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install 'ugf-jax\[tensorboard\]'"):
        TensorBoard("folder")
