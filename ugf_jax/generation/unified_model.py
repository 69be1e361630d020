"""The whole model for users: text and images of any size in, text and images of any size out."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np

import ugf_jax
from ugf_jax.data.documents import Document, Layout
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.errors import InputError
from ugf_jax.generation.conversation import conversation_prompt
from ugf_jax.generation.details import DetailGenerator, abstract_params
from ugf_jax.generation.forward import DocumentReader
from ugf_jax.generation.generate_tokens import GenerationSettings, TokenGenerator
from ugf_jax.generation.image_coder import ImageCoder, resize
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.generation.pictures import Picture, to_array
from ugf_jax.generation.requests import Request, master_codes
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.training.bundle import Bundle, check_shapes, load_bundle
from ugf_jax.training.frozen import abstract_params as abstract_fusion

SHIPPED = pathlib.Path(ugf_jax.__file__).parent / "assets" / "model"
FIGURES = "results.json"  # in the shipped model: what `ugf evaluate` found about it
ROWS = 32  # images decoded at a time
GREEDY = SamplingSettings(temperature=0.0)
DEFAULT = GenerationSettings()


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
    """One generated image.

    Attributes:
      image: uint8 `[height, width, 3]`, the size that was asked for.
      master: what the master codes alone show, at the same size.
      codes: the codes of both.
      log_probability: of the master codes under the distribution that they were drawn from, in nats.
    """

    image: np.ndarray
    master: np.ndarray
    codes: ImageCodes
    log_probability: float


class UnifiedModel:
    """A trained model: image tokenizer, transformer and detail model.

    Attributes:
      tokenizer: images to codes and back.
      coder: images of any size to codes on the grids that the transformer knows.
      reader: whole documents to embeddings and likelihoods.
      generator: prompts to tokens.
      details: master codes to pictures with details; None where the model has no detail model.
      text: the text tokenizer.
      vocabulary: ids of text, structure and codes.
    """

    def __init__(self, bundle: Bundle, memory: bool = True):
        """From a `Bundle`; use `load`."""
        settings, variables = bundle.settings, bundle.variables
        self.settings, self.text, self.vocabulary = settings, bundle.text, settings.vocabulary
        self.tokenizer = ImageTokenizer(settings.tokenizer, variables.get("tokenizer", {}), settings.steps.get("tokenizer", 0))
        self.coder = ImageCoder(self.tokenizer, settings.grids, memory)
        self.reader = DocumentReader(settings.model, settings.vocabulary, variables["fusion"])
        self.generator = TokenGenerator(settings.model, settings.vocabulary, variables["fusion"])
        self.details = None
        if settings.detail:
            steps = settings.steps.get("detail", 0)
            self.details = DetailGenerator(self.tokenizer, settings.detail, variables["detail"], settings.sampling, steps)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, memory: bool = True) -> Self:
        """Loads a model.

        Args:
          path: a folder made by `ugf export`; None for the model that comes with the package.
          memory: whether it looks at the auxiliary codes of images; without, it knows their master codes only.

        Raises:
          InputError: the folder holds no model, or a damaged one.
        """
        folder = pathlib.Path(path) if path is not None else SHIPPED
        bundle = load_bundle(folder)
        wanted = {"fusion": abstract_fusion(bundle.settings)}
        found = {"fusion": bundle.variables.get("fusion", {})}
        if bundle.settings.detail:
            tokenizer = ImageTokenizer(bundle.settings.tokenizer, bundle.variables.get("tokenizer", {}))
            wanted["detail"] = abstract_params(bundle.settings.detail, tokenizer)
            found["detail"] = bundle.variables.get("detail", {})
        check_shapes(found, wanted, str(folder))
        return cls(bundle, memory)

    def generate_image(
        self,
        prompts: str | Sequence[str],
        size: tuple[int, int] | Sequence[tuple[int, int]] = (256, 256),
        seed: int = 0,
        guidance: float = DEFAULT.guidance,
        temperature: float = DEFAULT.image.temperature,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> list[np.ndarray]:
        """Draws an image for each prompt; see `draw`.

        Returns:
          uint8 `[height, width, 3]` each, of exactly the size asked for.
        """
        how = GenerationSettings(image=SamplingSettings(temperature, top_k, top_p), guidance=guidance)
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        return [drawings[0].image for drawings in self.draw(prompts, size, seed, how)]

    def draw(
        self,
        prompts: Sequence[str],
        size: tuple[int, int] | Sequence[tuple[int, int]] = (256, 256),
        seed: int | Sequence[int] = 0,
        how: GenerationSettings = DEFAULT,
        count: int = 1,
        context: Sequence[ImageCodes] = (),
    ) -> list[list[Drawing]]:
        """Draws several images for each prompt.

        Args:
          prompts: what to draw; any lengths.
          size: `(height, width)` in pixels of all images, or one for each prompt.
          seed: prompt i is drawn with seed + i, or one for each; equal seeds draw equally, whatever else is in the batch.
          how: guidance, temperature, top k and top p.
          count: images of each prompt.
          context: images that every prompt speaks of, e.g. one to change.

        Raises:
          InputError: a size that is not positive, or prompts and sizes of different number.
        """
        sizes = self._sizes(size, len(prompts))
        seeds = [seed + i for i in range(len(prompts))] if isinstance(seed, (int, np.integer)) else list(seed)
        found: list[list[Drawing]] = []
        share = max(ROWS // count, 1)
        for start in range(0, len(prompts), share):
            own = slice(start, start + share)
            requests = [
                Request(self._drawing_prompt(prompt, context), own_seed % 2**32, self.coder.grid(*wanted))
                for prompt, own_seed, wanted in zip(prompts[own], seeds[own], sizes[own], strict=True)
            ]
            drawings = self.draw_requests(requests, sizes[own], how, count)
            found += [drawings[i : i + count] for i in range(0, len(drawings), count)]
        return found

    def draw_requests(
        self, requests: Sequence[Request], sizes: Sequence[tuple[int, int]], how: GenerationSettings, count: int = 1
    ) -> list[Drawing]:
        """Images of prompts that exist as documents already; all are decoded together.

        Args:
          requests: prompts and seeds.
          sizes: `(height, width)` in pixels of each.
          how: guidance, temperature, top k and top p.
          count: images of each request.

        Returns:
          for each request its images, one after the other.
        """
        made = self.generator.generate(requests, how, "draw", samples=count)
        codes = [master_codes(made.row(row), self.vocabulary, self.settings.model.grid)[0] for row in range(len(made.tokens))]
        wanted = [size for size in sizes for _ in range(count)]
        seeds = [(request.seed, sample) for request in requests for sample in range(count)]
        return self._paint(np.stack(codes), wanted, seeds, made.log_probabilities.sum(axis=1))

    def generate_text(
        self,
        images: Sequence[Sequence[Picture]],
        questions: Sequence[str],
        max_tokens: int = 64,
        sampling: SamplingSettings = GREEDY,
        seed: int = 0,
    ) -> list[str]:
        """Answers questions about images; with an empty question describes the image.

        Args:
          images: those of each question; they come before its text unless it marks their places with `<|image|>`.
          questions: one for each list of images.
          max_tokens: at most so many tokens of an answer.
          sampling: how its tokens are chosen; by default always the likeliest.
          seed: question i is answered with seed + i.

        Raises:
          InputError: another number of image marks than images, or an image that cannot be read.
        """
        if len(images) != len(questions):
            raise InputError(f"{len(questions)} questions and {len(images)} lists of images; want as many")
        codes = self._encode_lists(images)
        answers: list[str] = []
        how = GenerationSettings(text=sampling)
        for start in range(0, len(questions), ROWS):
            own = slice(start, start + ROWS)
            prompts = [
                conversation_prompt([("human", question)], own_codes, self.text, self.vocabulary)
                for question, own_codes in zip(questions[own], codes[own], strict=True)
            ]
            requests = [Request(prompt, (seed + start + i) % 2**32) for i, prompt in enumerate(prompts)]
            made = self.generator.generate(requests, how, "text", limit=max_tokens)
            answers += [self._words(made.row(row)) for row in range(len(made.tokens))]
        return answers

    def embed_image(self, images: Sequence[Picture]) -> np.ndarray:
        """Contrastive embeddings of images, float32 `[images, features]` of length 1."""
        return self.reader.embed_codes(self.encode(images))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Contrastive embeddings of texts, float32 `[texts, features]` of length 1."""
        return self.reader.embed_ids(self.text.encode_many(list(texts)))

    def encode(self, images: Sequence[Picture]) -> list[ImageCodes]:
        """Codes of images of any sizes, on the grids that the transformer knows.

        Raises:
          InputError: an image that cannot be read, or a model that came without an image tokenizer.
        """
        if images:
            self._check_pictures()
        return self.coder.encode([to_array(image) for image in images])

    def decode(self, codes: ImageCodes, size: tuple[int, int] | None = None) -> np.ndarray:
        """The image of codes, uint8 `[height, width, 3]`; `size` (height, width) resizes it."""
        self._check_pictures()
        image = self.tokenizer.decode([codes], codes.bucket)[0]
        return image if size is None else resize(image, *size)

    def likelihood(self, records: Sequence[Record]) -> list[dict[str, tuple[float, int]]]:
        """How well the model predicts captioned images, for each record and modality: nats and tokens.

        Args:
          records: with a caption and an image, or the codes of one.

        Returns:
          `{"image": …, "text": …}`: codes given the caption, and the caption given the image.
        """
        missing = [i for i, record in enumerate(records) if not record.codes]
        coded = dict(zip(missing, self.encode([records[i].images[0] for i in missing]), strict=True))
        documents = []
        for i, record in enumerate(records):
            codes = coded[i] if i in coded else record.codes[0]
            documents += [self._caption_to_image(record.captions[0], codes), self._image_to_caption(record.captions[0], codes)]
        scores = self.reader.score(documents)
        return [
            {
                "image": (float(drawn.image_nats), int(drawn.image_tokens)),
                "text": (float(told.text_nats), int(told.text_tokens)),
            }
            for drawn, told in zip(scores[::2], scores[1::2], strict=True)
        ]

    def _drawing_prompt(self, prompt: str, context: Sequence[ImageCodes]) -> Document:
        if not prompt.strip():
            raise InputError("an empty prompt; want what to draw")
        return conversation_prompt([("human", prompt)], context, self.text, self.vocabulary)

    def _caption_to_image(self, caption: str, codes: ImageCodes) -> Document:
        words = self.vocabulary
        layout = Layout(words).special(words.user).text(self.text.encode(caption)).special(words.end)
        return layout.special(words.assistant).image(0, codes, "generated").document("generate")

    def _image_to_caption(self, caption: str, codes: ImageCodes) -> Document:
        words = self.vocabulary
        layout = Layout(words).special(words.user).image(0, codes, "context").special(words.end).special(words.assistant)
        return layout.text(self.text.encode(caption), trained=True).special(words.end, trained=True).document("caption")

    def _paint(
        self,
        masters: np.ndarray,
        sizes: Sequence[tuple[int, int]],
        seeds: Sequence[tuple[int, int]],
        log_probabilities: np.ndarray,
    ) -> list[Drawing]:
        """Pictures of master codes `[rows, grid, grid]`; those of one size together."""
        self._check_pictures()
        found: dict[int, Drawing] = {}
        for size in dict.fromkeys(sizes):
            rows = [row for row, own in enumerate(sizes) if own == size]
            filled = rows + rows[-1:] * ((1 << (len(rows) - 1).bit_length()) - len(rows))  # few batch sizes are compiled
            plain = self.tokenizer.decode_master(masters[filled], size)
            codes: Sequence[ImageCodes | None] = [None] * len(rows)
            full = plain
            if self.details:
                keys = jax.numpy.stack([jax.random.fold_in(jax.random.key(seeds[r][0]), seeds[r][1]) for r in filled])
                codes, full = self.details.complete(masters[filled], size, keys)
            for i, row in enumerate(rows):
                own = codes[i] or ImageCodes(masters[row], (), (), size)
                found[row] = Drawing(full[i], plain[i], own, float(log_probabilities[row]))
        return [found[row] for row in range(len(masters))]

    def _check_pictures(self) -> None:
        """Refuses pictures where the model is one of text alone, as imports may be."""
        if not self.tokenizer.variables:
            raise InputError("this model came without an image tokenizer; import it with --image_tokenizer=RUN")

    def _encode_lists(self, images: Sequence[Sequence[Picture]]) -> list[list[ImageCodes]]:
        """Codes of lists of images, all coded together."""
        codes = iter(self.encode([image for own in images for image in own]))
        return [[next(codes) for _ in own] for own in images]

    def _words(self, tokens: np.ndarray) -> str:
        """The text among tokens of an answer."""
        return self.text.decode([int(t) for t in tokens if t < self.vocabulary.text]).strip()

    def _sizes(self, size: tuple[int, int] | Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
        """One `(height, width)` for each prompt."""
        one = len(size) == 2 and all(isinstance(side, (int, np.integer)) for side in size)
        sizes: list[Any] = [size] * count if one else list(size)
        if len(sizes) != count:
            raise InputError(f"{len(sizes)} sizes for {count} prompts; want one size, or one for each prompt")
        for height, width in sizes:
            if min(height, width) < 1:
                raise InputError(f"size {width}x{height} (width x height); want both at least 1")
        return [(int(height), int(width)) for height, width in sizes]
