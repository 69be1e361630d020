"""Builds the `clipart` set from the Open Clip Art Library 0.18, as Debian packages it.

  apt-get install openclipart-png openclipart-svg
  python -m ugf_jax.data.clipart.build --png=/usr/share/openclipart/png --svg=/usr/share/openclipart/svg OUT

writes the small set that is embedded in the package: OUT/train.tar, validation.tar and test.tar, WebDataset form. With
`--full` every acceptable drawing is taken, up to 1024 pixels and of any number; `ugf prepare` reads those tars too. The same
packages and library versions give the same bytes.
"""

import collections
import concurrent.futures
import io
import json
import pathlib
import sys
import tarfile
from collections.abc import Iterable, Sequence

import numpy as np
from absl import flags

from ugf_jax.data import image
from ugf_jax.data.clipart import captions, encode, excluded, hashes, select
from ugf_jax.data.clipart.metadata import Metadata, read_metadata
from ugf_jax.errors import InputError, UgfError
from ugf_jax.progress import Progress

FLAGS = flags.FlagValues()
flags.DEFINE_string("png", "/usr/share/openclipart/png", "folder of the package openclipart-png", flag_values=FLAGS)
flags.DEFINE_string("svg", "/usr/share/openclipart/svg", "folder of the package openclipart-svg", flag_values=FLAGS)
flags.DEFINE_boolean("full", False, "take every acceptable drawing, not about 1,500 within 12 MB", flag_values=FLAGS)
flags.DEFINE_integer("threads", 2, "drawings decoded at a time", lower_bound=1, flag_values=FLAGS)

LIMITS = image.ImageLimits(max_aspect=20.0)  # of the page; the drawing on it is measured again
SIDES = (512, 448, 384, 320, 256)  # the small set: the first at which a file is small enough
MAX_BYTES = 8_300
MIN_PSNR = 40.0
FULL_SIDE, FULL_PSNR = 1024, 45.0
MIN_FULL_SIDE, MIN_FULL_INK = 16, 0.005


class Refused(Exception):
    """A drawing that is not acceptable; the message is the reason, for counting."""


def pixels(path: pathlib.Path, max_side: int) -> np.ndarray:
    """The drawing without its page, uint8 `[height, width, 3]`, longer side at most `max_side`."""
    return encode.shrink(encode.trim(image.decode(path.read_bytes(), LIMITS)), max_side)


def examine(png: pathlib.Path, svg: pathlib.Path, path: str, key: str) -> select.Drawing:
    """Measures the drawing `path` (relative to both folders, ending in .png).

    Raises:
      Refused: it is excluded, not public domain, incomplete, blank, tiny or cannot be decoded.
    """
    metadata = read_metadata((svg / path).with_suffix(".svg"))
    refuse_metadata(metadata, path)
    assert metadata is not None
    try:
        drawing = pixels(png / path, SIDES[0])
    except image.ImageRejected as error:
        raise Refused(error.reason) from error
    except OSError as error:
        raise Refused("unreadable") from error  # the packages link from folder to folder; a link may lead nowhere
    height, width = drawing.shape[:2]
    inked = float(encode.ink(drawing).mean())
    if max(height, width) < MIN_FULL_SIDE:
        raise Refused("tiny")
    if inked < MIN_FULL_INK:
        raise Refused("blank")
    return select.Drawing(path, key, metadata, height, width, inked, float(drawing.std()), hashes.hash_image(drawing))


def refuse_metadata(metadata: Metadata | None, path: str) -> None:
    """Raises `Refused` where the metadata or the name say enough."""
    if metadata is None:
        raise Refused("no metadata")
    if not metadata.public_domain:
        raise Refused("not marked public domain")
    if metadata.linked_image:
        raise Refused("refers to an image that is missing")
    if excluded.is_excluded(path.rpartition(".")[0]):
        raise Refused("excluded by hand")


