"""What the report says about the task `policy`: before and after, the curves of the run, and the same prompts side by side."""

from collections.abc import Sequence

from etils import epath

from ugf_jax.evaluation.batches import evenly
from ugf_jax.evaluation.figures import COLORS, Line, plot_lines
from ugf_jax.evaluation.gallery import Tile, encode_pictures
from ugf_jax.evaluation.generation import read_picture
from ugf_jax.evaluation.history import Curve, thin
from ugf_jax.evaluation.percent import cell, percent
from ugf_jax.evaluation.policy import SIDES
from ugf_jax.evaluation.report import Card, Exhibit, Plot, Section
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.summary import Variants

History = dict[tuple[str, str], Curve]
_SHOWN = 12  # prompts in the gallery
_WATCHED = (  # title, metrics, label of the axis, caption
    (
        "Rewards",
        "reward/",
        "mean reward",
        "What the run is trained on, as measured: on its own pictures, and on held-out prompts.",
    ),
    ("Held-out rewards", "held_out/", "mean reward", "Measured and never trained on."),
    ("Divergence", "kl/after", "nats a picture", "From the model that the run started from."),
    ("Entropy", "entropy", "nats a code", "Of the distribution that codes are drawn from."),
    ("Diversity", "diversity", "share of codes", "In which two pictures of one prompt differ."),
)


def figures_section(results: dict[str, Variants], algorithm: str) -> Section:
    """Headline figures."""
    policy = results["policy"]

    def card(label: str, name: str, remark: str) -> Card:
        value, _, error = percent(policy["after"][name]).partition(" ")
        return Card(label, value, error, f"before {cell(policy['before'][name])} %; {remark}")

    gain = policy["gain"]["correct"]
    return Section(
        f"Feedback: before and after {algorithm.upper()}",
        "Held-out prompts, drawn with the same seeds by the model that the run started from and by its policy; a program "
        "checks the pictures. ± is one standard error over prompts.",
        [
            card("All that was asked for", "correct", f"gain {cell(gain)} points"),
            card("Share of what was asked for", "score", f"{gain.n:,} prompts"),
            card("Diversity", "diversity", "codes in which two pictures of a prompt differ"),
        ],
    )


def curves_section(history: History) -> Section:
    """What the run logged of itself and of held-out prompts."""
    plots = []
    for title, metric, label, caption in _WATCHED:
        names = sorted({name for _, name in history if name == metric or (metric.endswith("/") and name.startswith(metric))})
        lines = []
        for name, color in zip(names, _colors(len(names)), strict=True):
            short = name.partition("/")[2] if metric.endswith("/") else name
            if ("train", name) in history:
                lines.append(Line(short, *thin(history["train", name]), color, faint=("validation", name) in history))
            if ("validation", name) in history:
                lines.append(Line(f"{short}, held-out prompts", *thin(history["validation", name]), color, markers=True))
        if lines:
            plots.append(Plot(title, plot_lines(lines, "step", label), caption))
    return Section("The run", plots=plots)


def _colors(count: int) -> list[str]:
    known = list(dict.fromkeys(COLORS.values()))
    return [known[i % len(known)] for i in range(count)]


def gallery_section(samples: Sequence[Sample], folder: epath.Path) -> Section:
    """The first picture of some prompts, evenly spaced, before and after."""
    chosen = evenly(samples, _SHOWN)
    tiles = [[Tile(side, read_picture(folder / side, s["row"]), _verdict(s, side)) for side in SIDES] for s in chosen]
    exhibits = [
        Exhibit(sample["prompt"], sample["category"], row) for sample, row in zip(chosen, encode_pictures(tiles), strict=True)
    ]
    return Section("The same prompts and seeds", gallery_note="Evenly spaced over the prompts.", exhibits=exhibits)


def _verdict(sample: Sample, side: str) -> str:
    right = sample[side]["correct"]
    return f"{'right' if right[0] else 'wrong'}; {sum(right):.0f} of {len(right)} pictures right"


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    before, after, gain = (results["policy"][name]["correct"] for name in (*SIDES, "gain"))
    diversity = results["policy"]["after"]["diversity"].value / max(results["policy"]["before"]["diversity"].value, 1e-9)
    return (
        f"policy, {gain.n:,} prompts: {percent(before)} right before, {percent(after)} after, gain {cell(gain)} points; "
        f"diversity {100 * diversity:.0f} % of what it was"
    )
