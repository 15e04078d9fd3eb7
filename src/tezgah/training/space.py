"""Writing while training: a full disk is waited for, because hours of work stand behind the write."""

import time
from collections.abc import Callable

from tezgah.console import say, warn
from tezgah.files import FullDisk

SECONDS = 5.0  # between two tries


def with_space(write: Callable[[], None], is_stopped: Callable[[], bool]) -> None:
    """Write, and where the disk is full try again until there is space.

    Raises FullDisk when asked to stop meanwhile, which `is_stopped` tells.
    """
    waited = False
    while True:
        try:
            write()
        except FullDisk as error:
            if is_stopped():
                raise
            if not waited:
                what = str(error).partition(" Free some space")[0]
                warn(f"{what} The write waits: free some space and it goes on, or stop training with Ctrl-C.")
            waited = True
            time.sleep(SECONDS)
            continue
        if waited:
            say("there is space again: it is written")
        return
