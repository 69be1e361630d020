"""Decoding: tokens and images a second, against Hugging Face `generate` on the same weights.

  python benchmarks/decode.py                                  # wants the extra "hf"
  python benchmarks/decode.py --peer_python=OTHER/bin/python   # torch and transformers are in another environment

The model is a random one of Llama's layout, in float32. Both sides are pinned to the same core and take turns; their greedy
tokens are compared first; the least time of `--repeats` counts. The last column is the peer's time divided by ours. The peer
draws guided images with its option `guidance_scale`.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any

import rich.console
import rich.table
from absl import app, flags, logging

PEER = flags.DEFINE_string("peer_python", sys.executable, "Python that has torch and transformers.")
CORE = flags.DEFINE_integer("core", 0, "CPU core that both sides run on.", lower_bound=0)
REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs; the least is shown.", lower_bound=3)
PROMPT, LENGTH, GRID = 32, 256, 8
KINDS = (("text", 1.0), ("image", 1.0), ("image", 3.0))  # what, and guidance


@dataclasses.dataclass(frozen=True)
class Case:
    """What is decoded: text, or images with some guidance."""

    model: str
    rows: int
    guidance: float

    @property
    def tokens(self) -> int:
        """Tokens that the model chooses for each row."""
        return LENGTH if self.model == "text" else GRID**2

    @property
    def name(self) -> str:
        """For the table."""
        what = f"{LENGTH} tokens of text" if self.model == "text" else f"images of {GRID} x {GRID} codes"
        return what + (f", guidance {self.guidance:g}" if self.guidance != 1 else "")


CASES = tuple(Case(model, rows, guidance) for model, guidance in KINDS for rows in (1, 8))


class Ours:
    """Our side. JAX is imported when the process is pinned, so that it starts no more threads than cores."""

    def __init__(self, folder: pathlib.Path):
        """Makes two models, one that writes text and one that draws, and writes their weights to files for the peer."""
        import numpy as np

        from ugf_jax.data.vocabulary import VocabularySettings
        from ugf_jax.generation.generate_tokens import TokenGenerator
        from ugf_jax.models.fusion import FusionSettings

        self.words = words = VocabularySettings(text=2048, sizes=64, codes=1000)
        self.settings = FusionSettings(
            width=384, depth=6, heads=6, hidden=1024, qk_norm="none", cross_every=0, grid=GRID, embedding=0
        )
        self.generators = {}
        ids = {"text": (0, words.text), "image": (words.first_code, words.first_code + words.codes)}
        for name, chosen in ids.items():
            params = self._random_params(chosen)
            self.size = sum(x.size for x in _leaves(params))
            np.savez(folder / f"{name}.npz", **self._to_hugging_face(params))
            self.generators[name] = TokenGenerator(self.settings, words, params)

    def _random_params(self, chosen: tuple[int, int]) -> Any:
        """Parameters of which the likeliest id is always one of a range: the others have a logit of 0."""
        import jax
        import numpy as np

        from ugf_jax.models.fusion import FusionTransformer, Tokens

        model = FusionTransformer(self.settings, self.words.total)
        tokens = Tokens(*(np.ones((1, 1), np.int32),) * 4)
        shapes = jax.eval_shape(lambda key: model.init(key, tokens), jax.random.key(0))["params"]
        rng = np.random.default_rng(0)

        def fill(path: Any, shape: Any) -> Any:
            noise = rng.standard_normal(shape.shape, np.float32)
            return 1 + 0.1 * noise if "scale" in str(path[-1]) else noise * shape.shape[-2] ** -0.5

        params = jax.tree_util.tree_map_with_path(fill, shapes)
        params["head"][:, : chosen[0]] = params["head"][:, chosen[1] :] = 0
        return params

    def _to_hugging_face(self, params: Any) -> dict[str, Any]:
        """Llama's weights by Hugging Face's names, and its settings as JSON."""
        import numpy as np

        s = self.settings.block
        config = {
            "vocab_size": self.words.total,
            "hidden_size": s.width,
            "intermediate_size": s.hidden,
            "num_hidden_layers": self.settings.depth,
            "num_attention_heads": s.heads,
            "num_key_value_heads": s.kv_heads,
            "rms_norm_eps": s.epsilon,
            "rope_theta": self.settings.rope_base,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
        }
        found = {}
        layers = params["layers"]["block_0"]
        names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
        for i in range(self.settings.depth):
            start = f"model.layers.{i}"
            for ours, theirs in names.items():
                found[f"{start}.self_attn.{theirs}.weight"] = layers["attention"][ours]["kernel"][i].T
            for name in ("gate", "up", "down"):
                found[f"{start}.mlp.{name}_proj.weight"] = layers["mlp"][name]["kernel"][i].T
            found[f"{start}.input_layernorm.weight"] = layers["attention_norm"]["scale"][i]
            found[f"{start}.post_attention_layernorm.weight"] = layers["mlp_norm"]["scale"][i]
        found["model.embed_tokens.weight"] = params["embed"]["embedding"]
        found["model.norm.weight"], found["lm_head.weight"] = params["norm"]["scale"], params["head"].T
        weights = {name: np.ascontiguousarray(x) for name, x in found.items()}
        return weights | {"config": np.array(json.dumps(config))}

    def prompts(self, case: Case) -> Any:
        """Random text that ends in ASSISTANT, int32 `[rows, PROMPT]`."""
        import numpy as np

        prompts = np.random.default_rng(1).integers(0, self.words.text, (case.rows, PROMPT), np.int32)
        prompts[:, -1] = self.words.assistant
        return prompts

    def for_peer(self, case: Case) -> dict[str, Any]:
        """The same, as the peer reads it: what is forced before the first code is part of its prompt."""
        import numpy as np

        prompts = self.prompts(case)
        opening = np.array([[self.words.boi, self.words.size_token(GRID), self.words.size_token(GRID)]] * case.rows)
        if case.model == "image":
            prompts = np.concatenate([prompts, opening], axis=1)
        request = {"prompt": prompts.tolist(), "unconditional": opening.tolist(), "tokens": case.tokens}
        return request | {"model": case.model, "guidance": case.guidance}

    def run(self, case: Case) -> tuple[float, list[list[int]]]:
        """Seconds, and the tokens that the model has chosen."""
        from ugf_jax.data.documents import Layout
        from ugf_jax.generation.generate_tokens import GenerationSettings
        from ugf_jax.generation.requests import Request
        from ugf_jax.generation.sampling import SamplingSettings

        greedy = SamplingSettings(temperature=0.0)
        how = GenerationSettings(text=greedy, image=greedy, guidance=case.guidance)
        layouts = (Layout(self.words).text(prompt) for prompt in self.prompts(case).tolist())
        requests = [Request(layout.document("benchmark"), size=(GRID, GRID)) for layout in layouts]
        mode, limit = ("text", LENGTH) if case.model == "text" else ("draw", 0)
        begin = time.perf_counter()
        found = self.generators[case.model].generate(requests, how, mode, limit)
        seconds = time.perf_counter() - begin
        first = 3 if mode == "draw" else 0  # after BOI and the sizes
        return seconds, found.tokens[:, first : first + case.tokens].tolist()


class Peer:
    """The other side: a process that answers requests."""

    def __init__(self, folder: pathlib.Path):
        """Starts it, and waits until it has loaded its models."""
        script = pathlib.Path(__file__).with_name("decode_peer.py")
        command = [PEER.value, str(script), str(folder), str(CORE.value)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{PEER.value} cannot run the peer; it wants torch and transformers (extra 'hf')")
        return json.loads(line)

    def run(self, request: dict[str, Any]) -> tuple[float, list[list[int]]]:
        """Seconds, and the tokens chosen."""
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self._read()
        return answer["seconds"], answer["tokens"]

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _leaves(tree: Any) -> list[Any]:
    return [x for value in tree.values() for x in _leaves(value)] if isinstance(tree, dict) else [tree]


def measure(ours: Ours, peer: Peer, case: Case) -> list[str]:
    """A row of the table."""
    request = ours.for_peer(case)
    (_, own), (_, others) = ours.run(case), peer.run(request)  # compiles, warms up
    if own != others:
        raise RuntimeError(f"{case.name}, batch {case.rows}: the tokens differ")
    times = [(ours.run(case)[0], peer.run(request)[0]) for _ in range(REPEATS.value)]
    least = [min(t) for t in zip(*times, strict=True)]
    unit, each = ("tokens", case.tokens) if case.model == "text" else ("images", 1)
    rates = [f"{case.rows * each / seconds:,.4g} {unit}/s" for seconds in least]
    return [case.name, str(case.rows), *rates, f"{least[1] / least[0]:.2f}"]


def main(_: list[str]) -> None:
    """Prints what it runs on and the table."""
    logging.set_verbosity(logging.WARNING)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {CORE.value})
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = Ours(pathlib.Path(folder)), Peer(pathlib.Path(folder))
        versions = {n: importlib.metadata.version(n) for n in ("jax", "jaxlib", "ugf-jax")} | peer.versions
        shown = ", ".join(f"{name} {version}" for name, version in versions.items())
        print(f"one core of {platform.machine()}, Python {sys.version.split()[0]}, {shown}")
        model = f"{ours.size / 1e6:.1f}M parameters (width {ours.settings.width}, {ours.settings.depth} layers, float32)"
        print(f"{model}; prompts of {PROMPT} tokens; greedy; least of {REPEATS.value}")
        table = rich.table.Table()
        for name in ("what", "batch", "ugf-jax", "Hugging Face generate", "times as fast"):
            table.add_column(name, justify="left" if name == "what" else "right")
        for case in CASES:
            table.add_row(*measure(ours, peer, case))
        peer.close()
    rich.console.Console(width=120).print(table)


if __name__ == "__main__":
    app.run(main)
