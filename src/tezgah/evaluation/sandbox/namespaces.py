"""Namespaces: a layer more, where the system lets everybody make them.

Behind them are no other processes, no network, not even a loopback, and no place to write. Many
containers and some distributions forbid them, so nothing rests on them. See namespaces(7).
"""

import os
import struct
from pathlib import Path

from tezgah.evaluation.sandbox.system import MOUNT_SETATTR, mount, syscall, unshare

_NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
_ALL = _NEW_MOUNTS | _NEW_CGROUP | _NEW_UTS | _NEW_IPC | _NEW_USER | _NEW_PROCESSES | _NEW_NETWORK
_RECURSIVE, _PRIVATE, _READ_ONLY = 0x4000, 1 << 18, 1
_WHOLE_TREE = 0x8000  # AT_RECURSIVE
_READ_ONLY_MOUNT = 0x1


def enter() -> None:
    """Move this process into namespaces of its own; its next child is the first process of its world.

    Raises OSError where that is forbidden; the process is of no further use then.
    """
    user, group = os.geteuid(), os.getegid()
    unshare(_ALL)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    mount(None, b"/", None, _RECURSIVE | _PRIVATE)
    mount(b"none", b"/proc", b"tmpfs", _READ_ONLY)  # an empty folder in the place of what tells of processes
    attributes = struct.pack("=QQQQ", _READ_ONLY_MOUNT, 0, 0, 0)
    syscall(MOUNT_SETATTR, -100, b"/", _WHOLE_TREE, attributes, len(attributes))
