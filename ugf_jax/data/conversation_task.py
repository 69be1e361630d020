"""Conversations as documents: turns with any number of images, each given by the user or drawn by the model."""

from ugf_jax.data.documents import ASSISTANT_TURN, IMAGE, SPAN_EXTRA, Document, Layout, conversation_pieces
from ugf_jax.data.draws import Draws
from ugf_jax.data.records import Record
from ugf_jax.data.task_parts import Lengths, Recipe, RecipeSettings
from ugf_jax.data.tasks import END, ROLE
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings


def plan_conversation(lengths: Lengths, draws: Draws, settings: RecipeSettings) -> Recipe | None:
    """Keeps pieces while they fit, whole but for the last; what comes after the last trained token is left out."""
    pieces = [(item & 3, item >> 2) for item in lengths.turns]
    if sum(opens == IMAGE for opens, _ in pieces) > len(lengths.images):
        return None
    kept: tuple[int, int, tuple[int, ...], int, int] | None = None
    tokens = auxiliary = waiting = image = 0  # waiting: memory of a generated image that nothing looks at so far
    trained = False
    dropped: tuple[int, ...] = ()
    for number, (opens, text) in enumerate(pieces):
        auxiliary, waiting, lead = auxiliary + waiting, 0, ROLE
        body = text + (END if number + 1 == len(pieces) or pieces[number + 1][0] != IMAGE else 0)
        if opens != IMAGE:
            trained = opens == ASSISTANT_TURN
        else:
            lead = lengths.images[image][0] + SPAN_EXTRA
            if trained:
                waiting = lengths.images[image][1]
            elif draws.fraction() < settings.memory_dropout:
                dropped += (image,)
            else:
                auxiliary += lengths.images[image][1]
            image += 1
        room = settings.length - tokens - lead
        if room < 0 or auxiliary > settings.auxiliary:
            break
        if text and room > 0:  # the text after a generated image looks at it
            if auxiliary + waiting <= settings.auxiliary:
                auxiliary, waiting = auxiliary + waiting, 0
            else:
                room = 0
        cut = min(body, room)
        tokens += lead + cut
        if trained and (cut or opens == IMAGE):
            kept = tokens, auxiliary, dropped, number + 1, cut
        if cut < body:
            break
    if kept is None:
        return None
    tokens, auxiliary, dropped, number, cut = kept
    return Recipe("conversation", tokens, auxiliary, dropped=dropped, pieces=number, cut=cut)


def build_conversation(recipe: Recipe, record: Record, text: TextTokenizer, words: VocabularySettings) -> tuple[Document, ...]:
    """All that the model says is trained on: texts, ENDs, and for images BOI (it decides to draw) and the codes."""
    pieces = conversation_pieces(record)
    encoded = text.encode_many([piece.text for piece in pieces[: recipe.pieces]])
    layout, image, model = Layout(words), 0, False
    for number, ids in enumerate(encoded):
        opens = pieces[number].opens
        if opens == IMAGE:
            role = "generated" if model else "dropped" if image in recipe.dropped else "context"
            layout.image(image, record.codes[image], role, decided=model)
            image += 1
        else:
            model = opens == ASSISTANT_TURN
            layout.special((words.system, words.user, words.assistant)[opens])
        ends = number + 1 == len(pieces) or pieces[number + 1].opens != IMAGE
        body = [*ids, words.end] if ends else ids
        layout.text(body[: recipe.cut if number + 1 == recipe.pieces else None], trained=model)
    return (layout.document("conversation"),)
