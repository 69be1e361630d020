"""Data flows one way through the packages; nothing imports against it."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "ugf_jax"
ORDER = ("data", "models", "objectives", "training", "generation", "evaluation", "feedback", "planning", "interop", "cli")
# What each package may import besides itself. Models and objectives know nothing of training or of where data comes from.
ALLOWED = {name: set(ORDER[:i]) for i, name in enumerate(ORDER)}
ALLOWED["models"] = set()
ALLOWED["objectives"] = {"models"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_flow_of_data(path):
    here = path.relative_to(PACKAGE).parts[0]
    if here not in ALLOWED:
        return
    for name in imported_modules(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "ugf_jax" and len(parts) > 1 and parts[1] in ALLOWED:
            assert parts[1] == here or parts[1] in ALLOWED[here], f"{path}: {here} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_code_runs_from_data(path):
    tree = ast.parse(path.read_text())
    names = imported_modules(tree)
    assert not names & {"pickle", "cloudpickle", "dill", "torch", "tensorflow"}, path
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            called = node.func.value.id, node.func.attr
            assert called != ("yaml", "load"), path
            if called == ("torch", "load"):
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
            if called == ("np", "load"):
                assert not any(k.arg == "allow_pickle" for k in node.keywords), path
