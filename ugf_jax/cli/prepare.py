"""ugf prepare SOURCE OUT: bring images and text of any layout into one fast format.

SOURCE is one of
  FOLDER              images, with NAME.txt or NAME.json beside them, or a metadata.jsonl / captions.jsonl
  FILE.json           UniToken conversations: [{"conversations": [{"from", "value"}], "image": [paths]}]
  FILE.tar, 'X/*.tar' WebDataset shards (streamed, never extracted), or a folder of them
  FILE.parquet        Parquet as Hugging Face writes it, or a folder of it
  NAME or FOLDER      a TFDS dataset stored as ArrayRecord
  clipart             1,500 real drawings that come with this package
  shapes:N            N drawn scenes with captions, questions and scene graphs (shapes:N@1024: of 1,024 pixels instead of 256)
  aligned:N           such scenes with every object where patches of the master meet: easier to learn to draw
  crowd:N             pictures full of such objects, without words: for image tokenizers
  tinted:N            aligned scenes in twenty colours more: teaches that any shape has any colour
  fine:N              scenes with small letters, thin outlines and dots, and questions about them (fine:N@1024 likewise)
  busy:N              pictures full of objects with such details, and what is where: teaches to see (busy:N@1024 likewise)
  edits:N             pairs of scenes with an instruction that leads from the first to the second
or one of these, preferences between images of one prompt:
  pickapic:PATH       Pick-a-Pic v1 or v2, Parquet          hpdv2:FOLDER, hpdv3:FOLDER   Human Preference Dataset
  imagereward:FOLDER  ImageRewardDB                         labelstudio:FILE.json        an export of Label Studio (JSON)
  votes:FILE.jsonl    votes of ugf label

OUT becomes ArrayRecord shards, index.arrow, lengths-….arrow (tokens of every text, counted with the shipped text tokenizer or
--text_tokenizer), manifest.json and quarantine.jsonl (every image that was refused, and why). A source with splits gives
OUT/train, OUT/validation and so on; OUT may be gs://BUCKET/…. Every image is decoded once to see that it is whole; its bytes
are kept as they are unless --max_side asks for a resize. Stopped at any moment, the same command continues; when all is done,
it changes nothing. With another --text_tokenizer it only counts the tokens again. With --beam the workers of an Apache Beam
pipeline do the work, on whatever cluster its options name; source and OUT must be where all of them see it.

  ugf prepare clipart data/clipart
  ugf prepare shapes:10000 data/shapes
  ugf prepare ~/pictures data/pictures --max_side=1024 --workers=8
  ugf prepare 'shards/*.tar' data/web --max_pixels=30000000
  ugf prepare ~/pictures data/coded --tokenize=runs/clipart --drop_pixels   codes of a trained tokenizer, no pixels
  ugf prepare votes:runs/study/votes.jsonl data/votes --tokenize=runs/clipart   our own preferences, for a reward model
  ugf prepare '/mnt/raw/*.tar' gs://ours/web --beam='--runner=FlinkRunner --flink_master=flink:8081'
  ugf prepare shapes:9000@384 data/large --tokenize=runs/clipart --scales=384 --max_stretch=0.05   many shapes of grids
"""

import pathlib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from absl import flags

from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.data.parts import PrepareSettings
from ugf_jax.data.prepare import Prepared, Runner, prepare
from ugf_jax.data.sources import Source, open_sources
from ugf_jax.data.stores import as_path, is_remote
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.workers import available_cores, run_all
from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json

if TYPE_CHECKING:
    from ugf_jax.generation.stored_codes import CodeWriter

