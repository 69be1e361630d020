"""What every verb shares: flags of its own, help that teaches, exit codes, `results.json`."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags, logging
from etils import epath

from ugf_jax.errors import EXIT_DONE, InputError, UgfError

Main = Callable[[Sequence[str], flags.FlagValues], None]
_made: list[epath.Path] = []  # folders that this command made for what it writes


def run(verb: str, doc: str, own_flags: flags.FlagValues, main: Main, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a verb as a program: parses `argv` (default: the command line) and exits with the verb's code."""
    try:
        code = call(verb, doc, own_flags, main, sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `ugf inspect … | head` ends quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_DONE
    sys.exit(code)


def call(verb: str, doc: str, own_flags: flags.FlagValues, main: Main, argv: Sequence[str]) -> int:
    """Runs a verb and returns its exit code; errors meant for the user become one line on standard error."""
    logging.set_verbosity(logging.WARNING)
    if any(a in ("-h", "--help", "-help", "--helpfull") for a in argv):
        print(help_text(verb, doc, own_flags))
        return EXIT_DONE
    _made.clear()
    try:
        positional = parse_flags(verb, own_flags, argv)
        main(positional, own_flags)
    except UgfError as error:
        for folder in _made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        print(f"ugf {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"ugf {verb}: stopped", file=sys.stderr)
        return 130
    return EXIT_DONE


def parse_flags(verb: str, own_flags: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Parses `argv` into `own_flags` and returns the positional arguments.

    Raises:
      InputError: an unknown flag, a value that does not parse, or an unknown `--config.…` key.
    """
    before, sys.argv = sys.argv, [f"ugf {verb}", *argv]  # where config_flags looks for overrides of a config
    try:
        return own_flags(sys.argv)[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        # ml_collections reports unknown keys, wrong types and unreadable config files with these.
        text = unknown_key(error, argv) if isinstance(error, (AttributeError, KeyError)) else str(error)
        start, traceback, lines = text.partition("Traceback (most recent call last)")
        if traceback:
            text = start + lines.strip().splitlines()[-1]  # what the config file itself has raised
        raise InputError(" ".join(text.split()) + f" (see ugf {verb} --help)") from error
    finally:
        sys.argv = before


def unknown_key(error: Exception, argv: Sequence[str]) -> str:
    """What ml_collections means by an unknown key: often it says no more than its last part."""
    text = str(error.args[0]) if error.args else ""
    said, _, hint = text.replace("\\n", "\n").partition("\n")
    key, meant = said.strip("'\"\\"), re.search(r'Did you mean "(\w+)"', hint)
    for argument in argv:
        path = argument.lstrip("-").partition("=")[0]
        if path.startswith("config.") and key.isidentifier() and key in path.split("."):
            return f"{path}: the config has no such key" + (f"; did you mean {meant[1]}?" if meant else "")
    return text


def help_text(verb: str, doc: str, own_flags: flags.FlagValues) -> str:
    """The verb's documentation followed by its flags, one paragraph each."""
    lines = [doc.strip(), "", "Flags:"]
    own = own_flags.flags_by_module_dict()
    for flag in sorted((f for module in own.values() for f in module), key=lambda f: f.name):
        default = "" if flag.default is None else f" (default: {flag.default_as_str})"
        lines.append(f"  --{flag.name}: {flag.help}{default}")
    return "\n".join(lines)


def output_folder(path: str | os.PathLike[str], flag: str) -> epath.Path:
    """Makes `path` a folder that can be written to; a verb that refuses its input leaves no empty one behind.

    Raises:
      InputError: it is a file, or it cannot be made or written.
    """
    folder = epath.Path(path)
    try:
        if not folder.exists():
            _made.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink(missing_ok=True)  # another host may have a process of this number
    except OSError as error:
        raise InputError(f"{flag} {path}: cannot write there ({error.strerror or error}); name a writable folder") from error
    return folder
