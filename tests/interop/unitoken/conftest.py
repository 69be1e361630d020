"""A small UniToken with the random weights of the fixture, as a folder of the published layout."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy

FIXTURES = pathlib.Path(__file__).parent.parent.parent / "fixtures"
KNOWN = json.loads((FIXTURES / "unitoken.json").read_text())
CODES = json.loads((FIXTURES / "image_tokenizers.json").read_text())["chameleon"]
CONFIG = {
    "model_type": "chameleon",
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "vision_config": {"model_type": "siglip_vision_model", "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
}
NAMES = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<eoss>": 20, "<racm3:break>": 21, "<sentinel:0>": 22}
NAMES |= {"<reserved08706>": 23, "<reserved08799>": 24} | {f"<reserved{8800 + n:05d}>": 25 + n for n in range(8)}
LETTERS = " abcdefghijklmn"


def digits(n):
    return "".join("ABCDEFGHIJ"[int(d)] for d in str(n))


@pytest.fixture(scope="session")
def known():
    """Arrays and numbers of the fixture."""
    return {**KNOWN, **np.load(FIXTURES / "unitoken.npz")}


@pytest.fixture(scope="session")
def random_tensors():
    spec = importlib.util.spec_from_file_location("make_image_tokenizers", FIXTURES / "make_image_tokenizers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.random_tensors


def text_tokenizer(names):
    vocabulary = {**names, **{c: 33 + i for i, c in enumerate(LETTERS)}}
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }


@pytest.fixture(scope="session")
def folder(tmp_path_factory, random_tensors):
    """Transformer, tower and adapter, an image tokenizer of 16 codes with ids in reverse, a text tokenizer of characters."""
    folder = tmp_path_factory.mktemp("unitoken") / "model"
    folder.mkdir()
    safetensors.numpy.save_file(random_tensors(KNOWN["names"]), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = random_tensors(CODES | {"quantize.embedding.weight": [16, 8]})
    (folder / "vqgan").mkdir()
    safetensors.numpy.save_file(tokenizer, folder / "vqgan" / "model.safetensors")
    codes = {f"IMGIMG{digits(n)}Z": 19 - n for n in range(16)}
    (folder / "tokenizer.json").write_text(json.dumps(text_tokenizer(NAMES | codes)))
    return folder
