"""The original's interface: its README's example runs with the import changed, and does more than the original can."""

import numpy as np
import pytest
from PIL import Image

from ugf_jax.errors import InputError
from ugf_jax.interop.unitoken import Solver as FlexARInferenceSolverAnyRes
from ugf_jax.interop.unitoken.solver import TextStreamer


@pytest.fixture(scope="module")
def solver(folder):
    return FlexARInferenceSolverAnyRes(model_path=str(folder), precision="fp32", target_size=8)


def picture(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


def test_an_image_is_generated_as_in_the_readme(solver):
    generated = solver.generate_img(
        images=[],
        qas=[["a big cat", None]],
        max_gen_len=1536,
        temperature=1.0,
        logits_processor=solver.create_logits_processor(cfg=3.0, image_top_k=4),
    )
    a1, new_image = generated[0], generated[1][0]
    assert a1 == "<|image|>"
    assert new_image.size == (8, 8)


def test_an_image_is_understood_as_in_the_readme(solver):
    images = [picture(50, 70).convert("RGB")]
    answers = [
        solver.generate(
            images=images,
            qas=[["<|image|>a cab", None]],
            max_gen_len=12,
            temperature=1.0,
            logits_processor=solver.create_logits_processor(cfg=4.0, image_top_k=2000),
        )
        for _ in range(2)
    ]
    assert answers[0][0] == answers[1][0]  # the likeliest tokens, whatever the seed


def test_streamed_tokens_are_those_of_the_answer(solver, capsys):
    class Told:
        ids, ended = (), False

        def put(self, value):
            self.ids += tuple(value)

        def end(self):
            self.ended = True

    told = Told()
    text, images = solver.generate([], [["a", None]], 9, 1.0, streamer=told)
    assert told.ended
    assert solver.decode_ids(told.ids) == (text, images)
    printer = solver.get_streamer()
    assert isinstance(printer, TextStreamer)
    printer.put([34, 35])
    printer.end()
    assert capsys.readouterr().out == "ab\n"


def test_several_images_a_prompt_and_several_answers(solver):
    pictures = [picture(40, 40), picture(30, 90)]
    found = solver.generate_img(pictures, [["a <|image|> or <|image|>", None]], 99, 1.0, num_return_sequences=2)
    assert [text for text, _ in found] == ["<|image|>"] * 2
    first, second = (np.asarray(images[0]) for _, images in found)
    assert (first != second).any()
    grid = solver.create_image_grid([found[0][1][0], found[1][1][0]], 1, 2)
    assert (np.asarray(grid) == np.concatenate([first, second], axis=1)).all()


def test_images_are_decoded_from_tokens(solver):
    line = [4, 5, 6, 7, 24]
    image = solver.decode_image([27, 27, *line * 4])
    assert image == solver.decode_image([21, 27, 27, *line * 4, 20])
    text, images = solver.decode_ids([34, 21, 27, 27, *line * 4, 20, 35, 23])
    assert (text, images) == ("a<|image|>b", [image])
    with pytest.raises(InputError, match="no image"):
        solver.decode_image([27, 27, *line])


def test_what_is_wrong_is_said(solver, folder):
    with pytest.raises(InputError, match="precision is 'int8'; want one of bf16, fp32, tf32"):
        FlexARInferenceSolverAnyRes(str(folder), "int8")
    with pytest.raises(InputError, match=r"1 <\|image\|> for 2 images"):
        solver.generate([picture(9, 9)] * 2, [["<|image|>", None]], 5, 1.0)
    assert FlexARInferenceSolverAnyRes.get_args_parser().parse_args([]).precision == "bf16"
