"""What an Open Clip Art SVG file says about itself: title, description, keywords, author, licence."""

import contextlib
import dataclasses
import html
import os
import pathlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

MAX_SVG_BYTES = 64 << 20
DC = "{http://purl.org/dc/elements/1.1/}"
CC = "{http://web.resource.org/cc/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_MAIL = re.compile(r"[<(\[]?\s*(?:e-?mail:\s*)?[\w.+-]+@[\w.-]+\.\w+\s*[>)\]]?")
_LINKED_IMAGE = re.compile(rb"<(?:\w+:)?image\b[^>]*href\s*=\s*[\"'](?!data:)")


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Cleaned metadata of one drawing; a missing field is empty.

    Attributes:
      title: as its author wrote it, often the name of a whole collection.
      description: free text.
      keywords: sorted, without the machine-made ones.
      author: name without mail address.
      public_domain: whether the licence named in the file is the public domain dedication.
      linked_image: whether the drawing refers to an image file that is not part of it (and so was not drawn).
    """

    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    author: str = ""
    public_domain: bool = False
    linked_image: bool = False


def read_metadata(path: str | os.PathLike[str]) -> Metadata | None:
    """Reads the RDF block of an SVG file; None where the file is absent, not XML, or has no such block.

    External entities are never fetched (expat's default), and expat itself stops an entity bomb.
    """
    try:
        data = _read(path)
        work = _first_work(data)
    except (OSError, ET.ParseError):
        return None
    if work is None:
        return None
    license_element = work.find(f"{CC}license")
    license_url = "" if license_element is None else license_element.get(f"{RDF}resource", "")
    return Metadata(
        title=clean(work.findtext(f"{DC}title")),
        description=clean(work.findtext(f"{DC}description")),
        keywords=_keywords(item.text for item in work.iterfind(f"{DC}subject//{RDF}li")),
        author=clean(work.findtext(f"{DC}creator/{CC}Agent/{DC}title")),
        public_domain=license_url.rstrip("/").lower().endswith("/publicdomain"),
        linked_image=_LINKED_IMAGE.search(data) is not None,
    )


def _read(path: str | os.PathLike[str]) -> bytes:
    with pathlib.Path(path).open("rb") as file:
        return file.read(MAX_SVG_BYTES)


def _first_work(data: bytes) -> ET.Element | None:
    """The first `cc:Work` element; parsing stops there, because drawings may be large and broken further on."""
    parser: ET.XMLPullParser = ET.XMLPullParser(events=("end",))
    for start in range(0, len(data), 1 << 16):
        parser.feed(data[start : start + (1 << 16)])
        for event in parser.read_events():
            element = event[-1]
            if isinstance(element, ET.Element) and element.tag == f"{CC}Work":
                return element
    return None


def clean(text: str | None) -> str:
    """One line of text without HTML, mail addresses and wrongly decoded letters."""
    text = html.unescape(html.unescape(text or ""))
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")  # "SÃ¡nchez" was UTF-8 read as Latin-1
    text = _MAIL.sub(" ", re.sub(r"<[^<>]*>", " ", text) if "@" not in text else text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _keywords(texts: Iterable[str | None]) -> tuple[str, ...]:
    words = set()
    for text in texts:
        word = clean(text).lower().replace("_", " ").strip(" .,;")
        if 2 < len(word) <= 30 and word.isascii() and not _MACHINE_MADE.fullmatch(word):
            words.add(word)
    return tuple(sorted(words))


_MACHINE_MADE = re.compile(
    r"hash.*|0x.*|\S+sym|appicon|arrowshape|clip ?art|filesystem|icons?|image|lemon theme icon|magick|menu|mime-?types|"
    r"openclipart|recreation|roadsign|signs and symbols|special|stickmen|svg|symbol|theme|unsorted|weapons|webpage"
)
