"""What a source is, and what will become of each of its tensors; nothing is read yet but names, shapes and settings."""

import dataclasses
from collections.abc import Mapping as AnyMapping
from typing import Any

import numpy as np

from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.interop import tower, trunk, vqgan
from ugf_jax.interop.mapping import Mapping, check, why_ignored
from ugf_jax.interop.source import Source
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training.bundle import BundleSettings, UniTokenSettings
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import abstract_params

# The published names of the structure of Chameleon's documents.
STRUCTURE = {
    "bos": "<s>",
    "pad": "<pad>",
    "eoi": "<eoss>",
    "boi": "<racm3:break>",
    "sep": "<sentinel:0>",
    "end": "<reserved08706>",
    "newline": "<reserved08799>",
    "no_size": "<reserved08800>",
}


@dataclasses.dataclass(frozen=True)
class Additions:
    """What a language model gets that it never had.

    Attributes:
      codes: master codes of the image tokenizer.
      sizes: size tokens.
      memory: of auxiliary codes; None: the model has none.
      cross_every: blocks between two cross-attentions into it; 0: as many as divide the depth, at most 4.
      embedding: features of a contrastive embedding; 0: none.
      grid: master codes along a side of an image.
    """

    codes: int = VocabularySettings().codes
    sizes: int = VocabularySettings().sizes
    memory: MemorySettings | None = MemorySettings()
    cross_every: int = 0
    embedding: int = FusionSettings().embedding
    grid: int = FusionSettings().grid


@dataclasses.dataclass(frozen=True)
class Part:
    """Tensors of one source that become parameters, and those that may be left over, with the reason."""

    source: Source
    mapping: Mapping
    ignored: AnyMapping[str, str]


@dataclasses.dataclass(frozen=True)
class Plan:
    """An import.

    Attributes:
      what: what the source is, for people.
      settings: of the model that it becomes.
      parts: where parameters come from.
      shapes: of all parameters, `fusion/…`.
      ready: parameters that are in memory already, `tokenizer/…`.
    """

    what: str
    settings: BundleSettings
    parts: tuple[Part, ...]
    shapes: dict[str, tuple[int, ...]]
    ready: AnyMapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def with_images(self, tokenizer: ImageTokenizer) -> "Plan":
        """The same with an image tokenizer, so that the model can encode and draw.

        Raises:
          InputError: it has other codes than the model has ids for.
        """
        codes, known = tokenizer.settings.master.quantizer.codebook_size, self.settings.vocabulary.codes
        if codes != known:
            raise InputError(f"--image_tokenizer: has {codes} master codes; {self.parts[0].source.path} has ids for {known}")
        variables = {f"tokenizer/{name}": np.asarray(x) for name, x in named_leaves(tokenizer.variables).items()}
        steps = {"tokenizer": tokenizer.step}
        settings = dataclasses.replace(
            self.settings, tokenizer=tokenizer.settings, codes=tokenizer.digest(), steps=self.settings.steps | steps
        )
        return dataclasses.replace(self, settings=settings, ready=variables)

    @property
    def new(self) -> list[str]:
        """Parameters that come from no source."""
        given = {target for part in self.parts for target in part.mapping}
        return [target for target in self.shapes if target not in given]

    def check(self) -> None:
        """Raises InputError for a tensor that is missing, superfluous or of another shape."""
        for part in self.parts:
            check(part.source, part.mapping, self.shapes, part.ignored)

    def table(self) -> list[str]:
        """Lines that say what becomes of each tensor."""
        lines = []
        for part in self.parts:
            for target, rule in part.mapping.items():
                count = f" … {len(rule.sources)} of them" if len(rule.sources) > 1 else ""
                lines.append(f"{target} {list(self.shapes[target])} <- {rule.sources[0]}{count}, {rule.change.name}")
        lines += [f"{name} {list(self.shapes[name])} <- new" for name in self.new]
        for part in self.parts:
            used = {name for rule in part.mapping.values() for name in rule.sources}
            left = [name for name in part.source.names() if name not in used]
            lines += [f"not used: {name} ({why_ignored(name, part.ignored)})" for name in left]
        return lines


