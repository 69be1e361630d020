"""Tokenizer codes for whole datasets, so that transformer training reads no pixels."""

import dataclasses
import os
from collections import defaultdict

import numpy as np

from ugf_jax import config
from ugf_jax.data.buckets import assign, fit, make_buckets
from ugf_jax.data.code_kind import CodeKind
from ugf_jax.data.image import decode
from ugf_jax.data.loader import CHECKED, DataSettings
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer

BATCH = 16


class CodeWriter:
    """Adds codes to records; a transform for `ugf_jax.data.prepare.prepare`.

    Images are fitted to buckets: those that the tokenizer was trained on, or others at the scales that are named. The sizes of
    these are what a transformer will know of sizes; each is a compilation.

    Attributes:
      identity: what the codes depend on beside the images, JSON-compatible.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        drop_pixels: bool = False,
        scales: tuple[int, ...] = (),
        max_stretch: float | None = None,
        keep: float | None = None,
    ):
        """Loads the tokenizer of the run in `workdir`.

        Args:
          workdir: of a run of stage `tokenizer`.
          drop_pixels: do not store the images themselves.
          scales: sides in pixels of the squares that buckets are made from; empty: those of the run.
          max_stretch: how far an axis may be stretched against the other; smaller means more buckets. None: as in the run.
          keep: share of the auxiliary positions that have codes; 0: master codes alone. None: as in the run.

        Raises:
          InputError: `workdir` holds no trained tokenizer, or there are no such buckets.
        """
        self.tokenizer = ImageTokenizer.load(workdir)
        own = config.parse(DataSettings, self.tokenizer.config["data"], "config.data").bucket_settings
        self.settings = dataclasses.replace(
            own, scales=scales or own.scales, max_stretch=own.max_stretch if max_stretch is None else max_stretch
        )
        self.buckets = make_buckets(self.settings)
        self.drop_pixels, self.keep = drop_pixels, keep
        master, auxiliary = self.tokenizer.settings.master, self.tokenizer.settings.auxiliary
        kind = CodeKind(
            master=master.quantizer.codebook_size,
            grid=master.grid,
            auxiliary=auxiliary.quantizer.codebook_size,
            groups=auxiliary.groups,
            levels=auxiliary.levels,
            largest=max(max(b.height, b.width) for b in self.buckets) // auxiliary.patch,
        )
        self.identity = {
            "tokenizer": config.to_json(self.tokenizer.settings),
            "step": self.tokenizer.step,
            "digest": self.tokenizer.digest(),
            "buckets": [str(b) for b in self.buckets],
            "drop_pixels": drop_pixels,
            "codes": config.to_json(kind),
        } | ({} if keep is None else {"keep": keep})

    def __call__(self, records: list[Record]) -> list[Record]:
        """The same records with codes.

        Raises:
          InputError: an image has no bucket.
        """
        members: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for i, record in enumerate(records):
            heights, widths = np.array(record.sizes, np.int64).reshape(-1, 2).T
            for n, bucket in enumerate(assign(heights, widths, self.buckets, self.settings)):
                if bucket < 0:
                    height, width = record.sizes[n]
                    raise InputError(
                        f"image {n} of '{record.key}' is {height}x{width}; the tokenizer has buckets up to "
                        f"1:{self.settings.max_aspect:g}: prepare with --max_aspect={self.settings.max_aspect:g}"
                    )
                members[int(bucket)].append((i, n))
        codes: dict[tuple[int, int], ImageCodes] = {}
        for bucket, places in members.items():
            for start in range(0, len(places), BATCH):
                chunk = places[start : start + BATCH]
                images = [fit(decode(records[i].images[n], CHECKED), self.buckets[bucket], self.settings) for i, n in chunk]
                filled = np.stack(images + [images[-1]] * (BATCH - len(images)))  # one batch size: one compilation
                codes |= dict(zip(chunk, self.tokenizer.encode(filled, self.keep), strict=False))
        return [
            dataclasses.replace(
                record,
                codes=tuple(codes[i, n] for n in range(len(record.sizes))),
                images=() if self.drop_pixels else record.images,
            )
            for i, record in enumerate(records)
        ]
