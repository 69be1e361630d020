"""What the report says about the task `retrieval`: recall both ways, and the nearest neighbours of some captions and images."""

from collections.abc import Sequence

import numpy as np

from ugf_jax.data.index import Dataset
from ugf_jax.evaluation.batches import evenly, first_image
from ugf_jax.evaluation.gallery import Tile, encode_pictures
from ugf_jax.evaluation.percent import cell, percent, rejected, share_card
from ugf_jax.evaluation.report import Card, Exhibit, Section, Table
from ugf_jax.evaluation.retrieval import RANKS, both_ranks, caption_groups, embeddings
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.summary import Variants

LABELS = {"text_to_image": "caption → image", "image_to_text": "image → caption"}
_SHOWN = 4  # captions whose image comes first, and whose image does not
_NEIGHBOURS = 6


def figures_section(results: dict[str, Variants]) -> Section:
    """Recall both ways."""
    overall = results["retrieval"]
    if "text_to_image" not in overall:
        return Section("Retrieval", "No image could be read.")
    n = overall["text_to_image"]["recall@1"].n
    cards = [share_card(f"{LABELS[d].capitalize()}, R@1", overall[d]["recall@1"]) for d in LABELS]
    cards.append(Card("Images", f"{n:,}", "", rejected(overall) or "each with its longest caption"))
    rows: list[tuple[str, ...]] = [
        (label, *(cell(overall[d][f"recall@{k}"]) for k in RANKS), f"{overall[d]['median_rank'].value:g}")
        for d, label in LABELS.items()
    ]
    rows.append(("by chance", *(f"{100 * min(k / n, 1):.1f}" for k in RANKS), f"{(n + 1) / 2:g}"))
    table = Table(
        "Recall, per cent", ("", *(f"R@{k}" for k in RANKS), "median rank"), rows, "Equal captions stand for each other."
    )
    return Section(
        "Retrieval", f"Each caption is compared with all {n:,} images, and each image with all captions.", cards, tables=[table]
    )


def neighbours_section(samples: Sequence[Sample], dataset: Dataset) -> Section:
    """Captions with the images nearest to them, some whose own image comes first and some whose does not."""
    used = [s for s in samples if "rejected" not in s]
    if not used:
        return Section("Nearest neighbours")
    images, texts, same = embeddings(used, "image"), embeddings(used, "text"), caption_groups(used)
    ranks = both_ranks(used)["text_to_image"]
    found, missed = (np.flatnonzero((ranks == 1) == wanted).tolist() for wanted in (True, False))
    shown: list[tuple[str, str, list[Tile]]] = []
    for i in evenly(found, _SHOWN) + evenly(missed, _SHOWN):
        similarity = images @ texts[i]
        tiles = []
        for place, j in enumerate(np.argsort(-similarity, kind="stable")[:_NEIGHBOURS].tolist(), 1):
            image = first_image(dataset.record(used[j]["row"]))
            if isinstance(image, np.ndarray):
                own = " · its image" if same[i] == same[j] else ""
                tiles.append(Tile(f"{place}{own}", image, f"similarity {similarity[j]:.3f}"))
        shown.append((used[i]["caption"], f"its image comes in place {ranks[i]}", tiles))
    shown.append(_captioned(used, dataset))
    pictures = encode_pictures([tiles for _, _, tiles in shown])
    exhibits = [Exhibit(title, remark, row) for (title, remark, _), row in zip(shown, pictures, strict=True)]
    note = (
        f"Up to {_SHOWN} captions whose image comes first and up to {_SHOWN} others, evenly spaced, with the nearest images; "
        "then some images with the nearest caption."
    )
    return Section("Nearest neighbours", gallery_note=note, exhibits=exhibits)


def _captioned(used: Sequence[Sample], dataset: Dataset) -> tuple[str, str, list[Tile]]:
    """Evenly spaced images with the caption that is nearest to each."""
    images, texts, same = embeddings(used, "image"), embeddings(used, "text"), caption_groups(used)
    ranks = both_ranks(used)["image_to_text"]
    tiles = []
    for i in evenly(range(len(used)), _NEIGHBOURS):
        nearest = int(np.argmax(texts @ images[i]))
        image = first_image(dataset.record(used[i]["row"]))
        if isinstance(image, np.ndarray):
            note = "its caption" if same[i] == same[nearest] else f"its caption comes in place {ranks[i]}"
            tiles.append(Tile(used[nearest]["caption"], image, note))
    return "Images and the caption nearest to each", "", tiles


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    overall = results["retrieval"]
    parts = [f"{LABELS[d]} R@1 {percent(overall[d]['recall@1'])}" for d in LABELS if d in overall]
    n = overall["text_to_image"]["recall@1"].n if parts else 0
    return f"retrieval among {n:,}: " + (", ".join(parts) or "no image could be read")
