"""ugf chat [QUESTION]: ask about images and draw, in a conversation.

  ugf chat --image=a.png "How many circles are there?"            one question, one answer
  ugf chat --image=a.png --image=b.png "What is different?"
  ugf chat                                                        a session; in it:

    /image PATH         show an image to the model; it belongs to the next question
    draw WORDS          draw an image; it is saved, shown to the model, and can be asked about
    /size 640x384       width x height of the images that are drawn
    /new                start anew
    /quit               leave (Ctrl-D does too)

Answers appear while they are made. With --output the conversation is kept there: chat.txt, and each image that was drawn.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import flags
from PIL import Image

from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.cli.prompts import parse_size
from ugf_jax.errors import InputError
from ugf_jax.generation.chat import Chat, as_text
from ugf_jax.generation.defaults import GUIDANCE
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import UnifiedModel

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "folder made by `ugf export`; by default the model that is shipped", flag_values=FLAGS)
flags.DEFINE_multi_string("image", [], "image to ask about; give it again for several", flag_values=FLAGS)
flags.DEFINE_string("size", "256x256", "width x height of images that are drawn", flag_values=FLAGS)
flags.DEFINE_string("system", "", "instruction that the conversation begins with", flag_values=FLAGS)
flags.DEFINE_integer("max_tokens", 128, "most tokens of an answer", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("temperature", 0.0, "of answers; 0 takes the likeliest words", flag_values=FLAGS)
flags.DEFINE_float("guidance", GUIDANCE, "how closely drawings follow their prompt; 1 for none", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of answers and drawings", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("output", "chat", "folder for drawings and chat.txt", flag_values=FLAGS)


class Session:
    """A conversation and where its pictures go."""

    def __init__(self, model: UnifiedModel, values: flags.FlagValues):
        """Starts one; nothing is written before there is something to keep."""
        self.chat = Chat(model, values.system)
        self.size = parse_size(values.size)
        self.values = values
        self.text = config.parse(SamplingSettings, {"temperature": values.temperature}, "flags")
        self.image = config.parse(GenerationSettings, {"guidance": values.guidance}, "flags")
        self.drawn = 0

    def say(self, line: str) -> bool:
        """Does what a line asks for; False at the end of the session."""
        command, _, rest = line.strip().partition(" ")
        if command == "/quit":
            return False
        if command == "/new":
            self.chat.forget()
            print("started anew")
        elif command == "/size":
            self.size = parse_size(rest)
            print(f"drawings are {self.size[1]}x{self.size[0]} from now on")
        elif command == "/image":
            self.chat.show([pathlib.Path(rest).expanduser()])
            print(f"image {self.chat.images()}: {rest}")
        elif command.startswith("/"):
            raise InputError(f"'{command}' is no command; there are /image PATH, /size WxH, /new and /quit")
        elif command == "draw" and rest:
            self.draw(rest)
        elif line.strip():
            self.ask(line.strip())
        return True

    def ask(self, question: str) -> None:
        """Prints the answer as it is made."""

        def tell(piece: str) -> None:
            print(piece, end="", flush=True)

        self.chat.ask(question, self.values.max_tokens, self.text, self.values.seed, tell)
        print()

    def draw(self, prompt: str) -> None:
        """Draws and saves."""
        folder = app.output_folder(self.values.output, "--output")
        drawing = self.chat.draw(prompt, self.size, self.image, self.values.seed + self.drawn)
        self.drawn += 1
        path = folder / f"drawing-{self.drawn:03d}.png"
        with path.open("wb") as file:
            Image.fromarray(drawing.image).save(file, "PNG")
        print(f"{path} ({self.size[1]}x{self.size[0]}), image {self.chat.images()} of this conversation")

    def keep(self) -> None:
        """Writes the conversation."""
        if self.chat.turns:
            folder = app.output_folder(self.values.output, "--output")
            (folder / "chat.txt").write_text(as_text(self.chat.turns) + "\n")


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """One question, or a session."""
    if len(positional) > 1:
        raise InputError(f"{len(positional)} questions; want one, in quotes (or none for a session)")
    session = Session(UnifiedModel.load(values.model), values)
    session.chat.show(values.image)
    if positional:
        session.say(positional[0])
        return
    interactive = sys.stdin.isatty()
    if interactive:
        print("Ask about images (/image PATH), or draw (draw WORDS). /quit leaves.")
    try:
        converse(session, interactive)
    finally:
        session.keep()


def converse(session: Session, interactive: bool) -> None:
    """Reads lines until the end. A mistake is told and the session goes on; from a pipe it ends there."""
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return
        try:
            if not session.say(line):
                return
        except InputError as error:
            if not interactive:
                raise
            print(error)


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("chat", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
