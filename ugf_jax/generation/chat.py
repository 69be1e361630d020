"""A conversation with the model: text and images both ways, turn after turn."""

from collections.abc import Callable, Sequence

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.sources.fields import IMAGE_MARK
from ugf_jax.errors import InputError
from ugf_jax.generation.conversation import conversation_prompt
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.pictures import Picture
from ugf_jax.generation.requests import Request
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import Drawing, UnifiedModel


class Chat:
    """What was said and shown so far.

    Attributes:
      turns: (role, text) of every finished turn; `<|image|>` where an image stands.
      codes: of the images, in the order of their marks.
    """

    def __init__(self, model: UnifiedModel, system: str = ""):
        """Starts a conversation, with an instruction to the model if `system` is not empty."""
        self.model = model
        self.turns: list[tuple[str, str]] = [("system", system)] if system else []
        self.codes: list[ImageCodes] = []
        self._pending: list[ImageCodes] = []

    def show(self, images: Sequence[Picture]) -> None:
        """Shows images to the model; they belong to the next question.

        Raises:
          InputError: an image that cannot be read; then none of them is shown.
        """
        self._pending += self.model.encode(images)

    def ask(
        self,
        question: str,
        max_tokens: int = 128,
        sampling: SamplingSettings = SamplingSettings(temperature=0.0),  # noqa: B008 - frozen
        seed: int = 0,
        tell: Callable[[str], None] | None = None,
    ) -> str:
        """The model's answer.

        Args:
          question: text of the user's turn.
          max_tokens: at most so many tokens of the answer.
          sampling: how its tokens are chosen; by default always the likeliest.
          seed: of the choice.
          tell: called with each piece of the answer as soon as it is known.
        """
        turns, codes = self._asked(question)
        prompt = conversation_prompt(turns, codes, self.model.text, self.model.vocabulary)
        run = self.model.generator.start([Request(prompt, seed)], GenerationSettings(text=sampling), "text", limit=max_tokens)
        stream, answer = self.model.text.stream(), ""
        for (new,) in run.stream():
            piece = "".join(stream.push(int(token)) for token in new if token < self.model.vocabulary.text)
            answer += piece
            if tell and piece:
                tell(piece)
        rest = stream.finish()
        if tell and rest:
            tell(rest)
        answer = (answer + rest).strip()
        self.turns, self.codes, self._pending = [*turns, ("gpt", answer)], codes, []
        return answer

    def draw(
        self, prompt: str, size: tuple[int, int] = (256, 256), how: GenerationSettings | None = None, seed: int = 0
    ) -> Drawing:
        """The image that the model draws; it is part of the conversation afterwards.

        Args:
          prompt: text of the user's turn.
          size: `(height, width)` in pixels.
          how: guidance and sampling.
          seed: of the choice.
        """
        turns, codes = self._asked(prompt)
        request = Request(conversation_prompt(turns, codes, self.model.text, self.model.vocabulary), seed)
        (drawing,) = self.model.draw_requests([request], [size], how or GenerationSettings())
        again = self.model.encode([drawing.image])
        self.turns, self.codes, self._pending = [*turns, ("gpt", IMAGE_MARK)], [*codes, *again], []
        return drawing

    def _asked(self, question: str) -> tuple[list[tuple[str, str]], list[ImageCodes]]:
        """Turns and images with the user's next turn, which begins with the images that were shown."""
        if not question.strip() and not self._pending:
            raise InputError("an empty question; want some words")
        if IMAGE_MARK in question:
            raise InputError(f"a question with {IMAGE_MARK} in it; show images with /image PATH")
        value = IMAGE_MARK * len(self._pending) + question
        return [*self.turns, ("human", value)], [*self.codes, *self._pending]

    def images(self) -> int:
        """How many images the conversation holds, those that wait for a question included."""
        return len(self.codes) + len(self._pending)

    def forget(self) -> None:
        """Starts anew, keeping the instruction."""
        self.turns, self.codes, self._pending = [turn for turn in self.turns if turn[0] == "system"], [], []


def as_text(turns: Sequence[tuple[str, str]]) -> str:
    """A conversation for people to read, a line a turn."""
    names = {"human": "you", "gpt": "model", "system": "system"}
    return "\n".join(f"{names[role]}: {value.replace(IMAGE_MARK, '[image] ')}" for role, value in turns)
