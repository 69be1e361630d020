import io
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ugf_jax.cli import app, evaluate
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.evaluation import tasks


class MeanTokenizer:
    """One master code: the mean gray; one auxiliary code: the mean of each 8×8 block."""

    step, config, variables, canvas = 5, {"stage": "tokenizer"}, {"params": {"w": jnp.ones(3)}}, 8
    settings = types.SimpleNamespace(
        **{name: types.SimpleNamespace(quantizer=types.SimpleNamespace(codebook_size=256)) for name in ("master", "auxiliary")}
    )

    def digest(self):
        return "0" * 64

    def padded_shape(self, height, width):
        return -(-height // 8) * 8, -(-width // 8) * 8

    def encode(self, images, keep=None):
        b, h, w, _ = images.shape
        blocks = images.reshape(b, h // 8, 8, w // 8, 8, 3).mean(axis=(2, 4, 5)).round().astype(np.uint32)[..., None]
        kept = np.full(blocks.shape[1:3], keep is None or keep >= 1)
        return [ImageCodes(np.full((1, 1), v.mean(), np.uint32), (v,), (kept,), (h, w)) for v in blocks]

    def decode(self, codes, size, levels=None):
        blocks = [np.where(c.kept[0], c.auxiliary[0][..., 0], c.master) if levels != 0 else c.master for c in codes]
        full = [np.broadcast_to(v, c.kept[0].shape).repeat(8, 0).repeat(8, 1) for v, c in zip(blocks, codes, strict=True)]
        return np.stack(full).astype(np.uint8)[:, : size[0], : size[1], None].repeat(3, -1)

    def bits(self, codes):
        return {"master": 8.0, "auxiliary": 8.0 * codes.kept[0].sum()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    records = []
    for i, (height, width) in enumerate([(24, 24), (16, 40), (40, 16)]):
        ramp = np.linspace(0, 255, width).astype(np.uint8)[None, :, None].repeat(height, 0).repeat(3, 2)
        buffer = io.BytesIO()
        Image.fromarray(ramp).save(buffer, "PNG")
        records.append(Record(key=str(i), images=(buffer.getvalue(),), sizes=((height, width),)))
    return write_dataset(tmp_path_factory.mktemp("data") / "ramps", records)


@pytest.fixture
def workdir(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.ImageTokenizer, "load", lambda path, step=None: MeanTokenizer())
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    (tmp_path / "config.json").write_text(json.dumps({"evaluation": {"dataset": str(dataset.folder)}}))
    (tmp_path / "config.py").write_text("raise SystemExit('a checkpoint must not run code')")
    return tmp_path


def call(*argv):
    return app.call("evaluate", evaluate.__doc__, evaluate.FLAGS, evaluate.main, [*argv])


@pytest.fixture(autouse=True)
def fresh_flags():
    yield
    evaluate.FLAGS.unparse_flags()
    for name in evaluate.FLAGS:
        evaluate.FLAGS[name].unparse()


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("ugf evaluate: ")
    return error


def test_results_and_report_land_in_the_output_folder(workdir, capsys):
    assert call(f"--workdir={workdir}", "--tasks=reconstruction") == 0
    results = json.loads((workdir / "evaluation" / "results.json").read_text())
    full = results["reconstruction"]["full"]["psnr"]
    assert full["n"] == 3
    assert full["value"] > results["reconstruction"]["master"]["psnr"]["value"]
    assert results["run"]["command"] == f"ugf evaluate --workdir={workdir} --tasks=reconstruction"
    output = capsys.readouterr().out
    assert f"{full['value']:.2f}" in output
    assert str(workdir / "evaluation" / "report.html") in output
    assert (workdir / "evaluation" / "report.html").stat().st_size > 10_000


def test_data_limit_and_output_can_be_chosen(workdir, dataset, tmp_path):
    (workdir / "config.json").write_text("{}")
    other = tmp_path / "other"
    assert call(f"--workdir={workdir}", f"--data={dataset.folder}", "--limit=2", f"--output={other}") == 0
    assert json.loads((other / "results.json").read_text())["run"]["dataset"]["images"] == 2


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "--workdir=FOLDER is needed"),
        (["--workdir={w}", "extra"], "unexpected argument 'extra'"),
        (["--workdir={w}", "--tasks=fid"], "no task 'fid'; known: reconstruction"),
        (["--workdir={w}", "--tasks="], "--tasks is empty"),
        (["--workdir={w}", "--limit=0"], "limit"),
        (["--workdir={w}", "--limit=many"], "limit"),
        (["--workdir={w}", "--taks=reconstruction"], "taks"),
        (["--workdir={w}/nothing"], "no config.json in it"),
        (["--workdir={w}", "--data={w}/nothing"], "no such folder"),
        (["--workdir={w}", "--output={w}/config.json"], "--output"),
    ],
)
def test_wrong_calls_end_in_one_line(workdir, capsys, argv, expected):
    assert call(*(a.format(w=workdir) for a in argv)) == 2
    assert expected in one_line(capsys)


@pytest.mark.parametrize("text", ["{", "[]", '{"evaluation": {}}', '{"evaluation": {"dataset": ""}}'])
def test_a_config_without_data_is_named(workdir, capsys, text):
    (workdir / "config.json").write_text(text)
    assert call(f"--workdir={workdir}") == 2
    error = one_line(capsys)
    assert "config.json" in error
    assert "--data" in error


def test_help_teaches(capsys):
    assert call("--help") == 0
    shown = capsys.readouterr().out
    for word in ("reconstruction", "results.json", "report.html", "--limit", "samples.jsonl"):
        assert word in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--tasks=generation"], "--output=FOLDER is needed"),
        (["--tasks=generation", "--workdir=runs/x"], "--workdir: generation evaluates a model"),
        (["--tasks=generation", "--step=3", "--output={tmp}"], "--step: a model has one set of parameters"),
        (["--tasks=retrieval", "--model={tmp}", "--output={tmp}"], "--data=FOLDER is needed"),
        (["--tasks=generation", "--model={tmp}", "--output={tmp}"], "not a model"),
        (["--tasks=reconstruction", "--model={tmp}", "--workdir={tmp}"], "--model: reconstruction evaluates a training run"),
        (["--tasks=reconstruction,generation", "--model={tmp}"], "--workdir=FOLDER is needed"),
        (["--tasks=reconstruction,generation", "--workdir={tmp}"], "--output=FOLDER is needed"),
        (["--tasks=policy", "--output={tmp}"], "--feedback=FOLDER is needed"),
        (["--tasks=policy", "--feedback={tmp}", "--output={tmp}"], "--improved=FOLDER is needed"),
        (["--tasks=generation", "--improved={tmp}", "--output={tmp}"], "--improved: only the task policy looks at it"),
    ],
)
def test_what_a_model_needs_is_said_in_one_line(argv, message, tmp_path, capsys):
    assert call(*(a.replace("{tmp}", str(tmp_path)) for a in argv)) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_the_figures_of_another_evaluation_stand_beside(workdir, tmp_path, capsys):
    assert call(f"--workdir={workdir}", f"--output={tmp_path}/first") == 0
    assert call(f"--workdir={workdir}", f"--output={tmp_path}/second", f"--beside={tmp_path}/first/results.json") == 0
    page = (tmp_path / "second" / "report.html").read_text()
    assert "Figures of both" in page
    assert page.count("reconstruction: full") == 1
    assert call(f"--workdir={workdir}", f"--beside={workdir}/config.json") == 2
    assert "not a results.json" in capsys.readouterr().err
