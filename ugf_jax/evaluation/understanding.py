"""Task `understanding`: questions about held-out images, judged by exact match."""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugf_jax.data.index import Dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation.batches import evenly, first_image, grouped, measure_batches
from ugf_jax.evaluation.metrics import Estimate, estimate
from ugf_jax.evaluation.model import BATCH, Answerer
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants

VERSION = 1  # of the numbers: rises whenever the same model and data would give others


@dataclasses.dataclass(frozen=True)
class QuestionSettings:
    """What is asked.

    Attributes:
      limit: number of images, evenly spaced over those with questions, each with all of its questions; None for all.
      max_tokens: length of an answer at most.
      batch: questions answered together.
    """

    limit: int | None = None
    max_tokens: int = 32
    batch: int = BATCH

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Item:
    """One question: the record that it is about, its number there, and the image's height and width."""

    record: int
    question: int
    size: tuple[int, int]


def plan(dataset: Dataset, settings: QuestionSettings) -> list[Item]:
    """Every question to ask.

    Raises:
      InputError: there is none about an image whose pixels are stored.
    """
    asked = [(n, r.sizes[0], len(r.questions)) for n, r in enumerate(dataset.records()) if r.images and r.questions]
    if not asked:
        raise InputError(f"{dataset.folder}: no questions about images (with their pixels); name a dataset with questions")
    return [Item(n, i, size) for n, size, count in evenly(asked, settings.limit) for i in range(count)]


def measure(model: Answerer, dataset: Dataset, settings: QuestionSettings, log: SampleLog, quiet: bool = False) -> list[Sample]:
    """Asks every question that `log` does not hold yet.

    Returns:
      for each question `record`, `key`, `kind`, `question`, the right `answer`, what the model `said`, and whether that is
      `right`; or, about an image that cannot be read, why it was `rejected`.
    """
    items = plan(dataset, settings)

    def compute(rows: tuple[int, ...]) -> list[Sample]:
        return answer(model, dataset, [items[row] for row in rows], settings.max_tokens)

    batches = grouped(range(len(items)), lambda row: items[row].size, settings.batch)
    return measure_batches("understanding", batches, compute, log, quiet)


def answer(model: Answerer, dataset: Dataset, items: Sequence[Item], max_tokens: int) -> list[Sample]:
    """Asks some questions; see `measure`."""
    records = {n: dataset.record(n) for n in dict.fromkeys(item.record for item in items)}
    read = {n: first_image(record) for n, record in records.items()}
    images = {n: image for n, image in read.items() if isinstance(image, np.ndarray)}
    asked = [item for item in items if item.record in images]
    said: dict[Item, str] = {}
    if asked:
        questions = [records[item.record].questions[item.question]["question"] for item in asked]
        answers = model.generate_text([[images[item.record]] for item in asked], questions, max_tokens)
        said = dict(zip(asked, answers, strict=True))
    samples = []
    for item in items:
        record = records[item.record]
        question = record.questions[item.question]
        sample: Sample = {"record": item.record, "key": record.key, "kind": question.get("kind", "question")}
        if item in said:
            sample |= {"question": question["question"], "answer": question["answer"], "said": said[item]}
            sample["right"] = normal(said[item]) == normal(question["answer"])
        else:
            sample["rejected"] = str(read[item.record])
        samples.append(sample)
    return samples


def normal(text: str) -> str:
    """An answer as it is compared: small letters, single spaces, no article in front and no full stop behind."""
    text = " ".join(text.lower().split()).rstrip(".!").strip()
    return re.sub(r"^(an?|the) (?=\S)", "", text)


def summarize(samples: Sequence[Sample]) -> dict[str, Variants]:
    """Shares of questions.

    Returns:
      `understanding` with the variant `all` and `understanding_by_kind`. Metrics: `exact_match`, and, to compare with,
      `majority`: what always giving the commonest right answer of the kind would reach.
    """
    used = [s for s in samples if "rejected" not in s]
    kinds: dict[str, list[Sample]] = defaultdict(list)
    for sample in used:
        kinds[sample["kind"]].append(sample)
    commonest = {k: Counter(normal(s["answer"]) for s in m).most_common(1)[0][0] for k, m in kinds.items()}

    def shares(members: Sequence[Sample]) -> dict[str, Estimate]:
        guessed = [normal(s["answer"]) == commonest[s["kind"]] for s in members]
        return {"exact_match": estimate([s["right"] for s in members]), "majority": estimate(guessed)}

    overall: Variants = {"images": {"rejected": Estimate(1 - len(used) / max(len(samples), 1), None, len(samples))}}
    if used:
        overall["all"] = shares(used)
    return {"understanding": overall, "understanding_by_kind": {kind: shares(kinds[kind]) for kind in sorted(kinds)}}


def paired_gain(samples: Sequence[Sample], baseline: Sequence[Sample]) -> Variants:
    """How much more exact match a model has than another on the same questions, question by question.

    Returns:
      `all` and each kind, with the metric `gain`; its error is that of paired differences.

    Raises:
      InputError: the two were asked different questions.
    """
    if [(s["key"], s.get("question")) for s in samples] != [(s["key"], s.get("question")) for s in baseline]:
        raise InputError("understanding: the two evaluations asked different questions; use the same data and limit")
    gains: dict[str, list[float]] = defaultdict(list)
    for ours, theirs in zip(samples, baseline, strict=True):
        if "rejected" not in ours:
            for name in ("all", ours["kind"]):
                gains[name].append(float(ours["right"]) - float(theirs["right"]))
    return {name: {"gain": estimate(values)} for name, values in gains.items()}
