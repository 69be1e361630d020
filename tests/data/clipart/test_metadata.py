"""Metadata comes out of any SVG clean, and a hostile or broken file gives None instead of harm."""

import time

import pytest

from ugf_jax.data.clipart.metadata import clean, read_metadata

SVG = """<?xml version="1.0"?>{prolog}
<svg xmlns="http://www.w3.org/2000/svg" xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xlink="http://www.w3.org/1999/xlink"><metadata><rdf:RDF>
<cc:Work rdf:about=""><dc:title>{title}</dc:title><dc:description>A red owl</dc:description>
<dc:subject><rdf:Bag><rdf:li>owl</rdf:li><rdf:li>hash(0x88)</rdf:li><rdf:li>Night_Bird</rdf:li><rdf:li/></rdf:Bag></dc:subject>
<dc:creator><cc:Agent><dc:title>Ann Other &lt;ann@example.org&gt;</dc:title></cc:Agent></dc:creator>
<cc:license rdf:resource="{license}"/></cc:Work></rdf:RDF></metadata>{body}</svg>"""
FREE = "http://web.resource.org/cc/PublicDomain"


def write(tmp_path, title="Owl", license=FREE, prolog="", body=""):
    path = tmp_path / "owl.svg"
    path.write_text(SVG.format(title=title, license=license, prolog=prolog, body=body), encoding="utf-8")
    return path


def test_every_field_is_read_and_cleaned(tmp_path):
    found = read_metadata(write(tmp_path))
    assert (found.title, found.description, found.author) == ("Owl", "A red owl", "Ann Other")
    assert found.keywords == ("night bird", "owl")
    assert found.public_domain
    assert not found.linked_image


@pytest.mark.parametrize(
    ("license", "free"),
    [
        (FREE, True),
        ("http://creativecommons.org/licenses/publicdomain/", True),
        ("http://creativecommons.org/licenses/GPL/2.0/", False),
        ("http://creativecommons.org/licenses/by/3.0/", False),
        ("", False),
    ],
)
def test_only_the_public_domain_counts_as_free(tmp_path, license, free):
    assert read_metadata(write(tmp_path, license=license)).public_domain is free


@pytest.mark.parametrize(("body", "linked"), [('<image xlink:href="a.png"/>', True), ('<image xlink:href="data:x"/>', False)])
def test_a_missing_picture_is_noticed(tmp_path, body, linked):
    assert read_metadata(write(tmp_path, body=body)).linked_image is linked


def test_damage_after_the_metadata_does_not_matter(tmp_path):
    assert read_metadata(write(tmp_path, body="<g>" * 30000)).title == "Owl"


def test_no_metadata_is_none(tmp_path):
    for content in (b"", b"not xml", b"<svg/>", b"<svg><metadata>", b"\xff\xfe\x00"):
        (tmp_path / "x.svg").write_bytes(content)
        assert read_metadata(tmp_path / "x.svg") is None
    assert read_metadata(tmp_path / "absent.svg") is None


def test_entities_neither_explode_nor_read_files(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    start = time.process_time()
    assert read_metadata(write(tmp_path, "&e11;", prolog=f'<!DOCTYPE svg [<!ENTITY e0 "{"x" * 20}">{bomb}]>')) is None
    assert time.process_time() - start < 5
    outside = f'<!DOCTYPE svg [<!ENTITY e SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    found = read_metadata(write(tmp_path, "&e;", prolog=outside))
    assert found is None or "secret" not in found.title


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (None, ""),
        ("  a\n b ", "a b"),
        ("Dog&amp;#39;s", "Dog's"),
        ("Miguel S&Atilde;&iexcl;nchez", "Miguel Sánchez"),
        ("Mart\u00ed <m@x.cz>", "Martí"),
        ("<b>bold</b> owl", "bold owl"),
    ],
)
def test_text_is_cleaned(text, want):
    assert clean(text) == want
