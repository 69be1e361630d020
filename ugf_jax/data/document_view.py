"""A document for people to read: what each token is, where it stands, what is trained on, and what each image may be seen by.

1: 'shapes-train-00000003', caption: 80 tokens, 9 trained on, 46 auxiliary positions
       0    <user>
       1    <boi>
     2-3    height 8, width 8
    4-67    code x64
      68    <eoi>
      69    <end>
      70    <assistant>
   71-78  + A| blue| star| and| a| yellow| heart|.
      79  + <end>
  image 0: tokens 1-68, context, 8x8 codes, 46 auxiliary positions seen from token 1 on
"""

import itertools
import shutil

import rich.console
import rich.text

from ugf_jax.data.documents import CODE, NEVER, NOTHING, Document, Span, kept_positions
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

_STYLES = {"code": "cyan", "special": "magenta", "text": ""}
_TRAINED = "bold green"
_LEAST_WIDTH = 60


def view(
    document: Document, vocabulary: VocabularySettings, text: TextTokenizer, title: str, width: int | None = None
) -> rich.text.Text:
    """A document as lines, one for each run of tokens of a kind.

    Args:
      document: what to show.
      vocabulary, text: what it was built with.
      title: how to name it, such as the key of its record.
      width: columns to use; None: those of the terminal.

    Returns:
      text with styles; `.plain` is without. A `+` marks what is trained on, `|` stands between tokens of text.
    """
    width = max(width or shutil.get_terminal_size((128, 24)).columns, _LEAST_WIDTH)
    trained = int((document.kinds != NOTHING).sum())
    head = f"{title}, {document.task}: {len(document)} tokens, {trained} trained on, {document.auxiliary} auxiliary positions"
    shown = rich.text.Text().append(head + "\n", style="bold")
    start = 0
    for (what, learned), run in itertools.groupby(range(len(document)), lambda i: _sort(document, vocabulary, i)):
        tokens = document.tokens[list(run)].tolist()
        style = _TRAINED if learned else _STYLES[what.split()[0]]
        place, mark = _range(start, start + len(tokens) - 1), "+" if learned else " "
        for number, line in enumerate(_lines(what, tokens, vocabulary, text, width - 16)):
            shown.append(f"  {place if number == 0 else '':>9}  {mark} ", style="dim").append(line + "\n", style=style)
        start += len(tokens)
    for span in document.spans:
        shown.append(f"  {_describe(span)}\n", style="dim")
    return shown


def show(text: rich.text.Text, console: rich.console.Console) -> None:
    """Prints it: in colours on a terminal, plain otherwise."""
    if console.is_terminal:
        console.print(text, soft_wrap=True, highlight=False)
    else:
        print(text.plain, file=console.file)


def _sort(document: Document, vocabulary: VocabularySettings, index: int) -> tuple[str, bool]:
    """Tokens of equal sorts, side by side, are shown together; specials alone, but for those that fill up."""
    token, learned = int(document.tokens[index]), bool(document.kinds[index] != NOTHING)
    if token < vocabulary.text:
        return "text", learned
    if token >= vocabulary.first_code:
        return "code", bool(document.kinds[index] == CODE)
    return ("special size" if token >= vocabulary.first_size else f"special {index}"), learned


def _lines(what: str, tokens: list[int], vocabulary: VocabularySettings, text: TextTokenizer, width: int) -> list[str]:
    if what == "code":
        return [f"code x{len(tokens)}"]
    names = [vocabulary.describe(token, text) for token in tokens]
    if what == "special size" and len(tokens) == 2:
        rows, columns = (name.removeprefix("size ") for name in names)
        return [f"height {rows}, width {columns}"]
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + 1 + len(name) > width:
            lines[-1] += "|"
            lines.append(name)
        else:
            lines[-1] += f"|{name}"
    return lines


def _describe(span: Span) -> str:
    rows, columns = span.codes.master.shape
    kept = kept_positions(span.codes)
    seen = "never seen" if span.release == NEVER else f"seen from token {span.release} on"
    place = _range(span.start, span.end)
    return f"image {span.image}: tokens {place}, {span.role}, {rows}x{columns} codes, {kept} auxiliary positions {seen}"


def _range(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)
