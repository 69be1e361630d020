"""UniToken's JSON: conversations with exactly as many marks as images, and images only from inside the root."""

import json

import pytest

from ugf_jax.data.sources.conversations import ConversationSource
from ugf_jax.errors import InputError


def ask(text):
    return [{"from": "human", "value": text}, {"from": "gpt", "value": "An answer."}]


@pytest.fixture
def root(tmp_path):
    for name in "abc":
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.png").write_bytes(name.encode())
    return tmp_path


def read(root, entries, name="data.json"):
    path = root / name
    path.write_text(json.dumps(entries) if name.endswith(".json") else "".join(json.dumps(e) + "\n" for e in entries))
    source = ConversationSource(path, root)
    return [e for unit in source.units() for e in source.examples(unit)]


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_one_image_several_images_and_none(root, name):
    found = read(
        root,
        [
            {"conversations": ask("<|image|> What  is\nthis?"), "image": ["images/a.png"]},
            {
                "id": "two",
                "conversations": ask("<|image|> and <|image|>"),
                "image": ["images/b.png", "images/c.png"],
                "source": "web",
            },
            {"conversations": ask("<|image|>"), "image": "images/a.png"},
            {"conversations": ask("2 + 2?"), "image": []},
            {"conversations": ask("2 + 2?")},
        ],
        name,
    )
    assert [e.key for e in found] == ["000000000", "two", "000000002", "000000003", "000000004"]
    assert [e.images for e in found] == [(b"a",), (b"b", b"c"), (b"a",), (), ()]
    assert all(e.refusal is None for e in found)
    assert found[0].turns[0] == {"from": "human", "value": "<|image|> What  is\nthis?"}
    assert found[1].meta == {"source": "web"}


def test_marks_must_equal_images(root):
    found = read(
        root,
        [
            {"conversations": ask("<|image|> <|image|>"), "image": ["images/a.png"]},
            {"conversations": ask("no mark"), "image": ["images/a.png"]},
            {"conversations": ask("<|image|>"), "image": []},
        ],
    )
    assert [e.refusal.reason for e in found] == ["image marks"] * 3
    assert found[0].refusal.detail == "2 <|image|> for 1 images"


def test_paths_must_stay_inside(root):
    (root.parent / "secret.png").write_bytes(b"S")
    found = read(
        root,
        [
            {"conversations": ask("<|image|>"), "image": [n]}
            for n in ("../secret.png", str(root.parent / "secret.png"), "gone.png")
        ],
    )
    assert [e.images[0].reason for e in found] == ["outside the root", "outside the root", "missing file"]


def test_bad_entries_are_refused_one_by_one(root):
    bad = [
        3,
        {},
        {"conversations": []},
        {"conversations": "hi"},
        {"conversations": ask("<|image|>"), "image": 5},
        {"conversations": [{"from": "x", "value": "y"}]},
    ]
    found = read(root, [*bad, {"conversations": ask("fine")}])
    assert [e.refusal.reason if e.refusal else "" for e in found] == ["bad entry"] * 6 + [""]


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("{}", "want a list"), ("[]", "empty list"), ("[" * 100_000, "not JSON")]
)
def test_a_broken_file_is_named(root, text, words):
    (root / "x.json").write_text(text)
    with pytest.raises(InputError, match=words):
        ConversationSource(root / "x.json", root).units()
