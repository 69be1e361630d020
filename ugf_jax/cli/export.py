"""ugf export RUN OUT: put a trained model into one folder that can be given away.

RUN is the work folder of a run of stage `unified`; or of stage `rlhf` or `unitoken`: then all but the transformer is that of
the model it started from. OUT receives
  config.json         settings of every part
  model.safetensors   all parameters, without the state of the optimizer
  tokenizer.json      the text tokenizer
  README.md           the model card; write into it what the model can do and what it must not be used for

With --format=hf OUT is what the library transformers loads, with equal logits: safetensors, config.json and tokenizer in the
layout of Llama, Qwen 2.5, Qwen 3 or Chameleon with UniToken's vision tower. RUN may be a model of `ugf import` or `ugf export`
then; of a run the complete model is in OUT/native. What transformers does not know, auxiliary memory, is left behind, and
refused where the model uses it.

Given again with the same runs the command changes nothing; a folder with another model is refused.

  ugf export runs/small_unified models/small --tokenizer=runs/small_tokenizer --detail=runs/small_detail --dtype=float16
  ugf export runs/ppo models/ppo
  ugf export models/llama models/llama_hf --format=hf
  ugf export runs/unitoken_stage3 models/unitoken_hf --format=hf
  ugf generate "a red circle" --model=models/small
"""

import json
import pathlib
from collections.abc import Sequence
from typing import NoReturn

from absl import flags

from ugf_jax.cli import app
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.export import export_policy
from ugf_jax.generation.export import export
from ugf_jax.interop.exporting import export_hf
from ugf_jax.interop.unitoken.export import STAGE, export_unitoken
from ugf_jax.training.bundle import CONFIG, WEIGHTS, is_bundle

FLAGS = flags.FlagValues()
flags.DEFINE_string("tokenizer", None, "work folder of the image tokenizer that the data were coded with", flag_values=FLAGS)
flags.DEFINE_string("detail", None, "work folder of a detail run; without one pictures are the master's", flag_values=FLAGS)
flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "in which parameters are stored", flag_values=FLAGS)
flags.DEFINE_enum("format", "native", ["native", "hf"], "hf: for the library transformers", flag_values=FLAGS)
flags.DEFINE_string("base", None, "of a run of stage unitoken: the imported model it began with", flag_values=FLAGS)
flags.DEFINE_string("card", None, "Markdown file to use as the model card", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Exports a model."""
    if len(positional) != 2:
        raise InputError(f"want RUN and OUT, got {len(positional)} arguments (see ugf export --help)")
    run, out = positional
    if values.format == "hf" and is_bundle(run):
        to_transformers(run, out, values.dtype if values["dtype"].present else "")
        return
    if values.format == "hf":
        if (pathlib.Path(out) / CONFIG).exists():
            raise InputError(f"OUT {out}: holds a model already; name another folder or delete it")
        native = str(pathlib.Path(out) / "native")
        to_native(run, native, values)
        to_transformers(native, out, "")
        return
    to_native(run, out, values)


def to_transformers(model: str, out: str, dtype: str) -> None:
    """Writes a model in the layout of Hugging Face, and says what is not in it."""
    left = export_hf(model, out, dtype)
    size = sum(file.stat().st_size for file in pathlib.Path(out).glob("*.safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB for transformers" + (f"; left behind: {', '.join(left)}" if left else ""))


def to_native(run: str, out: str, values: flags.FlagValues) -> None:
    """Puts the parts of a run together."""
    stage = stage_of(run)
    complete = stage in ("rlhf", STAGE)
    if not values.tokenizer and not complete:
        raise InputError("--tokenizer=RUN is needed: the work folder of the tokenizer that the data were coded with")
    for name in ("tokenizer", "detail", "card"):
        if complete and values[name].value:
            raise InputError(f"--{name}: {run} is a run of stage {stage}, whose model has one; leave the flag out")
    if values.base and stage != STAGE:
        raise InputError(f"--base is for runs of stage {STAGE}; leave it out")
    folder = pathlib.Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"OUT {folder}: a file is there; name a folder")
    card = ""
    if values.card:
        path = pathlib.Path(values.card)
        if not path.is_file():
            raise InputError(f"--card: {path}: no such file")
        card = path.read_text(encoding="utf-8")
    if stage == "rlhf":
        settings = export_policy(run, folder, values.dtype)
    elif stage == STAGE:
        settings = export_unitoken(run, folder, values.base or "", values.dtype)
    else:
        settings = export(run, values.tokenizer, values.detail, folder, values.dtype, card)
    megabytes = (folder / WEIGHTS).stat().st_size / 1e6
    print(f"{folder}: {megabytes:.1f} MB, training steps {settings.steps}")


def stage_of(run: str) -> str:
    """The stage of a run; "" where there is none."""
    try:
        found = json.loads((pathlib.Path(run) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # `export` says what is wrong with it
    return str(found.get("stage", "")) if isinstance(found, dict) else ""


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("export", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
