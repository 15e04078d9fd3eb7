"""Writing while training: a full disk is waited for, because hours of work stand behind the write."""

import time
from collections.abc import Callable

from tezgah.console import say, warn
from tezgah.files import FullDisk
from tezgah.training.signals import StopWish

SECONDS = 5.0  # between two tries


def with_space(write: Callable[[], None], wish: StopWish) -> None:
    """Write, and where the disk is full try again until there is space.

    Raises FullDisk when asked to stop meanwhile.
    """
    waited = False
    while True:
        try:
            write()
        except FullDisk as error:
            if wish.made:
                raise
            if not waited:
                what = str(error).partition(" Free some space")[0]
                warn(f"{what} Training waits: free some space and it goes on, or stop it with Ctrl-C.")
            waited = True
            time.sleep(SECONDS)
            continue
        if waited:
            say("there is space again: training goes on")
        return
