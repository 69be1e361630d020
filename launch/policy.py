"""When a run that has ended is started again: the meaning of exit codes, in one place."""

from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_RETRY


class Restarts:
    """Counts restarts.

    0 is the end, and so is 2 (wrong input: it would be as wrong again). 75 (preempted, hung) starts again however often. A
    crash or a lost host starts again too, but at most `most` times: a bug would come back for ever.
    """

    def __init__(self, most: int):
        self.most, self.crashes = most, 0

    def again(self, code: int) -> bool:
        """Whether to start again after exit code `code` (negative or over 128: killed by a signal)."""
        if code in (EXIT_DONE, EXIT_BAD_INPUT):
            return False
        if code != EXIT_RETRY:
            self.crashes += 1
        return self.crashes <= self.most
