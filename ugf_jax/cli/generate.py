"""ugf generate PROMPT...: draw images from text.

  ugf generate "a red circle above a blue square"
  ugf generate "two green stars" --size=640x384 --guidance=3 --count=4 --seed=7 --output=runs/stars
  ugf generate --prompts=prompts.txt --size=256x256,384x256 --model=models/small
  ugf generate "make the circle blue" --image=scene.png          edit an image (a model that was trained to)

A size is width x height in pixels, as image tools write it; any size will do, and the image has exactly that. Several sizes are
drawn for each prompt. Equal seeds draw equal images, whatever else is asked for in the same call.

The output folder receives
  NUMBER-SAMPLE-WIDTHxHEIGHT.png   one image each; prompt, seed and settings are kept in its PNG text fields
  ….master.png                     with --stages: what the master codes alone show, before details are added
  grid.png                         all images of up to 64, to look at
  results.json                     prompts, files, seeds, log-probabilities
"""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from absl import flags
from etils import epath
from PIL import Image, PngImagePlugin

import ugf_jax
from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.cli.prompts import parse_size, read_prompts
from ugf_jax.generation.defaults import GUIDANCE, TEMPERATURE
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.unified_model import ROWS, Drawing, UnifiedModel
from ugf_jax.json_files import write_json
from ugf_jax.progress import Progress

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "folder made by `ugf export`; by default the model that is shipped", flag_values=FLAGS)
flags.DEFINE_string("prompts", None, "text file with a prompt a line", flag_values=FLAGS)
flags.DEFINE_multi_string("image", [], "image that the prompt speaks of; give it again for several", flag_values=FLAGS)
flags.DEFINE_list("size", ["256x256"], "width x height in pixels; several, separated by commas", flag_values=FLAGS)
flags.DEFINE_integer("count", 1, "images of each prompt and size", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "prompt number n is drawn with seed + n", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_float("guidance", GUIDANCE, "how closely to follow the prompt; 1 for none", flag_values=FLAGS)
flags.DEFINE_float("temperature", TEMPERATURE, "of the master codes; 0 takes the likeliest", flag_values=FLAGS)
flags.DEFINE_integer("image_top_k", 0, "draw each code among so many; 0: among all", flag_values=FLAGS)
flags.DEFINE_float("image_top_p", 1.0, "draw each code among those that together have this probability", flag_values=FLAGS)
flags.DEFINE_bool("stages", False, "also save what the master codes alone show", flag_values=FLAGS)
flags.DEFINE_string("output", "generated", "folder for the images", flag_values=FLAGS)

GRID_IMAGES = 64


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Draws and saves."""
    prompts = read_prompts(positional, values.prompts)
    sizes = [parse_size(size) for size in values.size]
    how = config.parse(
        GenerationSettings,
        {
            "image": {"temperature": values.temperature, "top_k": values.image_top_k, "top_p": values.image_top_p},
            "guidance": values.guidance,
        },
        "flags",
    )
    model = UnifiedModel.load(values.model)
    output = app.output_folder(values.output, "--output")
    context = model.encode(values.image) if values.image else []
    images: list[np.ndarray] = []
    lines: list[dict[str, Any]] = []
    total = len(prompts) * len(sizes) * values.count
    progress = Progress("generate", total, "images")
    share = max(ROWS // values.count, 1)
    for size in sizes:
        for start in range(0, len(prompts), share):
            chunk = prompts[start : start + share]
            for i, drawings in enumerate(model.draw(chunk, size, values.seed + start, how, values.count, context)):
                for sample, drawing in enumerate(drawings):
                    line = describe(values, chunk[i], start + i, sample, size, drawing)
                    save(output, line, drawing, values.stages)
                    images.append(drawing.image)
                    lines.append(line)
            progress.show(len(lines), f"{len(lines)}/{total} images")
    progress.close()
    write_json(output / "results.json", {"generate": {"version": ugf_jax.__version__, "images": lines}})
    sheet = grid(images[:GRID_IMAGES], values.count)
    Image.fromarray(sheet).save(str(output / "grid.png"))
    print(f"{output}: {len(lines)} images, grid.png, results.json")


def describe(
    values: flags.FlagValues, prompt: str, number: int, sample: int, size: tuple[int, int], drawing: Drawing
) -> dict[str, Any]:
    """What made an image, as its file and results.json keep it."""
    return {
        "file": f"{number:04d}-{sample}-{size[1]}x{size[0]}.png",
        "prompt": prompt,
        "seed": values.seed + number,
        "sample": sample,
        "width": size[1],
        "height": size[0],
        "guidance": values.guidance,
        "temperature": values.temperature,
        "image_top_k": values.image_top_k,
        "image_top_p": values.image_top_p,
        "images": list(values.image),
        "model": values.model or "shipped",
        "log_probability": round(drawing.log_probability, 3),
    }


def save(output: epath.Path, line: dict[str, Any], drawing: Drawing, stages: bool) -> None:
    """Writes the image, and with `stages` what the master codes alone show."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("prompt", line["prompt"])
    info.add_itxt("ugf", json.dumps(line, ensure_ascii=False))
    pictures = {line["file"]: drawing.image}
    if stages:
        pictures[line["file"].replace(".png", ".master.png")] = drawing.master
    for name, picture in pictures.items():
        with (output / name).open("wb") as file:
            Image.fromarray(picture).save(file, "PNG", pnginfo=info)


def grid(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """All images on white, uint8 `[height, width, 3]`: rows of `columns`, or about square where that is 1."""
    columns = columns if columns > 1 else math.ceil(math.sqrt(len(images)))
    height, width = (max(image.shape[axis] for image in images) + 8 for axis in (0, 1))
    sheet = np.full((-(-len(images) // columns) * height, columns * width, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("generate", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
