"""The filter says of every system call what is meant, on both machines; numbers are those of the system's headers."""

import errno
import re
import subprocess
from pathlib import Path

import pytest

from tezgah.evaluation.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}
HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}
MACHINES = ["x86_64", "aarch64"]


def refused(number: int) -> int:
    return 0x00050000 | number


def action(machine: str, number: int, arguments: tuple[int, ...] = (), audit: int = 0) -> int:
    """What the filter says of a call: classic BPF, the few instructions of it that are used, run by hand."""
    data = number.to_bytes(4, "little") + (audit or AUDIT[machine]).to_bytes(4, "little") + bytes(8)
    data += b"".join(value.to_bytes(8, "little") for value in (*arguments, *[0] * (6 - len(arguments))))
    steps, place, held = seccomp.program(machine), 0, 0
    while True:
        code, if_true, if_false, value = steps[place]
        if code == 0x20:
            held = int.from_bytes(data[value : value + 4], "little")
            place += 1
        elif code == 0x06:
            return value
        else:
            is_so = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += 1 + (if_true if is_so else if_false)


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_headers(machine: str) -> None:
    header = next((path for path in HEADERS[machine] if path.is_file()), None)
    if header is None:
        pytest.skip("no header of the system's calls here")
    told = (
        subprocess.run(["cc", "-E", "-dM", str(header)], capture_output=True, text=True).stdout
        if machine == "x86_64"
        else header.read_text()
    )
    numbers = {
        name: int(value) for name, value in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)$", told, re.MULTILINE)
    }
    if not numbers:
        pytest.skip("no compiler here")
    column = MACHINES.index(machine)
    known = {"newfstatat": "fstatat"} if machine == "aarch64" else {}
    ours = {name: calls[column] for name, calls in seccomp.ALLOWED.items() if calls[column] is not None}
    ours |= {"openat": seccomp._OPENAT[column], "fcntl": seccomp._FCNTL[column], "prlimit64": seccomp._PRLIMIT[column]}
    ours |= {"ioctl": seccomp._IOCTL[column], "clone3": seccomp._CLONE3[column], "openat2": seccomp._OPENAT2[column]}
    assert {name: numbers.get(known.get(name, name)) for name in ours} == ours


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_not_listed_is_refused(machine: str) -> None:
    column = MACHINES.index(machine)
    allowed = {calls[column] for calls in seccomp.ALLOWED.values()}
    special = {call[column] for call in (seccomp._OPEN, seccomp._OPENAT, seccomp._FCNTL, seccomp._PRLIMIT)}
    special |= {call[column] for call in (seccomp._IOCTL, seccomp._CLONE3, seccomp._OPENAT2)}
    for number in range(600):
        if number in allowed:
            assert action(machine, number) == ALLOW
        elif number not in special:
            assert action(machine, number) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_they_matter(machine: str) -> None:
    column = MACHINES.index(machine)
    openat, fcntl, prlimit = seccomp._OPENAT[column], seccomp._FCNTL[column], seccomp._PRLIMIT[column]
    assert openat and fcntl and prlimit
    assert action(machine, openat, (0, 0, 0o2000000)) == ALLOW  # reading, closed on exec
    for flag in (0o1, 0o2, 0o100, 0o1000, 0o2000, 0o20000000):
        assert action(machine, openat, (0, 0, flag)) == refused(errno.EACCES)
    assert [action(machine, fcntl, (3, command)) == ALLOW for command in (0, 1, 2, 3, 4, 8, 10, 1030, 1031)] == [
        *[True] * 4, *[False] * 3, True, False
    ]  # fmt: skip
    assert action(machine, prlimit, (0, 9, 0)) == ALLOW
    for arguments in ((0, 9, 5), (0, 9, 1 << 40), (7, 9, 0)):
        assert action(machine, prlimit, arguments) == refused(errno.EPERM)
    assert action(machine, seccomp._CLONE3[column] or 0) == refused(errno.ENOSYS)


def test_a_call_in_another_numbering_ends_the_process() -> None:
    assert action("x86_64", 0, audit=AUDIT["i386"]) == KILL
    assert action("x86_64", 0x40000000) == KILL
    assert action("aarch64", 63, audit=AUDIT["x86_64"]) == KILL
