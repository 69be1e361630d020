"""The tasks with a fixed layout: of each, which document a record's lengths allow (`plan_…`), and that document (`build_…`).

Captions and questions belong to the first image of a record.
"""

from typing import Any, NamedTuple

from ugf_jax.data.documents import SPAN_EXTRA, Document, Layout
from ugf_jax.data.draws import Draws
from ugf_jax.data.records import Record
from ugf_jax.data.task_parts import Lengths, Recipe, RecipeSettings
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

ROLE, END, EMB = 1, 1, 1  # tokens that each takes


def plan_generate(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """`USER caption END ASSISTANT span END`, or the span alone where the caption is dropped."""
    if not lengths.captions or not lengths.images:
        return None
    number = draws.below(len(lengths.captions))
    if settings.fullest and draws.fraction() < settings.fullest:
        number = lengths.captions.index(max(lengths.captions))
    span = lengths.images[0][0] + SPAN_EXTRA
    if draws.fraction() < settings.caption_dropout:
        return Recipe("generate", span) if span <= settings.length else None
    fixed = ROLE + END + ROLE + span + END
    cut = min(lengths.captions[number], settings.length - fixed)
    return Recipe("generate", fixed + cut, caption=number, cut=cut) if cut > 0 else None


def build_generate(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """BOI is forced, so only the codes and the last END are trained on."""
    layout = Layout(words)
    if recipe.caption < 0:
        return (layout.image(0, record.codes[0], "generated").document("generate"),)
    caption = text.encode(record.captions[recipe.caption])[: recipe.cut]
    layout.special(words.user).text(caption).special(words.end).special(words.assistant)
    return (layout.image(0, record.codes[0], "generated").special(words.end, trained=True).document("generate"),)


class _Given(NamedTuple):
    """The first image of a record as context: tokens and auxiliary positions of its span, and its role."""

    tokens: int
    auxiliary: int
    role: dict[str, Any]


def _given_image(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> _Given | None:
    if not lengths.images:
        return None
    master, auxiliary = lengths.images[0]
    if draws.fraction() < settings.memory_dropout:
        return _Given(master + SPAN_EXTRA, 0, {"dropped": (0,)})
    drawn = settings.drawn > 0 and draws.fraction() < settings.drawn
    return _Given(master + SPAN_EXTRA, auxiliary, {"drawn": drawn}) if auxiliary <= settings.auxiliary else None


def _role(recipe: Recipe) -> str:
    """A drawn image is an image that was made earlier in the document: nothing sees its memory before it is complete."""
    return "dropped" if recipe.dropped else "generated" if recipe.drawn else "context"


def plan_caption(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """`USER span END ASSISTANT caption END`."""
    given = _given_image(lengths, draws, settings)
    if given is None or not lengths.captions:
        return None
    span, auxiliary, role = given
    number = draws.below(len(lengths.captions))
    fixed = ROLE + span + END + ROLE
    cut = min(lengths.captions[number] + END, settings.length - fixed)
    return Recipe("caption", fixed + cut, auxiliary, caption=number, **role, cut=cut) if cut > 0 else None


def build_caption(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """The caption and its END are trained on."""
    caption = [*text.encode(record.captions[recipe.caption]), words.end][: recipe.cut]
    layout = Layout(words).special(words.user).image(0, record.codes[0], _role(recipe)).special(words.end)
    return (layout.special(words.assistant).text(caption, trained=True).document("caption"),)


def plan_question(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """`USER span question END ASSISTANT answer END`, then more questions while they fit whole."""
    given = _given_image(lengths, draws, settings)
    if given is None or not lengths.questions:
        return None
    tokens, auxiliary, role = given
    numbers: list[int] = []
    cut = 0
    for number in draws.some(len(lengths.questions), settings.max_questions):
        asked, answer = lengths.questions[number]
        fixed = ROLE + asked + END + ROLE
        room = settings.length - tokens - fixed
        if room < (answer + END if numbers else 1):
            break
        cut = min(answer + END, room)
        tokens += fixed + cut
        numbers.append(number)
    return Recipe("question", tokens, auxiliary, questions=tuple(numbers), **role, cut=cut) if numbers else None


def build_question(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """The answers and their ENDs are trained on."""
    layout = Layout(words)
    for place, number in enumerate(recipe.questions):
        question, answer = text.encode_many([record.questions[number][name] for name in ("question", "answer")])
        layout.special(words.user)
        if place == 0:
            layout.image(0, record.codes[0], _role(recipe))
        layout.text(question).special(words.end).special(words.assistant)
        layout.text([*answer, words.end][: recipe.cut if place == len(recipe.questions) - 1 else None], trained=True)
    return (layout.document("question"),)


def plan_text(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """`BOS text END`."""
    if not lengths.captions:
        return None
    number = draws.below(len(lengths.captions))
    cut = min(lengths.captions[number] + END, settings.length - ROLE)
    return Recipe("text", ROLE + cut, caption=number, cut=cut) if cut > 0 else None


def build_text(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """All but BOS is trained on."""
    said = [*text.encode(record.captions[recipe.caption]), words.end][: recipe.cut]
    return (Layout(words).special(words.bos).text(said, trained=True).document("text"),)


def plan_contrastive(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """Two documents that share a row: `span EMB` and `USER caption EMB`."""
    given = _given_image(lengths, draws, settings)
    if given is None or not lengths.captions:
        return None
    span, auxiliary, role = given
    number = draws.below(len(lengths.captions))
    fixed = span + EMB + ROLE + EMB
    cut = min(lengths.captions[number], settings.length - fixed)
    return Recipe("contrastive", fixed + cut, auxiliary, 2, caption=number, **role, cut=cut) if cut > 0 else None


def build_contrastive(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """No token is trained on; the embeddings at EMB are."""
    caption = text.encode(record.captions[recipe.caption])[: recipe.cut]
    image = Layout(words).image(0, record.codes[0], _role(recipe)).embedding()
    return (
        image.document("contrastive"),
        Layout(words).special(words.user).text(caption).embedding().document("contrastive"),
    )
