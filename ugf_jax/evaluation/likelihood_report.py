"""What the report says about the task `likelihood`."""

from ugf_jax.evaluation.percent import rejected
from ugf_jax.evaluation.reconstruction_report import with_error
from ugf_jax.evaluation.report import Card, Section, Table
from ugf_jax.evaluation.summary import Variants

LABELS = {"image": "image, given its caption", "text": "caption, given its image"}


def figures_section(results: dict[str, Variants]) -> Section:
    """Bits a token of each modality."""
    overall = results["likelihood"]
    found = {name: figures for name, figures in overall.items() if name != "images"}
    cards: list[Card] = []
    rows: list[tuple[str, ...]] = []
    for name, figures in found.items():
        value, _, error = with_error(figures["bits_per_token"], 3, "bits").partition(" ")
        label = LABELS.get(name, name)
        cards.append(Card(f"Bits a token, {name}", value, error, label))
        items, tokens = figures["bits_per_token"].n, figures["tokens"].value
        row = (
            label,
            f"{items:,}",
            f"{tokens:.1f}",
            with_error(figures["bits_per_token"], 3),
            with_error(figures["perplexity"], 2),
        )
        rows.append(row)
    table = Table("By modality", ("", "images", "tokens an image", "bits a token", "perplexity"), rows, rejected(overall))
    introduction = "How well held-out images and captions are predicted, token by token. ± is one standard error over images."
    return Section("Likelihood", introduction, cards, tables=[table])


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    found = {name: figures for name, figures in results["likelihood"].items() if name != "images"}
    parts = [f"{name} {with_error(figures['bits_per_token'], 3)}" for name, figures in found.items()]
    return "likelihood, bits a token: " + (", ".join(parts) or "no image could be read")
