"""Becomes a server: run as a script by `child.py`, it arranges the server's death, drops root, and execs.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID BYPASS WATCH_FD EXECUTABLE [ARGUMENT ...]

A process of its own rather than a `preexec_fn`: Python code between fork and exec can deadlock in a parent
with threads. It imports only the standard library, and little of it: it is on the way of every start (20 ms).
UID is -1 when we are not root; WATCH_FD is -1 where the kernel ends orphans, and nobody needs to watch.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main(argv: list[str]) -> None:
    """Turn this process into the server; ends only by an exec or an error."""
    parent, death_signal, uid, gid, bypass, watch_fd = (int(word) for word in argv[1:7])
    command = argv[7:]
    os.umask(0o077)
    if watch_fd >= 0:  # told before the exec: a parent killed in between leaves nobody unknown to the watchdog
        os.write(watch_fd, f"add {os.getpid()} {death_signal}\n".encode())
        os.close(watch_fd)
    if uid >= 0:
        become(uid, gid, keep_way=bool(bypass))
    if watch_fd < 0:
        die_with(parent, death_signal)
    os.execv(command[0], command)  # noqa: S606 (no shell is the point)


def become(uid: int, gid: int, *, keep_way: bool) -> None:
    """Drop root for an account; `keep_way` keeps the one capability that passes closed folders."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups([gid])
    os.setgid(gid)
    if keep_way:
        _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    os.setuid(uid)
    if keep_way:
        bit = 1 << CAP_DAC_OVERRIDE
        sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
        _check(libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), sets), "capset")
        _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "PR_CAP_AMBIENT")


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel signal us when the thread that started us ends (Linux).

    After `become`, because changing the user clears the setting. The parent may have died before the call:
    then nobody would signal us, so we look and leave.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        sys.exit("launch: the parent died before the start")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        sys.exit(f"launch: Permission denied or unsupported: {what}: {os.strerror(code)}")


if __name__ == "__main__":
    main(sys.argv)
