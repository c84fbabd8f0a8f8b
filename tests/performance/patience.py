"""Measures again what others have disturbed, as long as there is time for it."""

import time

# Of a virtual machine: cores that are given to others while something runs. From so many on, it is worth another try.
DISTURBED_CORES = 0.1
# So often at most, one after another.
TRIES = 3


class Patience:
    """So many seconds, for all that is measured again together."""

    def __init__(self, seconds):
        self.seconds = seconds

    def quietest(self, measure):
        """The runs that `measure` gives. When cores were taken from the machine meanwhile it is called again, and those runs
        count during which least was taken, whatever they say."""
        best = measure()
        for _ in range(TRIES - 1):
            if self.seconds <= 0 or taken(best) < DISTURBED_CORES:
                break
            began = time.monotonic()
            best = min(best, measure(), key=taken)
            self.seconds -= time.monotonic() - began
        return best


def taken(runs):
    """The most that was taken from the machine during one of these runs, in cores."""
    return max(run.get("stolen_cpu_cores") or 0 for run in runs)
