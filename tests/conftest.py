"""What every test lives by: no network, the same examples on every run, shared data or a skip."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Beside another worker, threads of small products wait for one another more than they work: half the time in all.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("house", derandomize=True, deadline=None)
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The README's commands are one long test: what starts last would leave the other workers idle at the end."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = str(address[0])
    return host in ("localhost", "::1", "") or host.startswith("127.")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Whatever would leave this machine raises, here; libraries in child processes are told that they are offline."""
    with pytest.MonkeyPatch.context() as patch:

        def guard(name: str) -> None:
            original = getattr(socket.socket, name)

            def guarded(self: socket.socket, *arguments: Any) -> Any:
                if not _is_local(arguments[-1]):
                    raise RuntimeError(f"a test tried to reach {arguments[-1]}: the suite runs without a network")
                return original(self, *arguments)

            patch.setattr(socket.socket, name, guarded)

        for name in ("connect", "connect_ex", "sendto"):
            guard(name)
        resolve = socket.getaddrinfo

        def resolve_local(host: Any, *arguments: Any, **named: Any) -> Any:
            if host is not None and not _is_local((host if isinstance(host, str) else host.decode(),)):
                raise RuntimeError(f"a test tried to look up {host}: the suite runs without a network")
            return resolve(host, *arguments, **named)

        patch.setattr(socket, "getaddrinfo", resolve_local)
        for library in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
            patch.setenv(library, "1")
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real texts beside the repository; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared/data beside the repository")
    return folder
