"""What the report says of a training run."""

from etils import epath

from ugf_jax.evaluation.run_report import run_section
from ugf_jax.training.goodput import Goodput


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_starts_and_time_are_told(tmp_path):
    clock = Clock()
    for first, last in ((0, 30), (20, 50)):
        run = Goodput(tmp_path, clock=clock, wall=clock, interval=0.0)
        run.resumed(first)
        with run.section("compile"):
            clock.now += 10
        with run.section("step"):
            clock.now += last - first
        run.mark(last)
    run.stop("done", 50)
    section = run_section(epath.Path(tmp_path))
    assert [(card.label, card.value) for card in section.cards] == [("Goodput", "62.5"), ("Steps", "50")]
    assert section.cards[0].remark == "2 starts, 10 steps lost"
    time, starts = section.tables
    assert dict(time.rows) == {"compile": "20s", "step": "50s", "lost": "10s"}
    assert [row[1:3] + row[4:] for row in starts.rows] == [("0", "30", "killed", "10"), ("20", "50", "done", "0")]


def test_a_folder_without_a_history_has_no_section(tmp_path):
    assert run_section(epath.Path(tmp_path)) is None
