"""A command that ends when the process that started it has ended: `python -m tezgah.attended PROCESS run …`.

A sweep starts its points so. Where it is killed it leaves none of them working on unseen: they stop as at Ctrl-C, with
a checkpoint, and the next sweep goes on from there.
"""

import os
import signal
import sys
import threading
import time

from tezgah.cli import main

LOOK_SECONDS = 0.5
GRACE_SECONDS = 30.0  # for a step and a checkpoint; whatever is written later is written whole or not at all


def _end_with(parent: int) -> None:
    """Stop this process once `parent` is not its parent any more: as a user would, then for good."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv.pop(1)),), name="attended", daemon=True).start()
    sys.exit(main())
