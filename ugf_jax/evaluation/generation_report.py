"""What the report says about the task `generation`: shares by category and size, pictures that are right and that are wrong."""

from collections.abc import Sequence

from etils import epath

from ugf_jax.data import shapes
from ugf_jax.evaluation.batches import evenly
from ugf_jax.evaluation.gallery import Tile, encode_pictures
from ugf_jax.evaluation.generation import ATTRIBUTES, DrawingSettings, is_right, read_picture
from ugf_jax.evaluation.percent import cell, percent, share_card
from ugf_jax.evaluation.report import Exhibit, Section, Table
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.summary import Variants

LABELS = {
    "single": "one object",
    "two": "two objects",
    "counting": "counting",
    "position": "position",
    "colour": "background",
    "size": "size",
    "relations": "relation",
}
_SHOWN = 3  # pictures of each category that are right, and that are wrong
_NAMED = 4  # objects found in a picture that is wrong


def figures_section(results: dict[str, Variants], settings: DrawingSettings) -> Section:
    """Headline figures and tables."""
    overall, by_category = results["generation"]["all"], results["generation_by_category"]
    cards = [share_card("All that was asked for", overall["correct"], f"{overall['correct'].n:,} held-out prompts")]
    for name in ("single", "two", "counting", "position"):
        if name in by_category:
            figures = by_category[name]
            cards.append(share_card(LABELS[name].capitalize(), figures["correct"], f"{figures['correct'].n:,} prompts"))
    if "single" in by_category:
        cards.append(share_card("One object: shape and colour", by_category["single"]["object"], "whatever else is there"))
    sizes = ", ".join(f"{w}×{h}" for h, w in settings.sizes)
    return Section(
        "Generation: what a prompt asked for",
        f"Prompts of split “{settings.split}” name combinations that training never showed; pictures of {sizes} pixels "
        "(width × height). A program finds the objects in each picture and compares them with the prompt; ± is one standard "
        "error.",
        cards,
        tables=[
            shares_table(
                "By category, per cent", "category", {LABELS.get(n, n): v for n, v in by_category.items()} | {"all": overall}
            ),
            shares_table("By size, per cent", "width × height", results["generation_by_size"]),
        ],
    )


def shares_table(title: str, first: str, groups: Variants) -> Table:
    """Shares of right pictures by group and attribute, without the attributes that no prompt speaks of."""
    attributes = [name for name in ATTRIBUTES if any(name in figures for figures in groups.values())]
    rows: list[tuple[str, ...]] = [
        (name, f"{figures['correct'].n:,}", *(cell(figures.get(a)) for a in ("correct", "object", *attributes)))
        for name, figures in groups.items()
    ]
    columns = (first, "prompts", "all right", "objects", *attributes)
    note = (
        "All right: everything that was asked for and no other object. Objects: shape and colour of each. "
        "An attribute counts among the prompts that speak of it."
    )
    return Table(title, columns, rows, note)


def gallery_section(samples: Sequence[Sample], folder: epath.Path) -> Section:
    """Of each category some pictures that are right and some that are wrong, evenly spaced over the prompts."""
    shown: list[tuple[str, str, list[Tile]]] = []
    for category in shapes.CATEGORIES:
        members = [s for s in samples if s["category"] == category]
        right, wrong = ([s for s in members if is_right(s) == wanted] for wanted in (True, False))
        chosen = evenly(right, _SHOWN) + evenly(wrong, _SHOWN)
        if chosen:
            tiles = [Tile(s["prompt"], read_picture(folder, s["row"]), verdict(s)) for s in chosen]
            shown.append((LABELS.get(category, category), f"{len(right)} of {len(members)} right", tiles))
    pictures = encode_pictures([tiles for _, _, tiles in shown])
    exhibits = [Exhibit(title, remark, row) for (title, remark, _), row in zip(shown, pictures, strict=True)]
    note = (
        f"Up to {_SHOWN} that are right, then up to {_SHOWN} that are wrong, evenly spaced over the prompts of each category."
    )
    return Section("Generated pictures", gallery_note=note, exhibits=exhibits)


def verdict(sample: Sample) -> str:
    """`right`, or what is wrong and what was found instead."""
    if is_right(sample):
        return "right"
    wrong = ", ".join(name for name, value in sample["right"].items() if not value)
    found, more = sample["objects"][:_NAMED], len(sample["objects"]) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"wrong: {wrong}; found {', '.join(found) or 'nothing'}{rest} on {sample['background']}"


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    overall, by_category = results["generation"]["all"], results["generation_by_category"]
    parts = [f"{LABELS.get(name, name)} {percent(figures['correct'])}" for name, figures in by_category.items()]
    return f"generation, {overall['correct'].n:,} prompts: {percent(overall['correct'])} right; " + ", ".join(parts)
