"""The original's inference solver: the same names, arguments and results, so that its examples run with another import.

Of `FlexARInferenceSolverAnyRes`, what differs: several images a prompt are allowed, and both encoders see the same part of an
image. `generate` takes the likeliest tokens and `generate_img` draws, as there.
"""

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.pictures import Picture
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.interop.unitoken.model import UniToken
from ugf_jax.interop.unitoken.weights import read_unitoken

DTYPES = {"bf16": "bfloat16", "fp32": "float32", "tf32": "float32"}
Result = tuple[str, list[Image.Image]]


class Streamer(Protocol):
    """What is told tokens as they come, like those of `transformers`."""

    def put(self, value: Any) -> None:
        """New ids."""

    def end(self) -> None:
        """There are no more."""


class TextStreamer:
    """Prints text as it comes."""

    def __init__(self, text: TextTokenizer):
        self._stream = text.stream()

    def put(self, value: Sequence[int]) -> None:
        """New ids."""
        for token in value:
            print(self._stream.push(token), end="", flush=True)

    def end(self) -> None:
        """There are no more."""
        print(self._stream.finish(), flush=True)


class Solver:
    """A published UniToken behind the original's interface.

    Attributes:
      model: the same for batches and other sizes.
    """

    def __init__(self, model_path: str, precision: str = "bf16", target_size: int = 512, vqgan: str = "", seed: int = 0):
        """Reads the model.

        Args:
          model_path: its folder (see `ugf_jax.interop.unitoken.weights`).
          precision: bf16, fp32 or tf32.
          target_size: side in pixels of the square that is read and drawn.
          vqgan: file of the image tokenizer, if not in the folder.
          seed: of the first call; each call has the next.

        Raises:
          InputError: another precision, or a model that cannot be read.
        """
        if precision not in DTYPES:
            raise InputError(f"precision is {precision!r}; want one of {', '.join(DTYPES)}")
        self.target = (target_size, target_size)
        self.model = UniToken(read_unitoken(model_path, DTYPES[precision], vqgan), target_size, [self.target])
        self._seed = seed

    @classmethod
    def get_args_parser(cls) -> argparse.ArgumentParser:
        """A parser of the original's arguments."""
        parser = argparse.ArgumentParser("xllmx Inference", add_help=False)
        parser.add_argument("--model_path", type=str)
        parser.add_argument("--precision", type=str, choices=list(DTYPES), default="bf16")
        return parser

    def get_streamer(self) -> TextStreamer:
        """Prints text as it comes."""
        return TextStreamer(self.model.parts.text)

    def create_logits_processor(self, cfg: float = 3.0, image_top_k: int = 2000, text_top_k: int = 10) -> GenerationSettings:
        """How tokens are chosen: guidance, then what an image's structure allows, then the top k of each kind."""
        text, image = SamplingSettings(top_k=text_top_k), SamplingSettings(top_k=image_top_k)
        return GenerationSettings(text=text, image=image, guidance=cfg)

    def generate_img(
        self,
        images: Picture | Sequence[Picture],
        qas: Sequence[Sequence[str | None]],
        max_gen_len: int,
        temperature: float,
        logits_processor: GenerationSettings | None = None,
        streamer: Streamer | None = None,
        num_return_sequences: int = 1,
    ) -> Result | list[Result]:
        """Draws the answer to the last question.

        Args:
          images: of the questions, in the order of their `<|image|>`.
          qas: questions and answers, the last answer None.
          max_gen_len: not read: an image has as many tokens as its size.
          temperature: of its codes.
          logits_processor: of `create_logits_processor`.
          streamer: told of tokens as they come.
          num_return_sequences: how many answers.

        Returns:
          text and images, or a list of such where more than one is wanted.
        """
        return self._run("draw", images, qas, 0, temperature, logits_processor, streamer, num_return_sequences)

    def generate(
        self,
        images: Picture | Sequence[Picture],
        qas: Sequence[Sequence[str | None]],
        max_gen_len: int,
        temperature: float,
        logits_processor: GenerationSettings | None = None,
        streamer: Streamer | None = None,
        num_return_sequences: int = 1,
    ) -> Result | list[Result]:
        """Answers the last question with the likeliest tokens, at most `max_gen_len`; arguments as of `generate_img`."""
        return self._run("free", images, qas, max_gen_len, 0.0, logits_processor, streamer, num_return_sequences)

    def decode_ids(self, tokens: Sequence[int]) -> Result:
        """Text, with `<|image|>` for each image, and the images."""
        found = self.model.read(np.asarray(tokens, np.int32))
        return found.text, [Image.fromarray(image) for image in found.images]

    def decode_image(self, tokens: Sequence[int]) -> Image.Image:
        """The image of size tokens, codes and newlines, with or without BOI and EOI.

        Raises:
          InputError: they are no whole image.
        """
        words = self.model.parts.vocabulary
        inner = [token for token in tokens if token not in (words.boi, words.eoi)]
        found = self.decode_ids([words.boi, *inner, words.eoi])[1]
        if not found:
            raise InputError(f"{len(tokens)} tokens that are no image; want sizes, then as many rows of codes as they say")
        return found[0]

    @staticmethod
    def create_image_grid(images: Sequence[Image.Image], rows: int, cols: int) -> Image.Image:
        """Images of one size side by side, row by row."""
        width, height = images[0].size
        grid = Image.new("RGB", (cols * width, rows * height))
        for number, image in enumerate(images):
            grid.paste(image, (number % cols * width, number // cols * height))
        return grid

    def _run(
        self,
        mode: str,
        images: Picture | Sequence[Picture],
        qas: Sequence[Sequence[str | None]],
        limit: int,
        temperature: float,
        how: GenerationSettings | None,
        streamer: Streamer | None,
        samples: int,
    ) -> Result | list[Result]:
        given: Any = images
        single = isinstance(images, (str, bytes, os.PathLike, np.ndarray, Image.Image))
        pictures: list[Picture] = [given] if single else list(given)
        turns = [turn for question, answer in qas for turn in (("human", question), ("gpt", answer))]
        chosen = how or self.create_logits_processor()
        text, image = (dataclasses.replace(x, temperature=temperature) for x in (chosen.text, chosen.image))
        request = self.model.request(turns, pictures, self._seed, self.target, draw=mode == "draw")
        self._seed += 1
        settings = GenerationSettings(text, image, chosen.guidance)
        run = self.model.generator.start([request], settings, mode, limit, samples)
        if streamer is not None and samples == 1:
            self.model.stream(run, streamer.put)
            streamer.end()
        else:
            while run.advance():
                run.remember({})
        made = run.result()
        results = [self.decode_ids(made.row(i).tolist()) for i in range(samples)]
        return results[0] if samples == 1 else results
