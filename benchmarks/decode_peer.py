"""The peer of `decode.py`: Hugging Face `generate` on the weights in a file, in a process of its own.

Reads one JSON request a line from standard input, answers with one JSON line: seconds, and the tokens chosen.
"""

import importlib.metadata
import json
import os
import sys
import time

CORE = int(sys.argv[2])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {CORE})

import numpy as np  # noqa: E402 (after the process is pinned)
import torch  # noqa: E402
import transformers  # noqa: E402


def load(path: str) -> transformers.LlamaForCausalLM:
    """The model whose settings and weights, by Hugging Face's names, are in an .npz file."""
    with np.load(path) as arrays:
        config = transformers.LlamaConfig(**json.loads(arrays["config"].item()))
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "config"}
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(state)
    return model.eval()


def main() -> None:
    """Answers requests until there are no more."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    models = {name: load(f"{sys.argv[1]}/{name}.npz") for name in ("text", "image")}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        prompt = torch.tensor(request["prompt"])
        options = {"max_new_tokens": request["tokens"], "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        if request["guidance"] != 1:
            negative = torch.tensor(request["unconditional"])
            options |= {"guidance_scale": request["guidance"], "negative_prompt_ids": negative}
        with torch.inference_mode():
            begin = time.perf_counter()
            found = models[request["model"]].generate(prompt, attention_mask=torch.ones_like(prompt), **options)
            seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds, "tokens": found[:, prompt.shape[1] :].tolist()}), flush=True)


if __name__ == "__main__":
    main()
