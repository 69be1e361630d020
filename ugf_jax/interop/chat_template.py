"""Chat templates of Hugging Face: conversations to token ids exactly as a model learned them.

A template (Jinja) writes a conversation as text with special tokens in it. Here only what the template itself writes can be a
special token; what people have written stays text, even if it reads `<|im_end|>`.
"""

import datetime
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.sandbox

from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError
from ugf_jax.tensor_files import read_json

TEMPLATE, SETTINGS = "chat_template.jinja", "tokenizer_config.json"
_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """A template and the tokenizer that it belongs to.

    Attributes:
      text: the tokenizer.
    """

    def __init__(self, template: str, text: TextTokenizer, special: Mapping[str, str], name: str = TEMPLATE):
        """From the template's source; `special` are names that it may use, e.g. `bos_token`."""
        self.text, self._special, self._name = text, dict(special), name
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.datetime.now().strftime(form)}
        try:
            self._template = environment.from_string(template)
        except jinja2.TemplateError as error:
            raise InputError(f"{name}: not a template of Jinja ({error})") from error
        added = sorted(text.added, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, added))) if added else None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "ChatTemplate":
        """The template in a folder with a tokenizer, in a file of its own or in `tokenizer_config.json`.

        Raises:
          InputError: there is none, or it is none.
        """
        folder = pathlib.Path(folder)
        settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
        template = settings.get("chat_template")
        if isinstance(template, list):  # several, by name
            named = {entry["name"]: entry["template"] for entry in template if isinstance(entry, dict)}
            template = named.get("default")
        if (folder / TEMPLATE).is_file():
            template = (folder / TEMPLATE).read_text(encoding="utf-8")
        if not isinstance(template, str):
            raise InputError(f"{folder}: no chat template in it (no {TEMPLATE}, none in {SETTINGS})")
        special = {name: _content(settings[name]) for name in _TOKENS if settings.get(name)}
        return cls(template, TextTokenizer.load(os.fspath(folder / "tokenizer.json")), special, str(folder))

    def render(self, messages: Sequence[Mapping[str, Any]], answer: bool = True, **more: Any) -> str:
        """The conversation as text.

        Args:
          messages: `{"role": "user", "content": "…"}` each.
          answer: whether it ends where the model is to speak.
          more: other names that the template uses.

        Raises:
          InputError: the template refuses it.
        """
        names = self._special | more | {"messages": list(messages), "add_generation_prompt": answer}
        try:
            return self._template.render(**names)
        except (jinja2.TemplateError, TypeError) as error:
            raise InputError(f"{self._name}: the template refuses this conversation ({error})") from error

    def encode(self, messages: Sequence[Mapping[str, Any]], answer: bool = True, **more: Any) -> list[int]:
        """The conversation as ids; see `render`."""
        guard = _unused(messages)
        guarded = messages if self._marks is None else _guarded(messages, self._marks, guard)
        if self._marks is None or guarded == list(messages):
            return self.text.encode_trusted(self.render(messages, answer, **more))
        ids, end = [], 0
        written = self.render(guarded, answer, **more)
        for mark in self._marks.finditer(written):
            ids += self._plain(written[end : mark.start()].replace(guard, ""))
            ids.append(self.text.added[mark.group()])
            end = mark.end()
        return ids + self._plain(written[end:].replace(guard, ""))

    def _plain(self, text: str) -> list[int]:
        return self.text.encode(text) if text else []


def _guarded(value: Any, marks: re.Pattern[str], guard: str) -> Any:
    """Messages with a character in every special token that they spell, so that it is none."""
    if isinstance(value, str):
        return marks.sub(lambda mark: mark.group()[0] + guard + mark.group()[1:], value)
    if isinstance(value, Mapping):
        return {key: _guarded(item, marks, guard) for key, item in value.items()}
    return [_guarded(item, marks, guard) for item in value] if isinstance(value, (list, tuple)) else value


def _unused(messages: Any) -> str:
    """A character for private use that is in no message."""
    written = json.dumps(messages, ensure_ascii=False, default=str)
    return next(c for c in map(chr, range(0xE000, 0xF900)) if c not in written)


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) and "content" in token else str(token)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # Jinja's own would write < as an escape


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
