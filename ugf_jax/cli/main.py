"""ugf: train one model that understands and generates images and text.

  ugf prepare SOURCE OUT      bring images and text of any layout into one fast format
  ugf inspect DATA or RUN     what a prepared dataset holds; what has happened to a run
  ugf plan --config=FILE      what a step needs and gives on a pod slice, without one
  ugf train --config=FILE     run a training stage, resume it, or start it over
  ugf evaluate --workdir=DIR  measure a checkpoint offline and write a report
  ugf generate PROMPT         draw images from text
  ugf chat [QUESTION]         ask about images and draw, in a conversation
  ugf label --pictures=DIR    compare pictures on a web page: which is better?
  ugf rate --output=DIR       let a program compare pictures of a model instead
  ugf export RUN OUT          put a trained model into one folder
  ugf import SOURCE OUT       take over the weights of another project

`ugf VERB --help` explains each. Every verb is also `python -m ugf_jax.cli.VERB` (import: `import_weights`).
"""

import difflib
import importlib
import sys
from typing import NoReturn

from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE

VERBS = ("prepare", "inspect", "plan", "train", "evaluate", "generate", "chat", "label", "rate", "export", "import")


def run() -> NoReturn:
    """Entry point of the `ugf` command."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        sys.exit(EXIT_DONE if arguments else EXIT_BAD_INPUT)
    verb = arguments[0]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "verbs: " + ", ".join(VERBS)
        print(f"ugf: unknown verb '{verb}'; {hint}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    module = "import_weights" if verb == "import" else verb  # `import` is a word of Python
    importlib.import_module(f"ugf_jax.cli.{module}").run(arguments[1:])
    sys.exit(EXIT_DONE)