FLAGS = flags.FlagValues()
flags.DEFINE_integer("workers", 0, "processes; 0 takes all cores", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("split", None, "prepare only this split of a source that has splits", flag_values=FLAGS)
flags.DEFINE_string("image_root", None, "folder that paths in conversations or preferences are relative to", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "where TFDS datasets lie (default: $TFDS_DATA_DIR)", flag_values=FLAGS)
flags.DEFINE_string("tokenize", None, "work folder of a trained tokenizer: store its codes of every image", flag_values=FLAGS)
flags.DEFINE_bool("drop_pixels", False, "with --tokenize: store the codes only", flag_values=FLAGS)
flags.DEFINE_list("scales", [], "with --tokenize: code images at buckets of these sides, in pixels", flag_values=FLAGS)
flags.DEFINE_float(
    "max_stretch", None, "with --tokenize: less means more bucket shapes", lower_bound=0, upper_bound=1, flag_values=FLAGS
)
flags.DEFINE_float(
    "keep",
    None,
    "with --tokenize: share of auxiliary positions that get codes; 0: master codes alone, for drawing only, and fast",
    lower_bound=0,
    upper_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "beam", None, "options of Apache Beam, whose workers then write, e.g. '--runner=FlinkRunner'", flag_values=FLAGS
)
flags.DEFINE_string("text_tokenizer", "", "tokenizer.json that counts tokens (default: the shipped one)", flag_values=FLAGS)
for _field in PrepareSettings.__dataclass_fields__.values():
    _define: Any = flags.DEFINE_float if _field.type is float else flags.DEFINE_integer
    _define(_field.name, _field.default, _field.metadata["doc"], flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Prepares every split of the source."""
    if len(positional) != 2:
        raise InputError(f"want SOURCE and OUT, got {len(positional)} arguments (see ugf prepare --help)")
    name, out = positional
    settings = config.parse(PrepareSettings, {f: getattr(values, f) for f in PrepareSettings.__dataclass_fields__}, "flag")
    sources = open_sources(name, values.split, values.image_root, values.data_dir)
    _check_apart(name, out)
    TextTokenizer.load(values.text_tokenizer)  # a file that is none is refused before a folder is made
    run = _runner(values)
    writer = _code_writer(values)
    app.output_folder(out, "OUT")
    folder = as_path(out)
    results: dict[str, Any] = {}
    for split, source in sources.items():
        workers = values.workers or available_cores()
        results[split or "all"] = _prepare(source, folder / split, settings, workers, writer, values.text_tokenizer, run)
    if not all(r.pop("was_complete") for r in results.values()):
        write_json(folder / "results.json", {"prepare": results})


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("prepare", __doc__, FLAGS, main, argv)


def _code_writer(values: flags.FlagValues) -> "CodeWriter | None":
    if values.tokenize is None:
        if values.drop_pixels:
            raise InputError("--drop_pixels needs --tokenize: a record without pixels and codes holds no image")
        if values.scales or values.max_stretch is not None:
            raise InputError("--scales and --max_stretch need --tokenize: without codes images keep their sizes")
        if values.keep is not None:
            raise InputError("--keep needs --tokenize: without codes there is nothing to leave out")
        return None
    if not all(v.strip().isdecimal() and int(v) for v in values.scales):
        raise InputError(f"--scales is {','.join(values.scales)!r}; want whole numbers such as 192,256")
    from ugf_jax.generation.stored_codes import CodeWriter  # JAX is loaded only where it is needed

    return CodeWriter(values.tokenize, values.drop_pixels, tuple(map(int, values.scales)), values.max_stretch, values.keep)


def _runner(values: flags.FlagValues) -> Runner:
    if values.beam is None:
        return run_all
    if values.tokenize is not None:
        raise InputError("--beam and --tokenize do not go together: coding images needs the accelerator of this machine")
    from ugf_jax.data.beam_prepare import BeamRunner  # an extra

    return BeamRunner(shlex.split(values.beam))


def _prepare(
    source: Source,
    folder: pathlib.Path,
    settings: PrepareSettings,
    workers: int,
    writer: "CodeWriter | None",
    text: str,
    run: Runner,
) -> dict[str, Any]:
    identity = writer.identity if writer else None
    done = prepare(source, folder, settings, workers, writer, identity, f"prepare {folder.name}", text, run)
    print(_summary(folder, done))
    counts = done.manifest["quarantine"]
    return {
        "folder": str(folder),
        "records": done.manifest["records"],
        "images": done.manifest["images"],
        **({"pairs": done.manifest["pairs"]} if "pairs" in done.manifest else {}),
        "refused_images": counts["images"],
        "dropped_records": counts["records"],
        "reasons": counts["reasons"],
        "seconds": round(done.seconds, 3),
        "examples_per_second": round(done.examples / done.seconds, 2) if done.seconds else 0.0,
        "was_complete": done.was_complete,
    }


def _summary(folder: pathlib.Path, done: Prepared) -> str:
    """`data/x: 6,512 records, 6,512 images; refused 3 images (3 too many pixels, see quarantine.jsonl) · 41.0 examples/s`."""
    counts = done.manifest["quarantine"]
    text = f"{folder}: {done.manifest['records']:,} records, {done.manifest['images']:,} images"
    if "pairs" in done.manifest:
        text += f", {done.manifest['pairs']:,} preferences"
    if counts["reasons"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["reasons"].items())
        what = f"{sum(counts['reasons'].values()):,} rows or" if "pairs" in done.manifest else f"{counts['images']:,}"
        text += f"; refused {what} images ({reasons}; see {folder / 'quarantine.jsonl'})"
    if done.was_complete:
        return text + "; complete, nothing to do"
    return text + f"; {done.examples / max(done.seconds, 1e-9):.1f} examples/s"


def _check_apart(source: str, out: str) -> None:
    """Refuses an output folder within the source: the next run would read what this one wrote."""
    place = pathlib.Path(source)
    if place.is_dir() and not is_remote(out) and pathlib.Path(out).resolve().is_relative_to(place.resolve()):
        raise InputError(f"OUT {out}: lies inside the source; name a folder outside {source}")


if __name__ == "__main__":
    run()
