"""Captions from what a file and its folder are called."""

import collections
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping

from ugf_jax.data.clipart import translations, wording
from ugf_jax.data.clipart.metadata import Metadata

_JUNK = re.compile(
    r"\bclipart by [^-]*-|\b(clip ?arts?|svg|png|ver(sion)?|remix|aj|md|bw|bn|aiga|missing|openclipart)\b"
    r"|\b(nicu buculei|geral(d g)?)\b|\bb ?(and|&|) ?w\b|\bb/w\b|\bv ?\d[\d.]*|\b0\d+\b|\bthe unsightly one\b"
)
_COLLECTION = re.compile(r"clipart by|svg gradient|homes clipart|simple arrows|hotel icon|menu clip", re.IGNORECASE)
_FRAMES = (
    ("a clip art drawing of {}", "an illustration of {}", "a drawing of {}", "a clip art picture of {}"),
    ("clip art of {}", "a simple drawing that shows {}", "{}, drawn as clip art", "a digital drawing of {}"),
)
_NOT_ABOUT_THE_DRAWING = re.compile(
    r"https?:|www\.|svg|inkscape|sodipodi|clip ?art|collection|gradi|vector|licen|public domain|example|created|part of|"
    r"\b(i|my|me|we|you|your|this is|this image|gimp|enjoy|trac(ed|ing)|autotraced|was|derived|based on|orner)\b",
    re.IGNORECASE,
)


def collection_titles(drawings: Iterable[tuple[str, Metadata]]) -> frozenset[str]:
    """Titles that name a collection rather than a drawing: files with three different names share them.

    Args:
      drawings: `(relative path, metadata)` of all drawings.
    """
    names: dict[str, set[str]] = collections.defaultdict(set)
    for path, metadata in drawings:
        names[metadata.title].add(_words(_stem(path), metadata.author)[:5])
    return frozenset(title for title, stems in names.items() if len(stems) >= 3 or _COLLECTION.match(title))


def subject(path: str, metadata: Metadata, collections_: frozenset[str] = frozenset()) -> str:
    """What the drawing shows, in lower-case English words without an article; "" where nothing says it.

    Args:
      path: relative to the collection, e.g. `animals/birds/owl_01.png`.
      metadata: of the drawing.
      collections_: titles not to use (`collection_titles`).
    """
    named = "" if metadata.title in collections_ else metadata.title
    for text in (named, _stem(path)):
        words = _words(text, metadata.author)
        if words in translations.ENGLISH:
            return translations.ENGLISH[words]
        if any(len(w) > 2 and re.search("[aeiouy]", w) for w in words.split()) and len(words) <= 70:
            return words
    return ""


