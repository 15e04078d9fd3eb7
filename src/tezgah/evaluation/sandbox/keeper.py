"""The process that candidates' processes are forked from. It has seen no task and no completion.

So there is nothing of another sample, and no test, in the memory that a candidate inherits.
"""

import gc
import os
import signal
import socket

from tezgah.evaluation.sandbox import cell, namespaces
from tezgah.evaluation.sandbox.confinement import Confinement
from tezgah.evaluation.sandbox.forking import fork, keep_only

START, END = b"s", b"e"
NO_NAMESPACES = b"n"
READY = b"r"


class Keeper:
    """The other process's side: starts a candidate's process, ends it."""

    def __init__(self, confinement: Confinement, with_namespaces: bool) -> None:
        self.control, theirs = socket.socketpair()
        self.process = fork(lambda: _main(theirs, confinement, with_namespaces))
        theirs.close()
        self.is_ready = self.control.recv(1) == READY

    def start(self) -> list[int]:
        """Start a candidate's process.

        Returns a file descriptor of the link to it, and one of the process, where the system has such.
        """
        self.control.sendall(START)
        said, descriptors, _, _ = socket.recv_fds(self.control, 1, 2)
        if not said:
            raise RuntimeError("the keeper has ended")
        return descriptors

    def end(self) -> int:
        """Kill that process, whatever it does; returns how it ended, as `os.waitpid` tells it."""
        self.control.sendall(END)
        return int.from_bytes(self.control.recv(4), "big")

    def close(self) -> None:
        """End the keeper, and with it all it has started."""
        self.control.close()
        os.waitpid(self.process, 0)


def _main(control: socket.socket, confinement: Confinement, with_namespaces: bool) -> None:
    keep_only(0, 1, 2, control.fileno(), *confinement.descriptors)
    if with_namespaces:
        try:
            namespaces.enter()
        except OSError:
            control.sendall(NO_NAMESPACES)
            return
        first = os.fork()  # the first process of the new world: when it ends, everything in that world ends
        if first:
            control.close()
            os.waitpid(first, 0)
            return
    confinement.prepare()
    cell.rehearse()
    gc.collect()
    gc.freeze()
    control.sendall(READY)
    while _keep_one(control, confinement):
        pass


def _keep_one(control: socket.socket, confinement: Confinement) -> bool:
    """Start one candidate's process and end it, when told; False when nobody tells any more."""
    if not control.recv(1):
        return False
    ours, theirs = socket.socketpair()
    process = fork(lambda: cell.main(theirs.fileno(), confinement))
    descriptors = [ours.detach(), *_descriptors_of(process)]
    theirs.close()
    socket.send_fds(control, [START], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    said = control.recv(1)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if said:
        control.sendall(status.to_bytes(4, "big"))
    return bool(said)


def _descriptors_of(process: int) -> list[int]:
    """A file descriptor of a process, where this Python and this system have such."""
    try:
        return [os.pidfd_open(process)]
    except (AttributeError, OSError):  # an older kernel, or a sandbox around this one
        return []
