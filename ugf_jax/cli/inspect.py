"""ugf inspect DATA: what a prepared dataset holds. ugf inspect RUN: what has happened to a training run.

DATA is a folder made by `ugf prepare`. Shows
  - records and images, what was refused and why
  - how large the images are, and which bucket (batch shape) each goes to in training, with the part of the images that is
    cut away and how much they are stretched there; buckets with too few images for a batch join a neighbour
  - how many captions, conversations and questions there are, and how long captions are
and writes contact_sheet.png (images of all shapes with their captions) and results.json to DATA/inspect or --output. Of
preferences it also draws preferences.png: pairs of images of one prompt, the preferred one on the left.

  ugf inspect data/clipart/train
  ugf inspect data/web --scales=256,512 --batch_size=64 --output=runs/inspect

With --documents=N it shows instead what the transformer reads: N records as documents, token by token, with what is trained on
and from where each image's auxiliary codes may be seen. The dataset must hold codes (`ugf prepare --tokenize=RUN`).

  ugf inspect data/coded/train --documents=3 --task=question

RUN is the work folder of a run of `ugf train`. Shows each start and how it ended, the steps that were lost, where the time went
(goodput), checkpoints and the newest metrics. It may still be running, and nothing is changed; --output=DIR keeps results.json.

  ugf inspect runs/demo/unified
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import rich.console
from absl import flags
from etils import epath

from ugf_jax.cli import app
from ugf_jax.cli.run_view import results, show_run
from ugf_jax.cli.tables import print_table
from ugf_jax.data.buckets import Assigner, BucketSettings, make_buckets
from ugf_jax.data.contact_sheet import contact_sheet
from ugf_jax.data.document_view import show, view
from ugf_jax.data.index import Dataset, open_dataset
from ugf_jax.data.loader import DataSettings, read_image
from ugf_jax.data.permutation import key
from ugf_jax.data.recipes import TASKS, RecipeSettings, TaskWeights, build, choose, lengths_of
from ugf_jax.data.statistics import BucketUse, bucket_uses, spread, text_statistics
from ugf_jax.data.text import TextTokenizer, visible
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json
from ugf_jax.training.run_history import RUNS, read_run_history

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "folder for contact_sheet.png and results.json (default: DATA/inspect)", flag_values=FLAGS)
flags.DEFINE_list("scales", ["256"], "sides in pixels of the squares that buckets are made from", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", 16, "images of a global batch", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("patch", BucketSettings.patch, "bucket sides are multiples of it", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("pictures", 48, "images on the contact sheet", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("texts", 2000, "records whose texts are read, evenly spread", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("documents", 0, "records shown as documents, evenly spread", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_enum("task", None, TASKS, "with --documents: this task alone", flag_values=FLAGS)
flags.DEFINE_integer("length", RecipeSettings.length, "with --documents: most tokens", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("text_tokenizer", "", "with --documents: a tokenizer.json; empty: the shipped one", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Inspects a prepared dataset."""
    if len(positional) != 1:
        raise InputError(f"want one DATA folder, got {len(positional)} arguments (see ugf inspect --help)")
    if (epath.Path(positional[0]) / RUNS).exists():
        _inspect_run(epath.Path(positional[0]), values)
        return
    dataset = open_dataset(positional[0])
    if values.documents:
        _print_documents(dataset, values)
        return
    settings = BucketSettings(scales=_scales(values.scales), patch=values.patch)
    buckets = make_buckets(settings)
    output = app.output_folder(values.output or pathlib.Path(positional[0]) / "inspect", "--output")

    _print_counts(dataset)
    uses, without = bucket_uses(dataset, buckets, settings, values.batch_size, DataSettings.max_rare_crop)
    _print_buckets(uses, without, values.batch_size)
    texts = text_statistics(dataset.read_many(_evenly(dataset, values.texts)))
    _print_texts(texts, dataset)

    numbers = np.concatenate(
        [Assigner(buckets, settings)(h, w) for _, h, w in dataset.size_chunks()] or [np.zeros(0, np.int16)]
    )
    rows = spread(numbers, values.pictures)
    if rows:
        sheet = output / "contact_sheet.png"
        targets = {use.bucket: use.target or "no bucket" for use in uses}
        _draw(dataset, rows, {row: str(targets[buckets[numbers[row]]]) for row in rows}).save(str(sheet))
        print(f"\n{sheet}: {len(rows)} images of {len(set(numbers[rows].tolist()))} shapes")
    _draw_preferences(dataset, values.pictures // 2, output / "preferences.png")
    write_json(output / "results.json", {"inspect": _results(dataset, uses, without, texts)})
    print(f"{output / 'results.json'}")


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("inspect", __doc__, FLAGS, main, argv)


def _inspect_run(workdir: epath.Path, values: flags.FlagValues) -> None:
    if values.documents:
        raise InputError(f"--documents: {workdir} is a training run; name a prepared dataset")
    history = read_run_history(workdir)
    show_run(workdir, history)
    if values.output:
        write_json(app.output_folder(values.output, "--output") / "results.json", {"inspect": results(history)})


def _print_documents(dataset: Dataset, values: flags.FlagValues) -> None:
    if dataset.manifest["images"] and values.task != "text" and not dataset.column("code_length").any():
        raise InputError(
            f"{dataset.folder}: holds no image codes; prepare it with --tokenize=RUN, the work folder of a trained tokenizer"
        )
    text, console = TextTokenizer.load(values.text_tokenizer), rich.console.Console()
    vocabulary = VocabularySettings(text=text.size, sizes=2**12, codes=2**20)  # whatever the model's, it can be shown
    weights = TaskWeights(**{task: float(task == values.task) for task in TASKS}) if values.task else TaskWeights()
    settings = RecipeSettings(tasks=weights, length=values.length)
    for number, row in enumerate(_evenly(dataset, values.documents), 1):
        record = dataset.read(row)
        recipe = choose(lengths_of(record, text), key(row)[0], settings)
        if recipe is None:
            print(f"{number}: '{visible(record.key)}': no document of at most {values.length} tokens can be made of it\n")
            continue
        for document in build(recipe, record, text, vocabulary):
            show(view(document, vocabulary, text, f"{number}: '{visible(record.key)}'"), console)


def _scales(values: Sequence[str]) -> tuple[int, ...]:
    if not values or not all(v.strip().isdecimal() and int(v) for v in values):
        raise InputError(f"--scales is {','.join(values)!r}; want whole numbers such as 256,512")
    return tuple(map(int, values))


def _print_counts(dataset: Dataset) -> None:
    manifest = dataset.manifest
    size = sum(shard["bytes"] for shard in manifest["shards"])
    pairs = f" {manifest['pairs']:,} preferences," if "pairs" in manifest else ""
    print(f"{dataset.folder}: {manifest['records']:,} records, {manifest['images']:,} images,{pairs} {size / 2**20:,.1f} MiB")
    print("source: " + ", ".join(f"{k} {v}" for k, v in manifest["source"].items()))
    print(f"fingerprint: {dataset.fingerprint}")
    reasons = manifest["quarantine"]["reasons"]
    print_table(
        "Refused when prepared", ("reason", "entries"), [(r, f"{n:,}") for r, n in reasons.items()] or [("nothing", "0")]
    )
    sides = sorted(manifest["sizes"]["long_side"].items(), key=lambda item: int(item[0]))
    print_table("Long side, pixels", ("up to", "images", ""), _bars([(f"{int(side):,}", n) for side, n in sides]))
    print_table("Width : height", ("from", "images", ""), _bars(list(manifest["sizes"]["aspect"].items())))


def _print_buckets(uses: Sequence[BucketUse], without: dict[str, int], batch_size: int) -> None:
    rows = []
    for use in uses:
        place = "too few" if use.target is None else str(use.target) if use.target == use.bucket else f"→ {use.target}"
        crop, stretch = f"{use.crop_mean:.1%} ({use.crop_max:.1%})", f"{use.stretch_mean:.1%} ({use.stretch_max:.1%})"
        large = f"{use.enlarge_max:.2f}"
        rows.append((str(use.bucket), str(use.bucket.scale), f"{use.images:,}", place, crop, stretch, large))
    header = ("nearest", "scale", "images", "trains in", "cut, mean (max)", "stretched, mean (max)", "enlarged, max")
    print_table(f"Buckets, height x width, for batches of {batch_size}", header, rows)
    members: dict[Any, int] = {}
    for use in uses:
        if use.target:
            members[use.target] = members.get(use.target, 0) + use.images
    batches = sum(count // batch_size for count in members.values())
    few = sum(use.images for use in uses if use.target is None)
    print(
        f"{len(members)} shapes to compile, {batches:,} batches an epoch, "
        f"{sum(members.values()) - batches * batch_size:,} images left over each time"
    )
    for reason, count in (without | ({"too few of its shape": few} if few else {})).items():
        print(f"{count:,} rows without a bucket: {reason}")


def _print_texts(texts: dict[str, Any], dataset: Dataset) -> None:
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in texts.items() if isinstance(value, int)]
    words = texts.get("words", {})
    if words:
        text = f"{words['mean']:.1f} ({words['p5']:.0f} / {words['median']:.0f} / {words['p95']:.0f} / {words['max']:.0f})"
        rows.append(("words of a caption: mean (5 % / median / 95 % / max)", text))
    which = (
        "all records" if texts["records"] == dataset.num_records else f"{texts['records']:,} of {dataset.num_records:,} records"
    )
    print_table(f"Texts of {which}", ("", ""), rows)


def _bars(counts: Sequence[tuple[str, int]]) -> list[tuple[str, str, str]]:
    most = max((n for _, n in counts), default=1) or 1
    return [(name, f"{n:,}", "#" * round(30 * n / most)) for name, n in counts if n]


def _evenly(dataset: Dataset, count: int) -> list[int]:
    """Rows of up to `count` different records, evenly spread."""
    first = np.flatnonzero(dataset.column("image") == 0)
    return first[np.linspace(0, len(first) - 1, min(count, len(first))).astype(int)].tolist() if len(first) else []


def _draw(dataset: Dataset, rows: Sequence[int], shapes: dict[int, str]) -> Any:
    images, captions, notes = [], [], []
    for row in rows:
        image = read_image(dataset, row)
        record = dataset.read(row)
        spoken = [turn["value"] for turn in record.turns]
        images.append(image)
        captions.append(next(iter([*record.captions, *spoken]), "") or record.key)
        notes.append(f"{image.shape[0]}x{image.shape[1]} → {shapes[row]}")
    return contact_sheet(images, captions, notes)


def _draw_preferences(dataset: Dataset, count: int, path: pathlib.Path) -> None:
    """The pair of most weight of up to `count` records, where there are preferences and pixels."""
    images, captions, notes = [], [], []
    for row in _evenly(dataset, count) if "pairs" in dataset.manifest else ():
        record = dataset.read(row)
        if not record.pairs or not record.images:
            continue
        winner, loser, weight = max(record.pairs, key=lambda pair: pair[2])
        against = sum(w for i, j, w in record.pairs if (i, j) == (loser, winner))
        for number, note in ((winner, f"preferred {weight:g} : {against:g}"), (loser, "to this")):
            images.append(read_image(dataset, row + number))
            captions.append(record.captions[0])
            notes.append(note)
    if images:
        contact_sheet(images, captions, notes).save(str(path))
        print(f"{path}: {len(images) // 2} pairs, the preferred image on the left")


def _results(dataset: Dataset, uses: Sequence[BucketUse], without: dict[str, int], texts: dict[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(dataset.folder),
        "fingerprint": dataset.fingerprint,
        "records": dataset.manifest["records"],
        "images": dataset.manifest["images"],
        **({"pairs": dataset.manifest["pairs"]} if "pairs" in dataset.manifest else {}),
        "refused": dataset.manifest["quarantine"],
        "sizes": dataset.manifest["sizes"],
        "buckets": [
            {**dataclasses.asdict(u), "bucket": str(u.bucket), "scale": u.bucket.scale, "target": u.target and str(u.target)}
            for u in uses
        ],
        "without_bucket": without,
        "texts": texts,
    }


if __name__ == "__main__":
    run()
