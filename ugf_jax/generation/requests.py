"""Requests as the arrays that decoding reads; lengths are rounded up, so that few shapes and few compilations occur."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ugf_jax.data.collate import collate_row, memory_of
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import NEVER, Document
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

TOKENS_MULTIPLE = 32
AUXILIARY_MULTIPLE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """What one row, or the samples of one prompt, continue.

    Attributes:
      prompt: a document (`ugf_jax.data.documents.Layout`) that ends where the model goes on: after ASSISTANT, say. Its images
        are context.
      seed: from 0 to 2³² - 1; prompt, seed and number of the sample decide what is drawn.
      size: rows and columns of the finest auxiliary grid of the images that the model draws.
    """

    prompt: Document
    seed: int = 0
    size: tuple[int, int] = (1, 1)


def round_up(count: int, multiple: int) -> int:
    """The next multiple, at least one."""
    return max(-(-count // multiple), 1) * multiple


def round_rows(count: int) -> int:
    """The next power of two up to 8, the next multiple of 8 beyond."""
    return min(1 << (count - 1).bit_length(), round_up(count, 8))


def check(requests: Sequence[Request], vocabulary: VocabularySettings) -> None:
    """Refuses what cannot be decoded.

    Raises:
      InputError: no request, an empty prompt, a size without a token, or a seed that is out of range.
    """
    if not requests:
        raise InputError("requests: there are none; want at least one")
    for number, request in enumerate(requests):
        if not len(request.prompt):
            raise InputError(f"requests[{number}].prompt is empty; want at least one token")
        if not 0 <= request.seed < 2**32:
            raise InputError(f"requests[{number}].seed is {request.seed}; want it from 0 to {2**32 - 1}")
        for side in request.size:
            vocabulary.size_token(side)


def prompt_arrays(prompts: Sequence[Document], groups: int, padding_token: int) -> dict[str, np.ndarray]:
    """Prompts aligned to the right, each a row, padded as `collate` does; one token longer than a multiple of 32.

    Args:
      prompts: of any lengths.
      groups: auxiliary codes a position; 0: auxiliary codes are left out.
      padding_token: id where there is no prompt.
    """
    auxiliary = max((p.auxiliary for p in prompts), default=0) if groups else 0
    shape = RowShape(
        round_up(max(map(len, prompts)) - 1, TOKENS_MULTIPLE) + 1,
        round_up(auxiliary, AUXILIARY_MULTIPLE) if auxiliary else 0,
        0,
    )
    rows = []
    for prompt in prompts:
        if not auxiliary:
            prompt = dataclasses.replace(prompt, spans=())
        row = collate_row([(prompt,)], shape, groups, padding_token)
        for name in ("tokens", "segments", "positions", "cells"):
            row[name] = np.roll(row[name], shape.length - len(prompt))
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def crop_arrays(prompts: Sequence[Document], length: int) -> tuple[np.ndarray, np.ndarray]:
    """What the vision tower sees in prompts that are aligned to the right in rows of `length` tokens.

    Returns:
      crops uint8 `[prompts, most crops, side, side, 3]`, black where a prompt has fewer; sources int32 `[prompts, length]`, as
      `Continuous` wants them.
    """
    shown = [prompt.crops for prompt in prompts if prompt.crops is not None]
    crops = np.zeros((len(prompts), max(map(len, shown)), *shown[0].shape[1:]), np.uint8)
    sources = np.full((len(prompts), length), -1, np.int32)
    for row, prompt in enumerate(prompts):
        if prompt.crops is not None and prompt.features is not None:
            crops[row, : len(prompt.crops)] = prompt.crops
            sources[row, length - len(prompt) :] = prompt.features
    return crops, sources


def memory_arrays(images: Mapping[int, tuple[ImageCodes, int]], rows: int, groups: int) -> dict[str, np.ndarray]:
    """Auxiliary codes of one image for some of the rows.

    Args:
      images: by row: codes, and the first position that sees them.
      rows: how many there are.
      groups: auxiliary codes a position.

    Returns:
      the arrays `aux_…` of `collate`.
    """
    found = {row: memory_of(codes) for row, (codes, _) in images.items()}
    length = round_up(max((len(codes) for codes, _, _ in found.values()), default=0), AUXILIARY_MULTIPLE)
    arrays = {
        "aux_codes": np.zeros((rows, length, groups), np.int32),
        "aux_places": np.zeros((rows, length, 4), np.float32),
        "aux_levels": np.zeros((rows, length), np.int32),
        "aux_segments": np.zeros((rows, length), np.int32),
        "aux_releases": np.full((rows, length), NEVER, np.int32),
    }
    for row, (codes, places, levels) in found.items():
        own = row, slice(len(codes))
        arrays["aux_codes"][own], arrays["aux_places"][own], arrays["aux_levels"][own] = codes, places, levels
        arrays["aux_segments"][own], arrays["aux_releases"][own] = 1, images[row][1]
    return arrays


def master_codes(tokens: np.ndarray, vocabulary: VocabularySettings, grid: int) -> list[np.ndarray]:
    """The images in a row of tokens `[n]`, in order: master codes int32 `[grid, grid]` of every whole span."""
    found = []
    for start in np.flatnonzero(tokens == vocabulary.boi):
        codes = tokens[start + 3 :][: grid**2]
        if len(codes) == grid**2:
            found.append((codes - vocabulary.first_code).reshape(grid, grid).astype(np.int32))
    return found
