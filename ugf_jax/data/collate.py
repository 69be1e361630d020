"""Packed documents as the arrays of a batch.

    tokens        int32 [L]        ids
    segments      int32 [L]        1, 2, … for the documents of the row; 0 is padding
    positions     int32 [L]        place within the document; 0 on padding
    kinds         int32 [L]        what is trained on with this token as the target: 0 nothing, 1 text, 2 a master code
    cells         int32 [L]        number of the master cell of a code token, else -1
    aux_codes     int32 [A, G]     auxiliary codes of kept positions
    aux_segments  int32 [A]        document of each; 0 is padding
    aux_releases  int32 [A]        first position of that document that may see it; NEVER on padding
    aux_places    float32 [A, 4]   y and x of the centre, height and width of the cell, as fractions of the image
    aux_levels    int32 [A]        level, 0 the coarsest
    pairs         int32 [P, 2]     indices in the row of the EMB of an image and of its text; -1: none

Auxiliary positions of a document lie side by side, in order of their releases, padding after all of them. L, A and P are
those of `RowShape`, G is the number of auxiliary codes a position. A batch has an axis of rows before these.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import NEVER, Document
from ugf_jax.data.records import ImageCodes


def row_specs(shape: RowShape, groups: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and dtype of each array of a row."""
    length, auxiliary = shape.length, shape.auxiliary
    return {
        **dict.fromkeys(("tokens", "segments", "positions", "kinds", "cells"), ((length,), np.int32)),
        "aux_codes": ((auxiliary, groups), np.int32),
        **dict.fromkeys(("aux_segments", "aux_releases", "aux_levels"), ((auxiliary,), np.int32)),
        "aux_places": ((auxiliary, 4), np.float32),
        "pairs": ((shape.pairs, 2), np.int32),
    }


def collate_row(
    items: Sequence[tuple[Document, ...]], shape: RowShape, groups: int, padding_token: int
) -> dict[str, np.ndarray]:
    """One row.

    Args:
      items: documents in their order, a contrastive pair (image, text) together.
      shape: what the row has room for; packing was planned for it.
      groups: auxiliary codes a position.
      padding_token: id where no document is.

    Returns:
      arrays of `row_specs`.
    """
    empty = {"tokens": padding_token, "cells": -1, "aux_releases": NEVER, "pairs": -1}
    arrays = {name: np.full(size, empty.get(name, 0), dtype) for name, (size, dtype) in row_specs(shape, groups).items()}
    documents = list(itertools.chain.from_iterable(items))
    starts = list(itertools.accumulate(map(len, documents), initial=0))
    assert starts[-1] <= shape.length, f"{starts[-1]} tokens in a row of {shape.length}"
    for segment, (document, start) in enumerate(zip(documents, starts, strict=False), 1):
        own = slice(start, start + len(document))
        arrays["tokens"][own] = document.tokens
        arrays["segments"][own] = segment
        arrays["positions"][own] = np.arange(len(document))
        arrays["kinds"][own] = document.kinds
        arrays["cells"][own] = document.cells
    _add_memory(arrays, documents, shape.auxiliary)
    embeds = iter(d.embed + start if d.embed >= 0 else -1 for d, start in zip(documents, starts, strict=False))
    pairs = [p for p in ([next(embeds) for _ in item] for item in items) if len(p) == 2]
    assert len(pairs) <= shape.pairs, f"{len(pairs)} pairs in a row of {shape.pairs}"
    arrays["pairs"][: len(pairs)] = np.array(pairs, np.int32).reshape(-1, 2)
    return arrays


def _add_memory(arrays: dict[str, np.ndarray], documents: Sequence[Document], limit: int) -> None:
    """The auxiliary codes that something may see; an image whose memory nothing may see takes no room."""
    end = 0
    for segment, document in enumerate(documents, 1):
        for span in document.spans:
            if span.release == NEVER:
                continue
            codes, places, levels = memory_of(span.codes)
            start, end = end, end + len(codes)
            assert end <= limit, f"{end} auxiliary positions in a row of {limit}"
            arrays["aux_codes"][start:end] = codes
            arrays["aux_places"][start:end] = places
            arrays["aux_levels"][start:end] = levels
            arrays["aux_segments"][start:end] = segment
            arrays["aux_releases"][start:end] = span.release


def memory_of(codes: ImageCodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kept auxiliary positions of an image, level by level, row by row.

    Returns:
      codes int32 `[n, groups]`; places float32 `[n, 4]`, centre (y, x) and size (height, width) as fractions of the image;
      levels int32 `[n]`.
    """
    found, places, levels = [], [], []
    for level, (values, kept) in enumerate(zip(codes.auxiliary, codes.kept, strict=True)):
        at = np.argwhere(kept)
        found.append(values[kept].astype(np.int32))
        places.append(np.concatenate([(at + 0.5) / kept.shape, np.broadcast_to(1 / np.array(kept.shape), at.shape)], axis=1))
        levels.append(np.full(len(at), level, np.int32))
    if not found:
        return np.zeros((0, 1), np.int32), np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    return np.concatenate(found), np.concatenate(places).astype(np.float32), np.concatenate(levels)
