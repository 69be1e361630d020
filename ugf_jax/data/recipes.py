"""Which document a record becomes: chosen from lengths alone, before anything is read, and then built as announced.

    generate      USER caption END ASSISTANT span END; without its caption now and then: span alone
    caption       USER span END ASSISTANT caption END
    question      USER span question END ASSISTANT answer END [USER question END ASSISTANT answer END] …
    conversation  the turns as they are, each ended by END; images in the model's turns are generated, then looked at
    text          BOS text END
    contrastive   two documents of one row: span EMB · USER caption EMB

Captions and questions belong to the first image of a record. Text is cut where a document would be too long, an image never.
A text that was cut has no END, so that stopping in the middle is not learned.
"""

from collections.abc import Callable

import numpy as np

from ugf_jax.data import tasks
from ugf_jax.data.conversation_task import build_conversation, plan_conversation
from ugf_jax.data.documents import Document
from ugf_jax.data.draws import Draws
from ugf_jax.data.records import Record
from ugf_jax.data.task_parts import TASKS, Lengths, Recipe, RecipeSettings, TaskWeights, lengths_of, positive_weights
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

__all__ = ["TASKS", "Lengths", "Recipe", "RecipeSettings", "TaskWeights", "build", "choose", "lengths_of"]

Planner = Callable[[Lengths, Draws, RecipeSettings], Recipe | None]
Builder = Callable[[Recipe, Record, TextTokenizer, VocabularySettings], tuple[Document, ...]]

_TASKS: dict[str, tuple[Planner, Builder]] = {
    "generate": (tasks.plan_generate, tasks.build_generate),
    "caption": (tasks.plan_caption, tasks.build_caption),
    "question": (tasks.plan_question, tasks.build_question),
    "conversation": (plan_conversation, build_conversation),
    "text": (tasks.plan_text, tasks.build_text),
    "contrastive": (tasks.plan_contrastive, tasks.build_contrastive),
}


def choose(lengths: Lengths, key: np.uint64 | int, settings: RecipeSettings) -> Recipe | None:
    """The document that a record becomes; a pure function of its arguments.

    Args:
      lengths: of the record.
      key: random bits, for example of (seed, epoch, row).
      settings: weights of the tasks and limits; a task that the record cannot serve within them has weight 0.

    Returns:
      None where no task of positive weight can be served.
    """
    draws = Draws(int(key))
    left = list(positive_weights(settings.tasks))
    while left:
        place = draws.fraction() * sum(weight for _, weight in left)
        number = 0
        while number < len(left) - 1 and place >= left[number][1]:
            place -= left[number][1]
            number += 1
        recipe = _TASKS[left.pop(number)[0]][0](lengths, draws, settings)
        if recipe is not None:
            return recipe
    return None


def build(recipe: Recipe, record: Record, text: TextTokenizer, vocabulary: VocabularySettings) -> tuple[Document, ...]:
    """The document of a recipe, or the two of a contrastive pair.

    Raises:
      InputError: the record is not the one whose lengths the recipe was chosen from, or the vocabulary lacks a token.
    """
    try:
        made = _TASKS[recipe.task][1](recipe, record, text, vocabulary)
    except InputError as error:
        raise InputError(f"record '{record.key}': {error}") from error
    tokens, auxiliary = sum(map(len, made)), sum(document.auxiliary for document in made)
    if (tokens, auxiliary, len(made)) != (recipe.tokens, recipe.auxiliary, recipe.documents):
        raise InputError(
            f"record '{record.key}': {tokens} tokens and {auxiliary} auxiliary positions where {recipe.tokens} and "
            f"{recipe.auxiliary} were planned: its texts or codes changed; prepare the dataset again"
        )
    return made
