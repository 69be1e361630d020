"""Parts of a document: its beginning, or its last image without what comes before."""

import dataclasses

import numpy as np

from ugf_jax.data.documents import NEVER, Document, Span


def cut(document: Document, length: int) -> Document:
    """The first `length` tokens; an image that is cut in two is no memory."""
    if len(document) <= length:
        return document
    return _part(document, 0, length, tuple(span for span in document.spans if span.end < length))


def without_prompt(document: Document, span: Span) -> Document:
    """The document from the BOI of an image on: what guidance compares with. BOI is not trained on, as it begins."""
    start = span.start
    moved = dataclasses.replace(
        span, start=0, end=span.end - start, release=span.release - start if span.release < NEVER else NEVER
    )
    made = _part(document, start, len(document), (moved,))
    kinds = made.kinds.copy()
    kinds[0] = 0
    return dataclasses.replace(made, kinds=kinds)


def _part(document: Document, start: int, end: int, spans: tuple[Span, ...]) -> Document:
    own = slice(start, end)

    def take(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else x[own]

    return dataclasses.replace(
        document,
        tokens=document.tokens[own],
        kinds=document.kinds[own],
        cells=document.cells[own],
        features=take(document.features),
        spans=spans,
        embed=-1,
    )
