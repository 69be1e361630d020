import io

import numpy as np
import pytest
import rich.console

from ugf_jax.data.document_view import show, view
from ugf_jax.data.documents import Layout
from ugf_jax.data.recipes import TASKS, RecipeSettings, TaskWeights, build, choose, lengths_of
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

TEXTS = TextTokenizer.load()
WORDS = VocabularySettings(codes=100)
CODES = ImageCodes(np.zeros((2, 3), np.uint16), (np.zeros((4, 6, 2), np.uint8),), (np.ones((4, 6), bool),), (32, 48))


def lines(document, width=100):
    return [line for line in view(document, WORDS, TEXTS, "1: 'cat'", width).plain.split("\n") if line]


def test_a_document_reads_as_it_is_laid_out():
    layout = Layout(WORDS).special(WORDS.user).text(TEXTS.encode("a red\nstar")).image(0, CODES, "context").special(WORDS.end)
    layout.special(WORDS.assistant).image(1, CODES, "generated", decided=True).text(
        [*TEXTS.encode("red"), WORDS.end], trained=True
    )
    assert lines(layout.document("conversation")) == [
        "1: 'cat', conversation: 29 tokens, 9 trained on, 48 auxiliary positions",
        "          0    <user>",
        r"        1-4    a| red|\n|star",
        "          5    <boi>",
        "        6-7    height 4, width 6",
        "       8-13    code x6",
        "         14    <eoi>",
        "         15    <end>",
        "         16    <assistant>",
        "         17  + <boi>",
        "      18-19    height 4, width 6",
        "      20-25  + code x6",
        "         26    <eoi>",
        "         27  + red",
        "         28  + <end>",
        "  image 0: tokens 5-14, context, 2x3 codes, 24 auxiliary positions seen from token 5 on",
        "  image 1: tokens 17-26, generated, 2x3 codes, 24 auxiliary positions seen from token 26 on",
    ]


def test_every_token_of_every_task_is_shown_once(make_record):
    for seed in range(40):
        record = make_record(seed)
        for task in TASKS:
            settings = RecipeSettings(TaskWeights(**{name: float(name == task) for name in TASKS}))
            recipe = choose(lengths_of(record, TEXTS), seed, settings)
            for document in build(recipe, record, TEXTS, WORDS) if recipe else ():
                shown = [line.split() for line in lines(document)[1:] if not line.startswith("  image")]
                places = [line[0] for line in shown if line[0][0].isdigit() and line[0].replace("-", "").isdigit()]
                covered = []
                for place in places:
                    first, _, last = place.partition("-")
                    covered += range(int(first), int(last or first) + 1)
                assert covered == list(range(len(document)))
                assert sum(line.startswith("  image") for line in lines(document)) == len(document.spans)


def test_long_texts_go_on_in_the_next_line_and_nothing_moves_the_cursor():
    text = "\x1b[31m\x07 two stars " * 20
    document = Layout(WORDS).special(WORDS.bos).text([*TEXTS.encode(text), WORDS.end], trained=True).document("text")
    shown = lines(document, 70)
    assert all(len(line) <= 75 for line in shown)
    assert all(line.isprintable() for line in shown)
    words = "".join(line[15:] for line in shown if line[13:14] == "+")
    assert words.replace("|", "") == r"\x1b[31m\x07 two stars " * 20 + "<end>"


@pytest.mark.parametrize("terminal", [True, False])
def test_colours_only_on_a_terminal(terminal):
    out = io.StringIO()
    document = Layout(WORDS).special(WORDS.bos).text([70, WORDS.end], trained=True).document("text")
    console = rich.console.Console(file=out, force_terminal=terminal, color_system="standard" if terminal else None)
    show(view(document, WORDS, TEXTS, "1", 80), console)
    assert ("\x1b[" in out.getvalue()) == terminal
    assert "<bos>" in out.getvalue()