def compose(
    path: str, metadata: Metadata, collections_: frozenset[str] = frozenset(), colourless: bool = False
) -> tuple[str, ...]:
    """Two or three captions of a drawing; the same arguments give the same captions.

    Args:
      path: relative to the collection.
      metadata: of the drawing.
      collections_: titles not to use (`collection_titles`).
      colourless: whether the drawing has only greys.
    """
    folder = path.rpartition("/")[0]
    kind = _longest(wording.KINDS, folder) or ""
    phrase = _card(path) or _phrase(subject(path, metadata, collections_), folder, kind)
    number = zlib.crc32(path.encode())
    frames = _FRAMES[0] if not colourless else ("a black and white drawing of {}", "black and white clip art of {}")
    captions = [frames[number % len(frames)].format(phrase)]
    if natural := _sentence(metadata):
        captions.append(natural)
    tags = _tags(metadata, kind, phrase)
    if tags:
        captions.append(f"{phrase}, {', '.join(tags)}")
    if len(captions) < 2:
        captions.append(_FRAMES[1][number // 7 % len(_FRAMES[1])].format(phrase))
    return tuple(captions)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _words(text: str, author: str) -> str:
    """Lower-case ASCII words of a title or file name, without numbers, the author's name and other additions."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"(?<=[a-z]{2})(?=[A-Z][a-z])|_|[-.](?=\w*\d)|(?<=\w)-(?=\w)|[\"`*^~<>|{}\[\]\\]", " ", text).lower()
    text = re.sub(r"\([^()]*\)", " ", text)
    text = re.sub(r"(?<=[a-z]{2})\d+\b|#\d+|(?<=[^\w'])\d{1,3}(?![\w':%])", " ", text)
    text = _JUNK.sub(" ", text)
    words = text.split()
    name = " ".join(re.sub(r"[^a-z ]", "", author.lower()).split())
    for start in range(1, len(words)):  # file names end in as much of the author's name as fitted
        tail = re.sub(r"[^a-z ]", "", " ".join(words[start:]))
        if len(tail) > 2 and name.startswith(tail):
            words = words[:start]
            break
    while words and words[-1] in ("by", "of", "-", "and", "the", "a", "with"):
        words.pop()
    return re.sub(r" (?=[,.;:])", "", " ".join(words)).strip(" .,;:-_&+/!?'")


def _phrase(words: str, folder: str, kind: str) -> str:
    """The subject as a noun phrase with its article."""
    pattern, noun = wording.PATTERNS.get(_longest_key(wording.PATTERNS, folder) or "", ("{}", ""))
    if words.startswith("map of") or (noun and set(noun.split()) & set(words.split())):
        pattern = "{}"
    if noun == "flag" and not words.startswith("map of"):
        words = _place(words)
    if not words:
        pattern, words = "{}", kind or "object"
    return with_article(pattern.format(words))


def _place(words: str) -> str:
    """`usa hawaii` → `hawaii, usa`; `cook islands` → `the cook islands`."""
    if found := re.fullmatch(rf"({'|'.join(wording.STATES)})[ -]+(\S.*)", words):
        words = f"{found[2]}, {found[1]}"
    the = re.match(r"(united|dominican|czech|central african|trust|netherlands|bahamas|philippines|usa$)", words)
    the = the or re.match(r"[^,]*\b(islands|republic|territories|territory|kingdom)\b", words)
    return f"the {words}" if the and not words.startswith("the ") else words


def with_article(words: str) -> str:
    """`owl` → `an owl`; plurals, names of stuff and phrases with their own article stay."""
    first = words.split()[0]
    head = re.split(r" (?:of|with|in|on|at|for|from|and|to|that|by|under) |[,:]", words)[0].split()[-1:] or [words]
    plural = head[0] in wording.PLURALS or (head[0].endswith("s") and not head[0].endswith(("ss", "us", "is", "os")))
    plural = plural or first in wording.PROPER
    if (
        first in ("a", "an", "the", "several", "two", "three", "four", "five", "six", "many", "some", "my", "no", "do")
        or plural
    ):
        return words
    if head[0] in wording.MASS_NOUNS or " and " in words or re.match(r"\d", first) or re.fullmatch(r"\w+ing", words):
        return words
    return (
        "an "
        if re.match(r"[aeio]|u[^ns]|un[^i]|hour|(lcd|led|rca|xbox|x-ray|mp3|m1|fm|ftp)\b", first)
        and not first.startswith(("eu", "one"))
        else "a "
    ) + words


def _card(path: str) -> str:
    found = re.fullmatch(r".*/cards/(\w+)/\w+?_([shdc])_(\w+)", path.rpartition(".")[0])
    if not found or found[3] not in wording.RANKS:
        return ""
    return f"the {wording.RANKS[found[3]]} of {wording.SUITS[found[2]]}"


def _sentence(metadata: Metadata) -> str:
    """The description, where it is a plain short sentence about the drawing."""
    text = re.sub(r"\s*\(.*?\)|\bbitmap\b", "", metadata.description).rstrip(" .!").lower()
    text = re.sub(r" (?=[,.;:])", "", text)
    if not (15 <= len(text) <= 110 and text.isascii() and len(text.split()) >= 4) or _NOT_ABOUT_THE_DRAWING.search(text):
        return ""
    shared = set(re.findall(r"[a-z]{4,}", text)) & set(re.findall(r"[a-z]{4,}", metadata.title.lower()))
    return text if shared and _words(text, "") != _words(metadata.title, "") else ""


def _tags(metadata: Metadata, kind: str, phrase: str) -> list[str]:
    """Up to three words that add to the phrase: what the folder holds, then keywords."""
    spoken = set(phrase.split())
    tags: list[str] = []
    for tag in (kind, *metadata.keywords):
        known = any(_squeezed(tag) in _squeezed(t) or _squeezed(t) in _squeezed(tag) for t in tags)
        if tag and not spoken & {*tag.split(), tag + "s", tag.rstrip("s")} and not known and len(tag) < 20:
            tags.append(tag)
    return tags[:3]


def _squeezed(tag: str) -> str:
    return tag.replace(" ", "").rstrip("s")


def _longest_key(table: Mapping[str, object], folder: str) -> str | None:
    parents = [folder]
    while "/" in parents[-1]:
        parents.append(parents[-1].rpartition("/")[0])
    return next((p for p in parents if p in table), None)


def _longest(table: Mapping[str, str], folder: str) -> str | None:
    key = _longest_key(table, folder)
    return None if key is None else table[key]
