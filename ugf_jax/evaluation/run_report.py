"""What the report says of the training run itself: its starts, how each ended, and where the time went."""

from etils import epath

from ugf_jax.evaluation.report import Card, Section, Table
from ugf_jax.progress import human_time
from ugf_jax.training.goodput import SECTIONS
from ugf_jax.training.run_history import RUNS, read_run_history


def run_section(workdir: epath.Path) -> Section | None:
    """Goodput and history of a run; None where its folder does not tell them."""
    if not (workdir / RUNS).exists():
        return None
    history = read_run_history(workdir)
    summary, attempts = history.summary, history.attempts
    lost = sum(attempt.lost for attempt in attempts)
    time: list[tuple[str, ...]] = [
        (name, human_time(summary[name])) for name in (*SECTIONS, "lost", "down") if summary[name] >= 1
    ]
    starts: list[tuple[str, ...]] = [
        (f"{number}", f"{one.first}", f"{one.last}", human_time(one.seconds), one.cause or "not known", f"{one.lost}")
        for number, one in enumerate(attempts, 1)
    ]
    return Section(
        "The training run",
        "Goodput is the share of the time of all processes that went into steps that count. Lost steps were taken again after "
        "a stop; down is the time between two processes.",
        [
            Card("Goodput", f"{100 * summary['goodput']:.1f}", "%", f"{len(attempts)} starts, {lost} steps lost"),
            Card("Steps", f"{attempts[-1].last:,}", "", human_time(summary["step"]) + " in steps"),
        ],
        tables=[
            Table("Where the time went", ("", "time"), time),
            Table("Starts", ("", "from step", "to step", "lasted", "ended", "steps lost"), starts),
        ],
    )
