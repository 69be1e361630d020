"""Captions read like English, whatever the file was called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugf_jax.data.clipart import captions
from ugf_jax.data.clipart.metadata import Metadata


@pytest.mark.parametrize(
    ("path", "title", "author", "want"),
    [
        ("animals/birds/owl_on_branch_01.png", "Owl on Branch", "", "owl on branch"),
        ("animals/birds/cigno_architetto_frances_01.png", "Cigno", "Architetto Francesco Rollandin", "swan"),
        ("food/bread_john_smi_01.png", "", "John Smith", "bread"),
        ("food/fruit/lime_bw.png", "Lime (B and W)", "", "lime"),
        ("tools/wrench-v0.2.png", "Wrench v0.2", "", "wrench"),
        ("unsorted/aziendaVendite.png", "Various", "", "sales company"),
        ("food/honey.png", "Clipart by Nicu Buculei - bee", "Nicu Buculei", "honey"),
        ("geography/aragon_01.png", "Aragón", "", "aragon"),
        ("shapes/flowchart/fc23.png", "fc23", "", ""),
    ],
)
def test_the_subject_is_the_name_without_its_clutter(path, title, author, want):
    collections = frozenset({"Various", "Clipart by Nicu Buculei - bee"})
    assert captions.subject(path, Metadata(title=title, author=author), collections) == want


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ("owl", "an owl"),
        ("dog", "a dog"),
        ("hourglass", "an hourglass"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("us map", "a us map"),
        ("european map", "a european map"),
        ("lcd monitor", "an lcd monitor"),
        ("glass", "a glass"),
        ("bus", "a bus"),
        ("scissors", "scissors"),
        ("pair of scissors", "a pair of scissors"),
        ("boats on a lake", "boats on a lake"),
        ("garlic", "garlic"),
        ("two red dice", "two red dice"),
        ("the flag of norway", "the flag of norway"),
        ("saturn", "saturn"),
    ],
)
def test_articles(words, want):
    assert captions.with_article(words) == want


def test_folders_shape_the_phrase():
    def phrase(path, title=""):
        return captions.compose(path, Metadata(title=title))[0]

    assert phrase("recreation/games/cards/white/white_d_7.png", "card").endswith("the seven of diamonds")
    assert phrase("signs_and_symbols/flags/america/cook_islands.png").endswith("the flag of the cook islands")
    assert phrase("signs_and_symbols/flags/america/united_states/usa_hawaii.png").endswith("the flag of hawaii, usa")
    assert phrase("signs_and_symbols/flags/europe/map.png", "Map of Iceland").endswith("of a map of iceland")
    assert phrase("transportation/aiga-symbols/aiga_coffee_shop1.png").endswith("a sign for coffee shop")
    assert phrase("shapes/jigsaw/jigsaw_red_10.png").endswith("a red jigsaw piece")
    assert phrase("shapes/flowchart/fc23.png").endswith("a flowchart symbol")


def test_greys_are_called_black_and_white():
    grey, colour = (captions.compose("animals/cow.png", Metadata(), colourless=c) for c in (True, False))
    assert "black and white" in grey[0]
    assert "black and white" not in " ".join(colour)


def test_descriptions_are_used_only_when_they_describe():
    def said(description):
        return captions.compose("food/apple.png", Metadata(title="Apple", description=description))

    assert "an apple with a bite taken out" in said("An apple with a bite taken out.")
    for text in ("Apple", "My first apple, enjoy it!", "Apple made with Inkscape, see http://x.org", "uma seta para trabalhos"):
        assert not any(text.lower().strip(".!") in c for c in said(text)[1:] if len(c) > 30)


def test_collection_titles_are_those_of_many_different_files():
    pairs = [(f"food/{name}_0{i}.png", Metadata(title="R16")) for i, name in enumerate(("apple", "bread", "corn"))]
    pairs += [(f"food/pear_0{i}.png", Metadata(title="Pear")) for i in range(9)]
    pairs += [("food/egg.png", Metadata(title="Clipart by Somebody - egg"))]
    assert captions.collection_titles(pairs) == {"R16", "Clipart by Somebody - egg"}


@given(
    st.from_regex(r"(animals|food/fruit|unsorted|signs_and_symbols/flags)/[ -~]{1,40}\.png", fullmatch=True),
    st.builds(Metadata, title=st.text(max_size=60), description=st.text(max_size=120), author=st.text(max_size=30)),
    st.booleans(),
)
def test_any_name_gives_clean_captions(path, metadata, colourless):
    found = captions.compose(path, metadata, colourless=colourless)
    assert found == captions.compose(path, metadata, colourless=colourless)
    assert 2 <= len(found) <= 3
    for caption in found:
        assert caption.isascii()
        assert caption == caption.lower()
        assert not re.search(r"_|  |^\s|\s$|<|>|\.png", caption)
        assert re.search(r"[a-z]{3}", caption)
