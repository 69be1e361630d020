"""Preferences that a program has between pictures of a model: as many as are wanted, and with a known share of errors."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

from ugf_jax import config
from ugf_jax.data.code_kind import CodeKind
from ugf_jax.data.preferences import SPLITS, split_of
from ugf_jax.data.records import Record
from ugf_jax.data.shapes.rater import preferences
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.prompts import Prompt
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import ROWS, Drawing, UnifiedModel
from ugf_jax.training.bundle import TEXT


@dataclasses.dataclass(frozen=True)
class Rater:
    """How pictures are drawn and judged.

    Attributes:
      samples: pictures of each prompt.
      pairs: of these that are judged, those of different scores first; 0: all.
      error_rate: probability that a preference names the loser.
      details: judge and store pictures with their details; False: what master codes alone show.
      seed: of the pictures and of the errors.
    """

    samples: int = 4
    pairs: int = 0
    error_rate: float = 0.0
    details: bool = True
    seed: int = 0


def judged_drawings(
    model: UnifiedModel,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
    rater: Rater,
    guidance: float = 1.0,
    first: int = 0,
) -> Iterator[Record]:
    """Draws pictures of prompts and judges them.

    Args:
      model: what draws.
      prompts: of `shapes`, whose requirements are known.
      size: `(height, width)` of the pictures in pixels.
      rater: how many, and how well they are judged.
      guidance: as in generation; 1 for none, as `small_rlhf.py` draws.
      first: number of the first prompt; each is drawn with a seed of its own.

    Yields:
      a record a prompt, with the codes that were drawn; prompts whose pictures are all equal give none.

    Raises:
      InputError: a prompt of which it is not known what it requires.
    """
    how = GenerationSettings(image=SamplingSettings(), guidance=guidance)  # unsharpened: what is compared must differ
    share = max(ROWS // rater.samples, 1)
    for start in range(0, len(prompts), share):
        chunk = prompts[start : start + share]
        drawn = model.draw([prompt.text for prompt in chunk], size, rater.seed + first + start, how, rater.samples)
        for prompt, drawings in zip(chunk, drawn, strict=True):
            yield from _judged(prompt, drawings, rater)


def _judged(prompt: Prompt, drawings: Sequence[Drawing], rater: Rater) -> Iterator[Record]:
    if prompt.requirement is None:
        raise InputError(f"the checker does not know what '{prompt.text}' requires; want prompts of shapes")
    pictures = [drawing.image if rater.details else drawing.master for drawing in drawings]
    codes = [drawing.codes for drawing in drawings]
    if not rater.details:
        codes = [dataclasses.replace(own, auxiliary=(), kept=()) for own in codes]
    for record in preferences([(prompt.text, prompt.requirement, pictures)], rater.error_rate, rater.seed, rater.pairs):
        yield dataclasses.replace(record, codes=tuple(codes))


def write_rated(
    folder: str | os.PathLike[str], model: UnifiedModel, source: str | os.PathLike[str], records: Sequence[Record]
) -> dict[str, int]:
    """Writes judged drawings as datasets `train`, `validation` and `test`, split by prompt.

    Args:
      folder: where the three go.
      model: what drew them.
      source: the folder it was loaded from.
      records: of `judged_drawings`.

    Returns:
      pairs of each split.

    Raises:
      InputError: a split would be empty.
    """
    members: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for record in records:
        members[split_of(record.captions[0])].append(record)
    for split, own in members.items():
        if not own:
            raise InputError(f"no prompt of {len(records)} with different pictures falls into split {split}; want more prompts")
    transform = {"digest": model.settings.codes, "codes": config.to_json(kind_of(model, records))}
    text = os.fspath(pathlib.Path(source) / TEXT)
    for split, own in members.items():
        write_dataset(pathlib.Path(folder) / split, own, settings={"transform": transform}, text_tokenizer=text)
    return {split: sum(len(record.pairs) for record in own) for split, own in members.items()}


def kind_of(model: UnifiedModel, records: Sequence[Record]) -> CodeKind:
    """The kind of codes that a model draws."""
    tokenizer = model.tokenizer.settings
    grids = [kept.shape for record in records for codes in record.codes for kept in codes.kept]
    return CodeKind(
        master=tokenizer.master.quantizer.codebook_size,
        grid=tokenizer.master.grid,
        auxiliary=tokenizer.auxiliary.quantizer.codebook_size,
        groups=tokenizer.auxiliary.groups,
        levels=tokenizer.auxiliary.levels,
        largest=max((max(shape) for shape in grids), default=1),
    )
