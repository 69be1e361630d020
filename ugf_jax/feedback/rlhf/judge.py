"""What pictures are worth: codes become pictures, and each reward looks at them, on the host."""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import jax
import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.shapes.checker import find
from ugf_jax.data.shapes.requirements import score
from ugf_jax.errors import InputError
from ugf_jax.feedback.alignment import Alignment
from ugf_jax.feedback.rlhf.prompts import Prompt
from ugf_jax.feedback.rlhf.settings import RewardSettings
from ugf_jax.generation.details import DetailGenerator
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.generation.reward_scorer import RewardScorer
from ugf_jax.training.bundle import Bundle

Size = tuple[int, int]  # height and width in pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures to be judged, and what for.

    Attributes:
      prompts: one for each.
      codes: one for each; of master codes only where no details are drawn.
      pixels: uint8 `[height, width, 3]` each.
    """

    prompts: Sequence[Prompt]
    codes: Sequence[ImageCodes]
    pixels: Sequence[np.ndarray]

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Share of what its prompt requires that each shows, float32 `[rows]`.

        Raises:
          InputError: a prompt of which it is not known what it requires.
        """
        scores = []
        for prompt, pixels in zip(self.prompts, self.pixels, strict=True):
            if prompt.requirement is None:
                raise InputError(f"the checker does not know what '{prompt.text}' requires; want prompts of shapes")
            scores.append(score(find(pixels).scene, prompt.requirement))
        return np.array(scores, np.float32)


Reward = Callable[[Pictures], np.ndarray]


class Judge(Protocol):
    """What a policy is trained by."""

    def rewards(self, prompts: Sequence[Prompt], masters: np.ndarray, sizes: Sequence[Size]) -> dict[str, np.ndarray]:
        """By name float `[rows]`: what master codes int32 `[rows, grid, grid]`, drawn for these prompts, are worth."""

    def paint(self, masters: np.ndarray, sizes: Sequence[Size]) -> list[np.ndarray]:
        """Pictures uint8 `[height, width, 3]` of master codes, for people."""


class PictureJudge:
    """Judges pictures as users see them."""

    def __init__(self, bundle: Bundle, rewards: Mapping[str, RewardSettings], details: bool, seed: int = 0):
        """Args:
          bundle: the model whose codes these are; only its image tokenizer and detail model are used.
          rewards: by name.
          details: draw details as well.
          seed: of the details; equal codes always get equal ones.

        Raises:
          InputError: details are wanted and the model has none, or a reward that cannot be found.
        """
        settings, variables = bundle.settings, bundle.variables
        if details and settings.detail is None:
            raise InputError("config.details is True; config.model has no detail model")
        self.tokenizer = ImageTokenizer(settings.tokenizer, variables["tokenizer"])
        self.details = (
            DetailGenerator(self.tokenizer, settings.detail, variables["detail"], settings.sampling)
            if details and settings.detail
            else None
        )
        self.functions = {
            name: find_reward(reward, f"config.rewards.{name}", bundle, details) for name, reward in rewards.items()
        }
        self.key = jax.random.key(seed)

    def rewards(self, prompts: Sequence[Prompt], masters: np.ndarray, sizes: Sequence[Size]) -> dict[str, np.ndarray]:
        """See `Judge`."""
        codes, pixels = self._complete(masters, sizes)
        pictures = Pictures(prompts, codes, pixels)
        return {name: np.asarray(function(pictures), np.float32) for name, function in self.functions.items()}

    def paint(self, masters: np.ndarray, sizes: Sequence[Size]) -> list[np.ndarray]:
        """See `Judge`."""
        return self._complete(masters, sizes)[1]

    def _complete(self, masters: np.ndarray, sizes: Sequence[Size]) -> tuple[list[ImageCodes], list[np.ndarray]]:
        """Codes and pictures; those of one size are computed together."""
        codes: dict[int, ImageCodes] = {}
        pixels: dict[int, np.ndarray] = {}
        for size in dict.fromkeys(sizes):
            rows = [row for row, own in enumerate(sizes) if own == size]
            filled = rows + rows[-1:] * ((1 << (len(rows) - 1).bit_length()) - len(rows))  # few batch sizes are compiled
            if self.details:
                found, painted = self.details.complete(masters[filled], size, self.key)
            else:
                painted = self.tokenizer.decode_master(masters[filled], size)
                found = [ImageCodes(masters[row], (), (), size) for row in filled]
            codes |= dict(zip(rows, found, strict=False))
            pixels |= dict(zip(rows, painted, strict=False))
        return [codes[row] for row in range(len(masters))], [pixels[row] for row in range(len(masters))]


def find_reward(settings: RewardSettings, path: str, bundle: Bundle | None = None, details: bool = True) -> Reward:
    """The function that settings name.

    Args:
      settings: of one reward.
      path: how messages name them.
      bundle: the model that draws, as it was before; alignment is by its embeddings.
      details: whether pictures come with auxiliary codes; a learned reward judges only what it was trained on.

    Raises:
      InputError: there is none, or it was trained on other codes.
    """
    if settings.kind == "learned":
        if not settings.source:
            raise InputError(f"{path}.source is empty; want the work folder of a run of stage reward")
        scorer = RewardScorer.load(settings.source.split(","))
        scorer.check_codes(bundle.settings.codes if bundle else "", f"{path}.source")
        if scorer.details != details:
            seen = "with" if scorer.details else "without"
            raise InputError(f"{path}.source: trained on pictures {seen} details; want config.details to be {scorer.details}")
        return lambda p: scorer.score([prompt.text for prompt in p.prompts], p.codes).mean(axis=0)
    if settings.kind == "alignment":
        assert bundle is not None, "alignment is by the embeddings of a model"
        alignment = Alignment(bundle)
        return lambda p: alignment([prompt.text for prompt in p.prompts], p.codes)
    if settings.kind == "function":
        return _imported(settings.source, path)
    return {"checker": checker, "right": right, "brightness": brightness}[settings.kind]


def _imported(source: str, path: str) -> Reward:
    module, _, name = source.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise InputError(f"{path}.source is '{source}': {error}; want module:function(prompts, pictures)") from error

    def judge(pictures: Pictures) -> np.ndarray:
        found = np.asarray(function([prompt.text for prompt in pictures.prompts], pictures.pixels), np.float32)
        if found.shape != (len(pictures.pixels),) or not np.isfinite(found).all():
            raise InputError(f"{path}: {source} gave {found.shape}; want a finite number for each of {len(pictures.pixels)}")
        return found

    return judge


def checker(pictures: Pictures) -> np.ndarray:
    """Share of what its prompt requires that a picture shows, float32 `[rows]`."""
    return pictures.checked


def right(pictures: Pictures) -> np.ndarray:
    """1 for a picture that shows all that its prompt requires, else 0, float32 `[rows]`."""
    return (pictures.checked == 1).astype(np.float32)


def brightness(pictures: Pictures) -> np.ndarray:
    """Mean brightness from 0 to 1, float32 `[rows]`: a reward that says nothing of the prompt, to try limits with."""
    return np.array([pixels.mean() / 255 for pixels in pictures.pixels], np.float32)
