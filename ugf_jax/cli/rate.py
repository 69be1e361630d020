"""ugf rate: let a program compare pictures of a model, to make preferences without people.

  ugf rate --prompts=shapes:train:300 --samples=8 --error_rate=0.2 --output=data/rated
  ugf train --config=experiments/small_reward.py:data/rated --workdir=runs/reward

The model draws pictures of each prompt; of two pictures the program prefers the one that shows more of what the prompt of
`shapes` asks for, and errs as often as it is told to, so that a reward model can be held against what it was made from.

The output folder receives the datasets train, validation and test, split by prompt, with the codes that were drawn: what the
stages `reward` and `rlhf` (algorithm dpo) read. Given again the same command finds them there and changes nothing.
"""

import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import NoReturn

from absl import flags
from etils import epath

from ugf_jax.cli import app
from ugf_jax.cli.prompts import parse_size
from ugf_jax.data.records import Record
from ugf_jax.errors import InputError
from ugf_jax.feedback.drawn import Rater, judged_drawings, write_rated
from ugf_jax.feedback.rlhf.prompts import ENDLESS, open_prompts
from ugf_jax.generation.unified_model import ROWS, SHIPPED, UnifiedModel
from ugf_jax.json_files import write_json
from ugf_jax.progress import Progress
from ugf_jax.training.bundle import digest, read_settings

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "folder made by `ugf export`; by default the model that is shipped", flag_values=FLAGS)
flags.DEFINE_string("prompts", "shapes:train:300", "shapes:SPLIT:COUNT", flag_values=FLAGS)
flags.DEFINE_integer("samples", 4, "pictures of each prompt", lower_bound=2, flag_values=FLAGS)
flags.DEFINE_integer("pairs", 0, "of these that are compared, different scores first; 0: all", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_float("error_rate", 0.0, "share of preferences that name the loser", 0.0, 1.0, flag_values=FLAGS)
flags.DEFINE_string("size", "256x256", "width x height in pixels", flag_values=FLAGS)
flags.DEFINE_float("guidance", 1.0, "as in `ugf generate`; 1 for none", flag_values=FLAGS)
flags.DEFINE_bool(
    "details", True, "compare pictures with their details; --nodetails: what master codes show", flag_values=FLAGS
)
flags.DEFINE_integer("seed", 0, "of the pictures and of the errors", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("output", "rated", "folder for the datasets", flag_values=FLAGS)

ASKED = ("prompts", "samples", "pairs", "error_rate", "size", "guidance", "details", "seed")
SETTINGS = "rated.json"


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Draws, compares and writes."""
    if positional:
        raise InputError(f"'{positional[0]}': no arguments are wanted beside flags (see ugf rate --help)")
    size = parse_size(values.size)
    source = open_prompts(values.prompts, "--prompts")
    if source.count == ENDLESS:
        raise InputError(f"--prompts is '{values.prompts}'; want a number of them, such as {values.prompts}:300")
    folder = pathlib.Path(values.output)
    read_settings(values.model or SHIPPED)  # says what is wrong with a folder that is no model
    identity = {name: values[name].value for name in ASKED} | {"model": digest(epath.Path(values.model or SHIPPED))}
    if folder.exists() and any(folder.iterdir()):
        check_same(folder, identity)
        print(f"{folder}: complete; nothing to do")
        return
    prompts = [source[number] for number in range(source.count)]
    model = UnifiedModel.load(values.model)
    rater = Rater(values.samples, values.pairs, values.error_rate, values.details, values.seed)
    records: list[Record] = []
    progress = Progress("rate", len(prompts), "prompts")
    share = max(ROWS // rater.samples, 1)
    for start in range(0, len(prompts), share):
        records += judged_drawings(model, prompts[start : start + share], size, rater, values.guidance, start)
        progress.show(min(start + share, len(prompts)), f"{len(records)} prompts with different pictures")
    progress.close()
    # Under another name until it is whole, so that a stopped run leaves nothing that looks like a result.
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    counts = write_rated(partial, model, values.model or SHIPPED, records)
    write_json(partial / SETTINGS, identity)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    print(f"{folder}: {', '.join(f'{split} {count} pairs' for split, count in counts.items())}")


def check_same(folder: pathlib.Path, identity: dict[str, object]) -> None:
    """Refuses a folder that holds anything but the same preferences.

    Raises:
      InputError: it was made otherwise, or by something else.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError):
        raise InputError(f"--output {folder}: is there already, and not from ugf rate; name a new folder") from None
    for name, value in identity.items():
        if found.get(name) != value:
            raise InputError(f"--output {folder}: made with --{name}={found.get(name)}, now {value}; name a new folder")


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("rate", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
