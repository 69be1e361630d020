import importlib.util
import json
import pathlib
import shutil

import pytest
import safetensors.numpy

from ugf_jax.interop.source import open_source

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
FOLDER = FIXTURES / "interop"


@pytest.fixture(scope="session")
def interop_source(tmp_path_factory):
    """A copy of a model of transformers, with a tokenizer: `interop_source("llama-0")`."""
    root = tmp_path_factory.mktemp("interop")

    def copied(name, as_name=""):
        folder = root / (as_name or name)
        if not folder.exists():
            shutil.copytree(FOLDER / name, folder)
            shutil.copy(FOLDER / "tokenizer.json", folder)
        return folder

    return copied


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    """Writes the random weights of an image tokenizer: `write("janus")`; `change` edits the dictionary of tensors."""
    spec = importlib.util.spec_from_file_location("make_image_tokenizers", FIXTURES / "make_image_tokenizers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = json.loads((FIXTURES / "image_tokenizers.json").read_text())

    def make(family, change=lambda tensors: tensors):
        path = tmp_path_factory.mktemp("weights") / "model.safetensors"
        safetensors.numpy.save_file(change(module.random_tensors(names[family])), path)
        return open_source(path)

    return make
