"""Errors that end a command in one clear line, and the exit codes that go with them."""

EXIT_DONE = 0
EXIT_BAD_INPUT = 2  # a wrong config, file, checkpoint or request: do not retry
EXIT_RETRY = 75  # preempted or hung: run the same command again


class UgfError(Exception):
    """An error with a message meant for the user; commands print it and exit with `exit_code`."""

    exit_code = EXIT_BAD_INPUT


class InputError(UgfError):
    """Something the user gave is wrong. The message names the file, key or shape and what would be right."""


class RetryError(UgfError):
    """The work stopped through no fault of its input; the same command continues it."""

    exit_code = EXIT_RETRY