def plan_import(source: Source, additions: Additions | None = None, vision: Source | None = None) -> Plan:
    """Recognises a source.

    Args:
      source: a language model of the Llama family, or Chameleon's with or without UniToken's vision tower.
      additions: what it gets beside its own; None: what its family wants: all for a text model, nothing for Chameleon.
      vision: a SigLIP tower to look through; its adapter is new.

    Raises:
      InputError: it is nothing that is known, or a part of a model only.
    """
    kind = source.config.get("model_type")
    if kind not in trunk.NAMES:
        raise InputError(_not_a_model(source))
    own = tower.tower_prefix(source) == "vit."
    model = trunk.trunk_settings(source.config, f"{source.path}/config.json", tied=trunk.HEAD not in source)
    rows = int(source.config["vocab_size"])
    if own or vision is not None:
        seen = vision or source
        prefix = tower.tower_prefix(seen)
        if prefix is None:
            raise InputError(f"{seen.path}: no vision tower of SigLIP in it")
        if vision is not None and own:
            raise InputError(f"{source.path}: has a vision tower already; leave out {vision.path}")
        model = dataclasses.replace(model, vision=tower.tower_settings(seen, prefix))
    if kind == "chameleon":
        if additions is not None:  # it has no token at which a document is embedded
            additions = dataclasses.replace(additions, embedding=0)
        settings: BundleSettings = UniTokenSettings(vocabulary=_unitoken_ids(source), model=_with(model, additions))
    else:
        additions = additions or Additions()
        words = VocabularySettings(text=rows, sizes=additions.sizes, codes=additions.codes)
        settings = BundleSettings(vocabulary=words, model=_with(model, additions))
    settings = dataclasses.replace(settings, imported=source.config)
    shapes = {f"fusion/{name}": x.shape for name, x in named_leaves(abstract_params(settings)).items()}
    name = "UniToken" if own else trunk.NAMES[kind]
    what = f"{name}, {model.depth} layers of width {model.width:,}, {rows:,} ids"
    return Plan(what, settings, _parts(source, settings, rows, own, vision), shapes)


def _with(model: FusionSettings, additions: Additions | None) -> FusionSettings:
    if additions is None:
        return model
    every = 0
    if additions.memory is not None:
        every = additions.cross_every or max(n for n in (1, 2, 3, 4) if model.depth % n == 0)
        if model.depth % every:
            raise InputError(f"--cross_every is {every}; want a number that divides the model's {model.depth} layers")
    memory = additions.memory or model.memory
    return dataclasses.replace(model, cross_every=every, memory=memory, embedding=additions.embedding, grid=additions.grid)


def _parts(source: Source, settings: BundleSettings, rows: int, own: bool, vision: Source | None) -> tuple[Part, ...]:
    model = settings.model
    mapping = trunk.trunk_mapping(model, rows, settings.vocabulary.total)
    ignored = dict(trunk.IGNORED)
    if model.tied:
        ignored[trunk.HEAD.replace(".", r"\.")] = "the table of embeddings again"
    if source.config["model_type"] == "chameleon":
        ignored[r"model\.vqmodel\..*"] = "the image tokenizer, which stays in its own file"
    if own and model.vision:
        mapping |= _under("vision", tower.tower_mapping(model.vision, "vit."))
        mapping |= _under("adapter", tower.adapter_mapping())
        ignored |= tower.tower_ignored("vit.")
    parts = [Part(source, _under("fusion", mapping), ignored)]
    if vision is not None and model.vision:
        prefix = tower.tower_prefix(vision) or ""
        seen = _under("fusion/vision", tower.tower_mapping(model.vision, prefix))
        parts.append(Part(vision, seen, tower.tower_ignored(prefix)))
    return tuple(parts)


def _under(path: str, mapping: Mapping) -> Mapping:
    return {f"{path}/{target}": rule for target, rule in mapping.items()}


def _unitoken_ids(source: Source) -> UniTokenVocabulary:
    """The ids of a model with Chameleon's structure; the published ones where its config has no names."""
    rows = source.config["vocab_size"]
    names = source.config.get("vocabulary_map") or {}
    codes = sorted(i for name, i in names.items() if name.startswith("IMGIMG"))
    found: dict[str, Any] = {own: names[name] for own, name in STRUCTURE.items() if name in names}
    if codes:
        if codes != list(range(codes[0], codes[0] + len(codes))):
            raise InputError(f"{source.path}/config.json: vocabulary_map: the ids of IMGIMG… are not consecutive")
        found |= {"first_code": codes[0], "codes": len(codes)}
    words = UniTokenVocabulary(text=rows, total=rows, **found)
    if "no_size" in found:
        words = dataclasses.replace(words, sizes=min(words.sizes, rows - words.first_size))
    if rows <= words.answer:
        words = dataclasses.replace(words, answer=words.end)
    words.validate(f"{source.path}/config.json: vocabulary_map")
    return words


def _not_a_model(source: Source) -> str:
    """A line that says what a source is, if not a language model."""
    kind = source.config.get("model_type")
    if tower.tower_prefix(source) is not None:
        return f"{source.path}: a SigLIP vision tower, a part of a model; give it as --vision with a language model"
    if vqgan.prefix_of(source) is not None:
        return f"{source.path}: an image tokenizer, a part of a model; want a language model"
    if not kind:
        return f"{source.path}: what it is cannot be told; want a config.json with model_type: {', '.join(trunk.NAMES)}"
    return f"{source.path}/config.json: model_type is {kind!r}; want one of {', '.join(trunk.NAMES)}"
