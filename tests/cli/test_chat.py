"""`ugf chat`: one question, and a session fed by a pipe."""

import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.cli import app, chat


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)).save(path)
    return path


def call(*arguments):
    chat.FLAGS.unparse_flags()
    for name in chat.FLAGS:
        chat.FLAGS[name].unparse()
    return app.call("chat", chat.__doc__, chat.FLAGS, chat.main, list(arguments))


def test_a_question_gets_an_answer(tiny_model, picture, capsys):
    assert call("What is it?", f"--image={picture}", f"--model={tiny_model}", "--max_tokens=4") == 0
    assert capsys.readouterr().out.endswith("\n")


def test_a_session_draws_looks_and_keeps_what_was_said(tiny_model, picture, tmp_path, capsys, monkeypatch):
    lines = f"/image {picture}\nwhat?\n/size 24x16\ndraw a red thing\nand now?\n/new\nhello\n/quit\nnever read\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert call(f"--model={tiny_model}", f"--output={tmp_path / 'kept'}", "--max_tokens=3") == 0
    out = capsys.readouterr().out
    assert Image.open(tmp_path / "kept" / "drawing-001.png").size == (24, 16)
    assert "drawing-001.png (24x16), image 2 of this conversation" in out
    assert "image 1:" in out
    kept = (tmp_path / "kept" / "chat.txt").read_text()
    assert kept.startswith("you: hello\nmodel: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/picture a.png", "'/picture' is no command"),
        ("/image none.png", "none.png: cannot be read"),
        ("/size big", "--size is 'big'"),
    ],
)
def test_a_mistake_in_a_pipe_ends_it_with_one_line(line, message, tiny_model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))
    assert call(f"--model={tiny_model}") == 2
    assert message in capsys.readouterr().err


def test_two_questions_are_one_too_many(tiny_model, capsys):
    assert call("a", "b", f"--model={tiny_model}") == 2
    assert "2 questions; want one, in quotes" in capsys.readouterr().err
