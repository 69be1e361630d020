"""`ugf inspect RUN` as its users type it."""

import json

from ugf_jax.cli import app, inspect
from ugf_jax.training.goodput import Goodput


def call(*argv):
    inspect.FLAGS.unparse_flags()
    for name in inspect.FLAGS:
        inspect.FLAGS[name].unparse()
    return app.call("inspect", inspect.__doc__, inspect.FLAGS, inspect.main, [str(a) for a in argv])


def test_a_run_is_told_without_changing_it(tmp_path, capsys):
    run = tmp_path / "run"
    (run / "checkpoints" / "40").mkdir(parents=True)
    (run / "checkpoints" / "40.tmp").mkdir()
    first = Goodput(run)
    first.resumed(0)
    first.ready(1, {"imports": 1.5, "compile": 21.25})
    first.mark(50, saved=True)
    second = Goodput(run)
    second.resumed(40)
    second.stop("hung: step", 45)
    (run / "stacks-0.txt").write_text("hung")
    (run / "metrics.jsonl").write_text('{"step": 40, "loss": 1.5}\n{"step": 40, "kind": "validation", "psnr": 20.25}\n')
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert call(run, f"--output={tmp_path / 'out'}") == 0
    out = capsys.readouterr().out
    for words in (
        "2 starts, 45 steps",
        "killed",
        "hung: step",
        "Seconds to the end of the first step",
        "22.8",
        "checkpoints: 40\n",
        "stacks-0.txt",
        "train at step 40: loss 1.5",
    ):
        assert words in out
    assert "validation at step 40: psnr 20.25" in out
    starts = json.loads((tmp_path / "out" / "results.json").read_text())["inspect"]["starts"]
    assert [s["start_up"] for s in starts] == [{"imports": 1.5, "compile": 21.25}, {}]
    assert [(s["from"], s["to"], s["cause"], s["lost"]) for s in starts] == [(0, 50, "killed", 10), (40, 45, "hung: step", 0)]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_documents_of_a_run_are_refused(tmp_path, capsys):
    Goodput(tmp_path).resumed(0)
    assert call(tmp_path, "--documents=2") == 2
    assert "is a training run; name a prepared dataset" in capsys.readouterr().err
