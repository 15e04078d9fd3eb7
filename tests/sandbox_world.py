"""What stands around an attack on the sandbox: things worth stealing, breaking or calling, and who is watching."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tezgah.evaluation.tasks import Task

ATTACKS = Path(__file__).parent / "attacks"
NAMES = sorted(path.stem for path in ATTACKS.glob("*.txt"))
HONEST = "def answer(items):\n    return sum(items)\n"
TEST = """
def check(candidate):
    "MARK OF THE TEST"
    items = [1, 2, 3]
    assert candidate(items) == sum(items)
    assert candidate([]) == 0
    assert abs(candidate([2, 2]) - 4) < 1e-6
"""


@dataclass(frozen=True)
class World:
    """A folder with a secret, and servers that nobody should call."""

    folder: Path
    task: Task
    servers: tuple[socket.socket, ...]
    memory_bytes: int  # of the sandbox: it stands in the command lines of its processes, so they can be found

    def harm(self) -> list[str]:
        """What has changed: files, calls that came in, processes that are left."""
        found = [
            f"file {path.name}" for path in self.folder.rglob("*") if path.name not in ("secret", "link", "socket")
        ]
        secret = self.folder / "secret"
        if not secret.is_file() or secret.read_text() != "open sesame" or secret.stat().st_mode & 0o777 != 0o600:
            found.append("the secret")
        found += [f"a call to {server.getsockname()!r}" for server in self.servers if _was_called(server)]
        return found

    def processes(self) -> set[int]:
        """The processes of sandboxes of this world."""
        return {int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and self._is_ours(each)}

    def _is_ours(self, process: Path) -> bool:
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return str(self.memory_bytes).encode() in words


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make one in an empty folder."""
    secret = folder / "secret"
    secret.write_text("open sesame")
    secret.chmod(0o600)
    (folder / "link").symlink_to(secret)
    abstract = f"tezgah{folder}"[-100:]
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        with socket.socket(socket.AF_UNIX) as path, socket.socket(socket.AF_UNIX) as name:
            path.bind(str(folder / "socket"))
            name.bind("\0" + abstract)
            for server in (path, name):
                server.listen()
            for server in (tcp, udp, path, name):
                server.setblocking(False)
            known = {"SECRET": str(secret), "FOLDER": str(folder), "LINK": str(folder / "link"), "ABSTRACT": abstract}
            known |= {"SOCKET": str(folder / "socket")}
            prompt = f"PORT, PARENT = {tcp.getsockname()[1]}, {os.getpid()}\n"
            prompt += "".join(f"{each} = {value!r}\n" for each, value in known.items())
            task = Task("attack", prompt, TEST, "answer", HONEST)
            yield World(folder, task, (tcp, udp, path, name), (1 << 29) + os.getpid() % 4096 * 4096 + len(str(folder)))


def attack(name: str) -> str:
    """The program of an attack."""
    return (ATTACKS / f"{name}.txt").read_text(encoding="utf-8")


def _was_called(server: socket.socket) -> bool:
    try:
        if server.type == socket.SOCK_DGRAM:
            server.recv(1)
        else:
            server.accept()[0].close()
    except BlockingIOError:
        return False
    return True
