import pathlib
import shutil

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"


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
