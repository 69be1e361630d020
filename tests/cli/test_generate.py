"""`ugf generate` as its users type it."""

import json

import numpy as np
import pytest
from PIL import Image

from ugf_jax.cli import app, generate


def call(*arguments):
    generate.FLAGS.unparse_flags()
    for name in generate.FLAGS:
        generate.FLAGS[name].unparse()
    return app.call("generate", generate.__doc__, generate.FLAGS, generate.main, list(arguments))


def test_images_of_every_prompt_size_and_sample_are_saved_with_what_made_them(tiny_model, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\n\nzwei blaue Sterne ä\n")
    output = tmp_path / "out"
    arguments = [f"--prompts={prompts}", f"--model={tiny_model}", f"--output={output}", "--size=16x16,24x9", "--count=2"]
    assert call(*arguments, "--stages", "--seed=5", "--guidance=2") == 0
    lines = json.loads((output / "results.json").read_text())["generate"]["images"]
    assert len(lines) == 2 * 2 * 2
    for line in lines:
        image = Image.open(output / line["file"])
        assert image.size == (line["width"], line["height"])
        assert image.text["prompt"] == line["prompt"]
        assert json.loads(image.text["ugf"]) == line
        assert Image.open(output / line["file"].replace(".png", ".master.png")).size == image.size
    assert {(line["width"], line["height"]) for line in lines} == {(16, 16), (24, 9)}
    assert {(line["prompt"], line["seed"]) for line in lines} == {("a red circle", 5), ("zwei blaue Sterne ä", 6)}
    assert (output / "grid.png").exists()
    assert "8 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "want a prompt such as"),
        (["a", "--prompts=b.txt"], "--prompts=b.txt and prompt 'a' are both given"),
        (["--prompts=none.txt"], "--prompts none.txt: cannot be read"),
        ([" "], "an empty prompt"),
        (["a", "--size=16"], "--size is '16'; want WIDTHxHEIGHT"),
        (["a", "--size=0x16"], "--size is '0x16'"),
        (["a", "--size=99999x16"], "--size is '99999x16'"),
        (["a", "--guidance=0"], "flags.guidance is 0.0; want it greater than 0"),
        (["a", "--image_top_p=2"], "flags.image.top_p is 2.0"),
        (["a", "--guidence=2"], "guidence"),
        (["a", "--model=nowhere"], "nowhere: not a model (no config.json)"),
        (["a", "--image=none.png"], "none.png: cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not any(a.startswith("--model") for a in arguments):
        arguments = [*arguments, f"--model={tiny_model}"]
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_the_sheet_holds_images_of_any_sizes():
    images = [np.full((h, w, 3), 10 * i, np.uint8) for i, (h, w) in enumerate([(4, 9), (8, 3), (5, 5)])]
    sheet = generate.grid(images, 1)
    assert sheet.shape == (2 * 16, 2 * 17, 3)
    for i, (top, left) in enumerate([(0, 0), (0, 17), (16, 0)]):
        np.testing.assert_array_equal(sheet[top : top + images[i].shape[0], left : left + images[i].shape[1]], images[i])
    assert generate.grid(images, 3).shape[1] == 3 * 17
