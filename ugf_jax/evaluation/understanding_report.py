"""What the report says about the task `understanding`: exact match by kind of question, answers right and wrong."""

from collections.abc import Sequence

import numpy as np

from ugf_jax.data.index import Dataset
from ugf_jax.evaluation.batches import evenly, first_image
from ugf_jax.evaluation.gallery import Tile, encode_pictures
from ugf_jax.evaluation.percent import cell, percent, rejected, share_card
from ugf_jax.evaluation.report import Card, Exhibit, Section, Table
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.summary import Variants

_SHOWN = 3  # answers of each kind that are right, and that are wrong


def figures_section(results: dict[str, Variants]) -> Section:
    """Headline figures and the table by kind."""
    overall, kinds = results["understanding"], results["understanding_by_kind"]
    if "all" not in overall:
        return Section("Understanding: questions about images", "No image could be read.")
    cards = [
        share_card("Exact match", overall["all"]["exact_match"], "all questions alike"),
        share_card("Commonest answer", overall["all"]["majority"], "what guessing it would reach, kind by kind"),
        Card("Questions", f"{overall['all']['exact_match'].n:,}", "", rejected(overall) or f"of {len(kinds)} kinds"),
    ]
    rows: list[tuple[str, ...]] = [
        (kind, f"{f['exact_match'].n:,}", cell(f["exact_match"]), cell(f["majority"])) for kind, f in kinds.items()
    ]
    caption = "Commonest answer: how often the most frequent right answer of the kind is right."
    table = Table("By kind of question, per cent", ("kind", "questions", "exact match", "commonest answer"), rows, caption)
    introduction = "An answer counts where it is the right one, word for word; case, an article and a full stop do not matter."
    return Section("Understanding: questions about images", introduction, cards, tables=[table])


def gallery_section(samples: Sequence[Sample], dataset: Dataset) -> Section:
    """Of each kind some answers that are right and some that are wrong, evenly spaced."""
    used = [s for s in samples if "rejected" not in s]
    shown: list[tuple[str, str, list[Tile]]] = []
    for kind in sorted({s["kind"] for s in used}):
        members = [s for s in used if s["kind"] == kind]
        right, wrong = ([s for s in members if s["right"] == wanted] for wanted in (True, False))
        tiles = []
        for sample in evenly(right, _SHOWN) + evenly(wrong, _SHOWN):
            image = first_image(dataset.record(sample["record"]))
            if isinstance(image, np.ndarray):
                tiles.append(Tile(sample["question"], image, verdict(sample)))
        shown.append((kind, f"{len(right)} of {len(members)} right", tiles))
    pictures = encode_pictures([tiles for _, _, tiles in shown])
    exhibits = [Exhibit(title, remark, row) for (title, remark, _), row in zip(shown, pictures, strict=True)]
    note = f"Up to {_SHOWN} that are right, then up to {_SHOWN} that are wrong, evenly spaced over the questions of each kind."
    return Section("Answers", gallery_note=note, exhibits=exhibits)


def verdict(sample: Sample) -> str:
    """What the model said, and the right answer where that is another."""
    said = sample["said"] or "(nothing)"
    return f"{said} (right)" if sample["right"] else f"{said} (wrong: {sample['answer']})"


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    overall = results["understanding"].get("all")
    if overall is None:
        return "understanding: no image could be read"
    kinds = ", ".join(f"{k} {percent(f['exact_match'])}" for k, f in results["understanding_by_kind"].items())
    return f"understanding, {overall['exact_match'].n:,} questions: {percent(overall['exact_match'])} right; {kinds}"
