"""House rules that a program can hold: file sizes, docstrings, nothing of one machine, links that lead somewhere."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PLACES = ("ugf_jax", "experiments", "launch", "benchmarks", "tests", "docs", ".ci")
NAMES = ("*.py", "*.md", "*.toml", "*.sh", "*.html", "*.txt", "*.yaml", "*.yml", "*.j2", "run")
MAX_LINES = 400

# Written so that no pattern matches its own text here.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:tmp|root|home|work|Users)/(?=\w)"),
    "a package registry's host": re.compile(r"(?:pypi|pythonhosted|npmjs|crates|anaconda)\.(?:org|com|io)\b"),
    "an unfinished place": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"),
}


def text_files():
    found = [p for place in PLACES for name in NAMES for p in (ROOT / place).rglob(name) if "__pycache__" not in p.parts]
    found += [p for p in (ROOT / n for n in ("README.md", "Makefile", "pyproject.toml", "requirements.txt")) if p.is_file()]
    return sorted(set(found))


def package_files():
    return sorted((ROOT / "ugf_jax").rglob("*.py"))


def shown(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


def test_there_is_something_to_look_at():
    assert len(package_files()) > 20
    assert len(text_files()) > len(package_files())


def test_files_are_small():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in package_files()}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MAX_LINES} == {}


def is_overload(node):
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)


def undocumented(path):
    """Public modules, classes and functions of a file without a docstring, as `(line, name)`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]
    bare = [(n.lineno, n.name) for n in public if not ast.get_docstring(n) and not is_overload(n)]
    return bare if ast.get_docstring(tree) else [(1, "module"), *bare]


def test_what_is_public_is_documented():
    assert [f"{shown(p, line)} {name}" for p in package_files() for line, name in undocumented(p)] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_forbidden_is_written(what):
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{shown(path, number)} {line.strip()[:80]}")
    assert found == []


def test_the_patterns_find_what_they_should():
    slash = "/"
    for what, bad in zip(
        FORBIDDEN, (f"see {slash}tmp{slash}x", "https://pypi" + ".org/simple", "# TO" + "DO later"), strict=True
    ):
        assert FORBIDDEN[what].search(bad)
    assert not any(p.search("see https://example.org/home/page and work/x or $HOME/work/x") for p in FORBIDDEN.values())


def test_links_in_pages_lead_to_files():
    broken = []
    for path in (p for p in text_files() if p.suffix == ".md"):
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", text):
            place = (target[0] or target[1]).partition("#")[0]
            if place and not re.match(r"[a-z]+:", place) and not (path.parent / place).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {place}")
    assert broken == []
