"""ugf import SOURCE OUT: take over the weights of another project.

SOURCE is a folder in the layout of Hugging Face: Llama 2 or 3, Qwen 2.5, Qwen 3, Chameleon, Lumina-mGPT or UniToken. Which of
them it is, is told from its files. OUT becomes a model like those of `ugf export`:
  config.json         settings of every part, and the config.json of SOURCE
  model.safetensors   all parameters; shards and an index where they are many
  tokenizer.json      the text tokenizer, with what belongs to it
  README.md           the model card

A text model gets what images need: ids of codes and sizes, whose embeddings are the mean of all others, and cross-attention
into auxiliary memory, whose gates are 0: its logits stay what they were. Chameleon has ids of its own and gets nothing unless
--memory is given. Tensors are read one by one: a model may be larger than memory.

SOURCE may also be an image tokenizer alone, a file or a folder: the VQ-GAN of Chameleon with its decoder, VQ-16 of LlamaGen or
Janus. OUT becomes the work folder of a run of stage `tokenizer` at step 0, whose master tokenizer it is: of squares of --size
pixels. The auxiliary tokenizer beside it is new and paints nothing yet. --text_tokenizer names the tokenizer.json of the model
whose ids number the codes, where these are in another order.

  ugf import Llama-3.2-1B models/llama --dry-run
  ugf import Llama-3.2-1B models/llama --image_tokenizer=runs/tokenizer
  ugf train --config=experiments/imported.py:models/llama --workdir=runs/llama
  ugf import chameleon/vqgan.safetensors runs/chameleon --size=512
  ugf evaluate --workdir=runs/chameleon --tasks=reconstruction --data=data/pictures
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NoReturn

import jax
from absl import flags

from ugf_jax.cli import app
from ugf_jax.errors import InputError
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.interop import tokenizer_run, vqgan
from ugf_jax.interop.image_tokenizers import load_image_tokenizer
from ugf_jax.interop.importing import DTYPES, import_model
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import Source, open_source
from ugf_jax.interop.trunk import NAMES
from ugf_jax.interop.unitoken.weights import code_order, token_names
from ugf_jax.models.memory import MemorySettings

FLAGS = flags.FlagValues()
flags.DEFINE_bool("dry-run", False, "say what SOURCE is and what becomes of each tensor; write nothing", flag_values=FLAGS)
flags.DEFINE_enum("dtype", "", ["", *DTYPES], "in which weights are stored; empty: as in SOURCE", flag_values=FLAGS)
flags.DEFINE_string("vision", None, "folder of a SigLIP vision tower to look through", flag_values=FLAGS)
flags.DEFINE_string("text_tokenizer", "", "a tokenizer.json; empty: that of SOURCE", flag_values=FLAGS)
flags.DEFINE_integer("size", 512, "of an image tokenizer: pixels a side of what it codes", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("image_tokenizer", None, "work folder of the image tokenizer that it gets", flag_values=FLAGS)
flags.DEFINE_bool("memory", None, "give it auxiliary memory; default: text models only", flag_values=FLAGS)
flags.DEFINE_integer("cross_every", 0, "blocks between two looks at it; 0: as many as fit, at most 4", flag_values=FLAGS)
flags.DEFINE_integer("memory_width", MemorySettings().width, "features of a position of it", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of what is new", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Imports a model."""
    if len(positional) != 2 and not (values["dry-run"].value and len(positional) == 1):
        raise InputError(f"want SOURCE and OUT, got {len(positional)} arguments (see ugf import --help)")
    source = open_source(positional[0])
    if source.config.get("model_type") not in NAMES and vqgan.prefix_of(source) is not None:
        import_images(source, positional[1:], values)
        return
    if values["size"].present:
        raise InputError("--size is for an image tokenizer alone; leave it out")
    vision = open_source(values.vision) if values.vision else None
    images = ImageTokenizer.load(values.image_tokenizer) if values.image_tokenizer else None
    plan = plan_import(source, _additions(values, source.config.get("model_type") == "chameleon", images), vision)
    plan = plan.with_images(images) if images else plan
    print(f"{source.path}: {plan.what}")
    plan.check()
    if values["dry-run"].value:
        print("\n".join(plan.table()))
        return
    import_model(plan, positional[1], values.dtype, values.text_tokenizer, values.seed)
    size = sum(file.stat().st_size for file in pathlib.Path(positional[1]).glob("*.safetensors"))
    print(f"{positional[1]}: {size / 1e6:.1f} MB, {len(plan.new)} of {len(plan.shapes)} parameters new")


def import_images(source: Source, out: Sequence[str], values: flags.FlagValues) -> None:
    """Imports an image tokenizer."""
    for name in ("dtype", "vision", "image_tokenizer", "memory", "memory_width", "cross_every"):
        if values[name].present:
            raise InputError(f"--{name}: {source.path} is an image tokenizer alone; leave the flag out")
    order = code_order(token_names(pathlib.Path(values.text_tokenizer))) if values.text_tokenizer else ()
    imported = load_image_tokenizer(source, order=order)
    print(f"{source.path}: {tokenizer_run.describe(imported)}")
    if values["dry-run"].value:
        print("\n".join(tokenizer_run.table(source)))
        return
    tokenizer_run.import_image_tokenizer(imported, out[0], values.size, values.seed)
    print(f"{out[0]}: a run of stage tokenizer at step 0")


def _additions(values: flags.FlagValues, chameleon: bool, images: ImageTokenizer | None) -> Additions | None:
    """What the flags ask for; None where Chameleon stays as it is."""
    wanted = not chameleon if values.memory is None else values.memory
    for name in ("cross_every", "memory_width"):
        if not wanted and values[name].present:
            raise InputError(f"--{name} without memory; leave it out, or add --memory")
    if chameleon and not wanted:
        return None
    memory = MemorySettings(width=values.memory_width)
    memory.validate("--memory")
    known = Additions(memory=memory if wanted else None, cross_every=values.cross_every)
    if images is None:
        return known
    tokenizer, auxiliary = images.settings, images.settings.auxiliary
    codes = auxiliary.quantizer.codebook_size
    memory = dataclasses.replace(memory, groups=auxiliary.groups, codes=codes, levels=auxiliary.levels)
    return Additions(
        codes=tokenizer.master.quantizer.codebook_size,
        memory=memory if wanted else None,
        cross_every=values.cross_every,
        grid=tokenizer.master.grid,
    )


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    jax.config.update("jax_platforms", "cpu")  # files to files: no accelerator is wanted
    app.run("import", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