def survey(png: pathlib.Path, svg: pathlib.Path, threads: int) -> tuple[list[select.Drawing], dict[str, int]]:
    """All acceptable drawings in order of their paths, and how many were refused for which reason."""
    paths = sorted(p.relative_to(png).as_posix() for p in png.rglob("*.png"))
    if not paths:
        raise InputError(f"--png {png}: no PNG files there; name the png folder of the package openclipart-png")
    if not svg.is_dir():
        raise InputError(f"--svg {svg}: no such folder; name the svg folder of the package openclipart-svg")

    def attempt(job: tuple[str, str]) -> select.Drawing | str:
        try:
            return examine(png, svg, *job)
        except Refused as reason:
            return str(reason)

    found: list[select.Drawing] = []
    refused: collections.Counter[str] = collections.Counter()
    jobs = list(zip(paths, select.make_keys(paths), strict=True))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool, Progress("look", len(paths), "images") as progress:
        for result in pool.map(attempt, jobs):
            if isinstance(result, str):
                refused[result] += 1
            else:
                found.append(result)
            progress.advance()
    return found, dict(sorted(refused.items()))


def make_sample(png: pathlib.Path, drawing: select.Drawing, titles: frozenset[str], full: bool) -> tuple[bytes, bytes, float]:
    """The WebP file, the JSON file and the PSNR in dB of one drawing."""
    picture = pixels(png / drawing.path, FULL_SIDE if full else SIDES[0])
    if full:
        webp, quality = encode.encode(picture, FULL_PSNR)
    else:
        webp, quality = encode.encode_within(picture, SIDES, MAX_BYTES, MIN_PSNR)
    metadata = drawing.metadata
    fields = {
        "captions": captions.compose(drawing.path, metadata, titles, encode.is_colourless(picture)),
        "title": metadata.title,
        "keywords": metadata.keywords,
        "folder": drawing.folder,
        "author": metadata.author,
        "license": "public domain",
        "source": drawing.path,
    }
    return webp, json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(), quality


def write_tar(path: pathlib.Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Writes files `(name, content)` as a tar without times, owners or anything else that varies."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))


def build(png: pathlib.Path, svg: pathlib.Path, out: pathlib.Path, full: bool = False, threads: int = 2) -> dict[str, object]:
    """Writes the three tars and returns figures: counts, refusals, bytes, PSNR.

    Raises:
      InputError: a folder is missing, empty or not writable, or the package of the extra `clipart` is missing.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot write there ({error.strerror}); name a writable folder") from error
    drawings, refused = survey(png, svg, threads)
    splits = select.assign_splits(drawings)
    titles = captions.collection_titles((d.path, d.metadata) for d in drawings)
    chosen = list(range(len(drawings))) if full else select.choose(drawings, splits)
    figures: dict[str, object] = {"acceptable": len(drawings), "refused": refused}
    with concurrent.futures.ThreadPoolExecutor(threads) as pool, Progress("encode", len(chosen), "images") as progress:
        for split in select.SPLITS:
            members: list[tuple[str, bytes]] = []
            qualities, sizes = [], []
            mine = [drawings[i] for i in sorted(chosen, key=lambda i: drawings[i].key) if splits[i] == split]
            for drawing, (webp, text, quality) in zip(
                mine, pool.map(lambda d: make_sample(png, d, titles, full), mine), strict=True
            ):
                members += [(f"{drawing.key}.json", text), (f"{drawing.key}.webp", webp)]
                qualities.append(quality)
                sizes.append(len(webp))
                progress.advance()
            write_tar(out / f"{split}.tar", members)
            figures[split] = _figures(out / f"{split}.tar", qualities, sizes)
    return figures


def _figures(tar: pathlib.Path, qualities: Sequence[float], sizes: Sequence[int]) -> dict[str, float]:
    if not sizes:
        return {"images": 0, "tar_bytes": tar.stat().st_size}
    return {
        "images": len(sizes),
        "tar_bytes": tar.stat().st_size,
        "mean_webp_bytes": round(float(np.mean(sizes))),
        "lowest_psnr": round(min(qualities), 2),
        "median_psnr": round(float(np.median(qualities)), 2),
    }


def main(argv: Sequence[str]) -> int:
    """Runs the command with `argv` (without the program's name) and returns its exit code."""
    try:
        positional = FLAGS(["build", *argv])[1:]
        if len(positional) != 1:
            raise InputError("name one output folder: python -m ugf_jax.data.clipart.build [--full] OUT")
        figures = build(
            pathlib.Path(FLAGS.png), pathlib.Path(FLAGS.svg), pathlib.Path(positional[0]), FLAGS.full, FLAGS.threads
        )
    except (UgfError, flags.Error) as error:
        print(f"clipart build: {error}", file=sys.stderr)
        return 2
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
