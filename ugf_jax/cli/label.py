"""ugf label: compare pictures on a web page, two of one prompt at a time, and write the votes into a file.

  ugf label --prompts=prompts.txt --checkpoint=models/new --checkpoint=models/old     two models; A is the first
  ugf label --prompts=prompts.txt --checkpoint=models/new                             two samples each of one model
  ugf label --pictures=generated/new --pictures=generated/old --output=prefs.jsonl    pictures that `ugf generate` made

Open the address that it prints. Pictures are drawn in the background while you look at the first ones; sides are drawn by
lot. Every vote is on the disk before the next pair is shown, so stop the server whenever you like (Ctrl+C): the same
command goes on. Several people can rate at once, each under a name; --overlap says which share of the pairs all of them
see, to measure how far they agree. The page /results shows how often A is preferred.

Only this machine can open the page. --host=0.0.0.0 lets others in, with a token that is part of the address printed, or is
taken from the environment variable UGF_LABEL_TOKEN.

The votes (--output) are one JSON object a line; pictures that were drawn lie beside them, in a folder of the same name.
"""

import contextlib
import hashlib
import ipaddress
import os
import pathlib
import secrets
import socket
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from absl import flags

from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.cli.prompts import parse_size, read_prompts
from ugf_jax.errors import InputError
from ugf_jax.feedback.guard import Access, host_names
from ugf_jax.feedback.painter import Draw, Painter
from ugf_jax.feedback.pictures import find_samples, name_of, pair_up
from ugf_jax.feedback.schedule import Item, Schedule, Secret
from ugf_jax.feedback.server import make_app, serve
from ugf_jax.feedback.study import Models, Study
from ugf_jax.feedback.votes import VoteFile
from ugf_jax.generation.defaults import GUIDANCE

