import html.parser
import re

import pytest

from ugf_jax.evaluation import report
from ugf_jax.evaluation.gallery import Picture

RUN = {
    "command": "ugf evaluate --workdir='a b'",
    "tasks": {"reconstruction": 1},
    "checkpoint": {"workdir": "runs/demo", "step": 1234, "fingerprint": "f" * 64},
    "dataset": {"folder": "data/<test>", "fingerprint": "d" * 64, "images": 77},
    "device": "1 × cpu",
    "versions": {"jax": "9.9"},
}
VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Checks nesting and collects what a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.tags, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path):
    picture = Picture("original", "data:image/webp;base64,AAAA", 30, 20, "a note")
    section = report.Section(
        "Part & parcel",
        "An introduction",
        [report.Card("PSNR", "20.5", "± 0.1 dB", "a remark")],
        [report.Plot("Loss", '<svg viewBox="0 0 1 1"></svg>', "how to read it")],
        [report.Table("Table", ("", "value"), [("<script>alert(1)</script>", "3")], "below")],
        "a gallery",
        [report.Exhibit("4:3", "median <b>", [picture])],
    )
    path = tmp_path / "report.html"
    report.write_report(path, "Evaluation of demo", [section, report.Section("Empty")], RUN, {"model": {"width": 64}})
    return path.read_text(encoding="utf-8")


def test_page_is_whole_needs_nothing_else_and_runs_nothing(page):
    parsed = Page(page)
    assert page.startswith("<!doctype html>")
    assert parsed.loaded == ["data:image/webp;base64,AAAA"]
    assert not {"script", "link", "iframe", "base"} & set(parsed.tags)
    assert not re.search(r"url\(|@import|https?:", page)


def test_everything_given_is_shown_and_escaped(page):
    text = Page(page).text
    for shown in (
        "Evaluation of demo", "Part & parcel", "An introduction", "20.5", "± 0.1 dB", "a remark", "Loss", "how to read it",
        "<script>alert(1)</script>", "below", "a gallery", "4:3", "median <b>", "a note", "1234", "runs/demo", "data/<test>",
        "77", "ugf evaluate --workdir='a b'", "jax 9.9", "reconstruction (version 1)", '"width": 64', "Empty",
    ):  # fmt: skip
        assert shown in text, shown


def test_writing_replaces_the_page_whole(page, tmp_path):
    report.write_report(tmp_path / "report.html", "Again", [], RUN, {})
    assert "Again" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
