"""The names under which data sets keep captions, conversations and questions; what else they say becomes `meta`."""

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ugf_jax.data.image import ImageRejected

IMAGE_MARK = "<|image|>"
KEY_NAMES = ("__key__", "key", "id", "image_id", "uid")
CAPTION_NAMES = ("caption", "captions", "text", "texts", "txt", "prompt")
TURN_NAMES = ("conversations", "turns", "messages")
QUESTION_NAMES = ("questions", "question", "answer")
ROLES = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "model": "gpt", "system": "system"}


def split_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Sorts the fields of an example by what they are.

    Args:
      fields: what the source says about an example, without its images.

    Returns:
      keyword arguments of `Example`: `captions`, `turns`, `questions`, `scene`, `meta`.

    Raises:
      ImageRejected: with reason `bad entry` where a conversation is not one.
    """
    fields = {str(k): plain(v) for k, v in fields.items()}
    found: dict[str, Any] = {"captions": captions(v for n in CAPTION_NAMES for v in texts(fields.pop(n, None)))}
    conversations = [fields.pop(n) for n in TURN_NAMES if n in fields]
    if conversations and conversations[0]:
        found["turns"] = turns(conversations[0])
    asked = _questions(fields)
    if asked:
        found["questions"] = asked
    if isinstance(fields.get("scene"), dict):
        found["scene"] = fields.pop("scene")
    found["meta"] = {k: v for k, v in fields.items() if v is not None}
    return found


def texts(value: Any) -> Iterable[str]:
    """The texts in a field: one, a list of them, or a list of `{"text": …}` as COCO has it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, Mapping):
        for name in ("text", "raw", "caption"):
            if name in value:
                yield from texts(value[name])
                return


def captions(found: Iterable[str]) -> tuple[str, ...]:
    """Captions with runs of white space made one space; empty and repeated ones are left out."""
    return tuple(dict.fromkeys(c for c in (" ".join(t.split()) for t in found) if c))


def turns(conversation: Any) -> tuple[dict[str, str], ...]:
    """A conversation as `{"from", "value"}` turns, texts untouched; `{"role", "content"}` is understood too.

    Raises:
      ImageRejected: with reason `bad entry`.
    """
    if not isinstance(conversation, list):
        raise ImageRejected("bad entry", "a conversation must be a list of turns")
    found = []
    for turn in conversation:
        said = turn if isinstance(turn, Mapping) else {}
        who, value = said.get("from", said.get("role")), said.get("value", said.get("content"))
        if who not in ROLES or not isinstance(value, str):
            raise ImageRejected("bad entry", 'a turn must be {"from": "human" | "gpt" | "system", "value": text}')
        found.append({"from": ROLES[who], "value": value})
    return tuple(found)


def _questions(fields: dict[str, Any]) -> tuple[dict[str, str], ...]:
    """`questions: [{"question", "answer", …}]`, or one `question` with its `answer`."""
    asked = fields.get("questions")
    if isinstance(asked, list) and all(isinstance(q, dict) and {"question", "answer"} <= q.keys() for q in asked):
        del fields["questions"]
        return tuple({str(k): str(v) for k, v in q.items()} for q in asked)
    if isinstance(fields.get("question"), str) and isinstance(fields.get("answer"), str):
        return ({"question": fields.pop("question"), "answer": fields.pop("answer")},)
    return ()


def plain(value: Any) -> Any:
    """`value` as JSON knows it, and as UTF-8 can hold it; what has no such form becomes None."""
    if isinstance(value, (str, bytes)):
        text = value if isinstance(value, str) else value.decode("utf-8", "replace")
        return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return None


def key_of(fields: Mapping[str, Any]) -> str | None:
    """The name that a data set gives to an example, taken out of nothing: None where it gives none."""
    for name in KEY_NAMES:
        value = plain(fields.get(name))
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
            return str(value)
    return None


def without_keys(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    """`fields` without the ones that only repeat the key."""
    return {k: v for k, v in fields.items() if not (k in KEY_NAMES and str(plain(v)) == key)}