FLAGS = flags.FlagValues()
flags.DEFINE_string("prompts", None, "text file with a prompt a line", flag_values=FLAGS)
flags.DEFINE_multi_string("checkpoint", [], "folder made by `ugf export`; give it twice to compare two", flag_values=FLAGS)
flags.DEFINE_multi_string("pictures", [], "folder of pictures by `ugf generate`; twice to compare two", flag_values=FLAGS)
flags.DEFINE_string("output", "prefs.jsonl", "file for the votes; one that exists is gone on with", flag_values=FLAGS)
flags.DEFINE_integer("count", 1, "pairs of each prompt", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("size", "256x256", "width x height in pixels of what is drawn", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "other seeds draw other pictures", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_float("guidance", GUIDANCE, "how closely to follow the prompt; 1 for none", flag_values=FLAGS)
flags.DEFINE_float("temperature", 1.0, "of the master codes; 0 takes the likeliest", flag_values=FLAGS)
flags.DEFINE_integer("ahead", 24, "pairs to keep drawn beyond the one on the page", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("overlap", 0.2, "share of the pairs that every rater sees", 0.0, 1.0, flag_values=FLAGS)
flags.DEFINE_string("host", "127.0.0.1", "address to listen on", flag_values=FLAGS)
flags.DEFINE_integer("port", 8765, "port to listen on; 0 for any that is free", 0, 65535, flag_values=FLAGS)
flags.DEFINE_multi_string("name", [], "further host name under which the page is opened", flag_values=FLAGS)

TOKEN = "UGF_LABEL_TOKEN"
SHORTEST_TOKEN = 16


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Serves the page until it is stopped."""
    check(positional, values)
    token = access_token(values.host)
    output = pathlib.Path(values.output)
    items, settings = pairs(values, output)
    draw = drawer(values) if values.checkpoint else None
    names = [name_of(pathlib.Path(name), output.parent) for name in values.pictures or values.checkpoint]
    models = Models(names[0], names[1] if len(names) == 2 else None)
    with contextlib.ExitStack() as ends:
        listener = ends.enter_context(listen(values.host, values.port))
        file = ends.enter_context(contextlib.closing(VoteFile(output, {"A": models.a, "B": models.b, **settings})))
        schedule = Schedule(items, Secret(file.ballots.key), values.overlap)
        painter = Painter(list(schedule.items.values()), output.parent, draw, values.seed, values.ahead) if draw else None
        study = Study(file, schedule, models, painter)
        if file.ballots.dropped:
            print(f"{output}: its last line was cut short; {file.ballots.dropped} bytes dropped, every whole vote kept")
        announce(study, values.host, listener.getsockname()[1], token)
        if painter:
            painter.start()
            ends.callback(painter.stop)
        reached_as = host_names([values.host, *values.name, *(() if is_loopback(values.host) else machine_names())])
        serve(make_app(study, Access(reached_as, secrets.token_urlsafe(32), token)), listener)
        print(f"{output}: {told(study)}", flush=True)


def check(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Refuses flags that do not go together.

    Raises:
      InputError: they do not.
    """
    if positional:
        raise InputError(f"unexpected argument '{positional[0]}' (see ugf label --help)")
    if bool(values.checkpoint) == bool(values.pictures):
        raise InputError("want --checkpoint=MODEL (once or twice) or --pictures=FOLDER (once or twice), and not both")
    given = values.checkpoint or values.pictures
    if len(given) > 2 or len(set(given)) < len(given):
        raise InputError(f"want one or two different models, got {', '.join(given)}; one alone is compared with itself")
    if values.checkpoint and not values.prompts:
        raise InputError("--prompts=FILE is needed: what the checkpoints draw, one prompt a line")


def pairs(values: flags.FlagValues, output: pathlib.Path) -> tuple[list[Item], dict[str, Any]]:
    """What is compared, and the settings that made it so."""
    prompts = list(dict.fromkeys(read_prompts([], values.prompts))) if values.prompts else None
    if values.pictures:
        return pair_up(
            [find_samples(pathlib.Path(folder), prompts) for folder in values.pictures], values.count, output.parent
        ), {}
    settings = {name: values[name].value for name in ("size", "seed", "guidance", "temperature")}
    settings["models"] = [fingerprint(pathlib.Path(folder)) for folder in values.checkpoint]
    return drawn_pairs(prompts or [], values.count, output), settings


def drawn_pairs(prompts: Sequence[str], count: int, output: pathlib.Path) -> list[Item]:
    """Pairs that are to be drawn, into a folder beside the votes. Names follow prompts, not their places in the file."""
    items = []
    for prompt in prompts:
        name = hashlib.sha256(prompt.encode()).hexdigest()[:12]
        for number in range(count):
            files = [f"{output.stem}.pictures/{name}-{number}-{side}.png" for side in "ab"]
            items.append(Item(prompt, (files[0], files[1])))
    return items


def fingerprint(folder: pathlib.Path) -> str:
    """Tells one model from another in the same folder: a digest of its settings, training steps and size."""
    try:
        data = (folder / "config.json").read_bytes() + str((folder / "model.safetensors").stat().st_size).encode()
    except OSError as error:
        raise InputError(f"--checkpoint {folder}: not a model ({error.strerror}); make one with `ugf export`") from error
    return hashlib.sha256(data).hexdigest()[:16]


def drawer(values: flags.FlagValues) -> Draw:
    """Loads the models, and makes of them what draws pairs."""
    from ugf_jax.generation.generate_tokens import GenerationSettings  # JAX takes seconds; pictures in folders need none
    from ugf_jax.generation.unified_model import UnifiedModel

    size = parse_size(values.size)
    image = {"temperature": values.temperature}
    how = config.parse(GenerationSettings, {"image": image, "guidance": values.guidance}, "flags")
    models = [UnifiedModel.load(folder) for folder in values.checkpoint]

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        drawn = [model.draw(prompts, size, seeds, how, count=3 - len(models)) for model in models]
        pairs = [[d.image for own in drawings for d in own] for drawings in zip(*drawn, strict=True)]
        return [(a, b) for a, b in pairs]

    return draw


def access_token(host: str) -> str | None:
    """What a browser must know; None where only this machine can ask and no token was set.

    Raises:
      InputError: the one in the environment is too short.
    """
    token = os.environ.get(TOKEN)
    if token and len(token) < SHORTEST_TOKEN:
        raise InputError(f"{TOKEN} has {len(token)} characters; want at least {SHORTEST_TOKEN}")
    return token or (None if is_loopback(host) else secrets.token_urlsafe(24))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def machine_names() -> list[str]:
    """Names and addresses of this machine in its network."""
    name = socket.gethostname()
    try:
        return [name, *{str(info[4][0]) for info in socket.getaddrinfo(name, None)}]
    except OSError:
        return [name]


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
      InputError: it is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # from now on a browser waits for the first answer, however long the rest takes
    except OSError as error:
        listener.close()
        raise InputError(
            f"--host={host} --port={port}: {error.strerror or error}; choose another (--port=0: any free)"
        ) from error
    return listener


def announce(study: Study, host: str, port: int, token: str | None) -> None:
    """Prints where the page is."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    if token:  # one from the environment is known already, and is not repeated
        address += "?token=" + ("…" if os.environ.get(TOKEN) else token)
    votes = sum(study.raters().values())
    print(f"{address}   {study.pairs():,} pairs, {votes:,} votes so far; Ctrl+C ends", flush=True)


def told(study: Study) -> str:
    """What the votes say, in a line."""
    summary = study.summary()
    votes, wins = sum(summary.raters.values()), summary.wins
    line = f"{votes:,} vote{'s' * (votes != 1)} of {len(summary.raters)} rater{'s' * (len(summary.raters) != 1)}"
    if study.models.b and wins.value is not None:
        line += f"; A is preferred in {wins.value:.0%} of {wins.n:,} pairs (95 % interval: {wins.low:.0%} to {wins.high:.0%})"
    return line


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb."""
    app.run("label", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
