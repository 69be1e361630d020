import pytest

from ugf_jax import progress


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59, "59s"), (95, "1m35s"), (3725, "1h02m"), (-3, "0s")])
def test_human_time(seconds, text):
    assert progress.human_time(seconds) == text


def test_piped_progress_is_plain_lines_with_rate_and_time_left(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("prepare", 100, "images", done=20, interval=5.0) as shown:
        for _ in range(4):
            now[0] += 2.0
            shown.advance(10, rejected=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "prepare: 50/100 images · 5.0/s · 10s left · rejected 1",
        "prepare: 60/100 images · 5.0/s · 8s left · rejected 1",
    ]


def test_quiet_progress_prints_nothing(capsys):
    with progress.Progress("x", None, quiet=True) as shown:
        shown.advance()
        shown.note("hidden")
    assert capsys.readouterr().err == ""
