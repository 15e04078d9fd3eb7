"""seccomp: the kernel refuses every system call that computing does not need.

The list says what is allowed, so a call that a later kernel invents is refused too. Refused means
EPERM, which Python raises as PermissionError; a call in another machine's or x32 numbering ends the
process, because this list would mean other calls there. See seccomp(2); the filter is classic BPF.
"""

import ctypes
import errno
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tezgah.evaluation.sandbox.system import IS_KNOWN, MACHINE, SECCOMP, ready, syscall

# (x86_64, aarch64); None where the machine has no such call
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # to read what is open or may be opened, to answer
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "poll": (7, None),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "select": (23, None),
    "dup": (32, 23),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "newfstatat": (262, 79),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "statx": (332, 291),
    "faccessat2": (439, 439),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # its own signals, threads' locks, end
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # clocks, randomness, who am I
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "sched_getaffinity": (204, 123),
}

_OPEN, _OPENAT, _FCNTL, _PRLIMIT = (2, None), (257, 56), (72, 25), (302, 261)
_IOCTL, _CLONE3, _OPENAT2 = (16, 29), (435, 435), (437, 437)
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o10000000 | 0o20000000  # any flag beyond plain reading
_HARMLESS_FCNTL = (0, 1, 2, 3, 1030)  # duplicate, read and set flags: no signals to an owner, no leases, no locks

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # AUDIT_ARCH, column above
_X32 = 0x40000000

_SET_FILTER, _ASK_FOR_ACTION = 1, 2
_KILL, _ALLOW = 0x80000000, 0x7FFF0000  # the whole process; go on
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data, bytes; the low half of an argument first

Step = tuple[int, int, int, int]  # code, steps to skip if true, if false, value


@dataclass(frozen=True)
class _Rule:
    """A call that depends on an argument."""

    call: tuple[int | None, int | None]
    steps: list[Step]  # run with the call's number known to be this; ends in a return


def program(machine: str = MACHINE) -> list[Step]:
    """The filter of a machine, as steps of classic BPF.

    A call is found by halving, not in a list from its beginning to its end: the kernel tries the filter on every
    number there is whenever a process puts it on.
    """
    audit, column = _ARCHITECTURES[machine]
    answers = {number: [_yes()] for calls in ALLOWED.values() if (number := calls[column]) is not None}
    answers |= {number: rule.steps for rule in _rules() if (number := rule.call[column]) is not None}
    otherwise, begins = [_no(errno.EPERM)], [(0, [_no(errno.EPERM)])]  # each answer holds up to where the next begins
    for number in sorted({place + after for place in answers for after in (0, 1)}):
        if (answer := answers.get(number, otherwise)) != begins[-1][1]:
            begins.append((number, answer))
    steps: list[Step] = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        steps += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    return steps + _found(begins)


def _found(begins: list[tuple[int, list[Step]]]) -> list[Step]:
    """Go to the answer of the call whose number is loaded: the last one that begins at it or before."""
    if len(begins) == 1:
        return begins[0][1]
    middle = len(begins) // 2
    below = _found(begins[:middle])
    return [(_AT_LEAST, len(below), 0, begins[middle][0]), *below, *_found(begins[middle:])]


def is_available() -> bool:
    """Whether this system filters system calls, on a machine whose numbers are known here."""
    if not IS_KNOWN:
        return False
    try:
        return syscall(SECCOMP, _ASK_FOR_ACTION, 0, struct.pack("=I", _refuse(0))) == 0
    except OSError:
        return False


def restriction() -> Callable[[], object]:
    """Puts the process that calls it under this machine's filter, for good.

    That process must have said that it wants no new privileges.
    """
    steps = program()
    content = b"".join(struct.pack("=HBBI", *step) for step in steps)
    return ready(SECCOMP, _SET_FILTER, 0, _Program(len(steps), content))


def _rules() -> Iterator[_Rule]:
    for call, place in ((_OPEN, 1), (_OPENAT, 2)):
        yield _Rule(call, [_low(place), (_ANY_BIT, 0, 1, _WRITING), _no(errno.EACCES), _yes()])
    same = [(_EQUAL, len(_HARMLESS_FCNTL) - place, 0, code) for place, code in enumerate(_HARMLESS_FCNTL)]
    yield _Rule(_FCNTL, [_low(1), *same, _no(errno.EPERM), _yes()])
    # prlimit64(own process, resource, new limit = none, …): limits may be read
    yield _Rule(
        _PRLIMIT,
        [_low(0), (_EQUAL, 0, 4, 0), _low(2), (_EQUAL, 0, 2, 0), _high(2), (_EQUAL, 1, 0, 0), _no(errno.EPERM), _yes()],
    )
    yield _Rule(_IOCTL, [_no(errno.ENOTTY)])  # "not a terminal", as a file would answer
    for call in (_CLONE3, _OPENAT2):
        yield _Rule(call, [_no(errno.ENOSYS)])  # so that the C library falls back to the older call


def _low(argument: int) -> Step:
    return _LOAD, 0, 0, _ARGUMENTS + 8 * argument


def _high(argument: int) -> Step:
    return _LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4


def _yes() -> Step:
    return _RETURN, 0, 0, _ALLOW


def _no(number: int) -> Step:
    return _RETURN, 0, 0, _refuse(number)


def _refuse(number: int) -> int:
    return 0x00050000 | number


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))
