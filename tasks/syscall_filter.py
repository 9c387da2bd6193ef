"""The system calls that an isolated program may make, as a seccomp filter in classic BPF. Whatever is not listed is refused
with EPERM: no other process or thread, no socket, no signal, no link, no change of modes or owners, no memory shared with
others, none of the calls that name another process, and no interface of the kernel that a single program does not need.

Source: the kernel's Documentation/userspace-api/seccomp_filter.rst; numbers from asm/unistd_64.h and asm-generic/unistd.h.
It does not know how a filter is loaded: `tasks.isolated_child` does that.
"""

from __future__ import annotations

import platform
import struct

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # what every program does: memory, time, its own state
    "brk": (12, 214),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "nanosleep": (35, 101),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getrusage": (98, 165),
    "times": (100, 153),
    "uname": (63, 160),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # signals that it gives itself by a timer; none can be sent
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "alarm": (37, None),
    "pause": (34, None),
    # files, where the mount namespace or Landlock lets it
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "open": (2, None),
    "openat": (257, 56),
    "close": (3, 57),
    "close_range": (436, 436),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "umask": (95, 166),
    # pipes and waiting, within the program
    "pipe": (22, None),
    "pipe2": (293, 59),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
}
"""Name -> number on x86-64 and on 64-bit ARM, None where there is none."""

SECOND_ARGUMENT: dict[str, tuple[int, ...]] = {
    # is it a terminal, its window, close on exec or not, bytes waiting; not TIOCSTI, FIOSETOWN, ...
    "ioctl": (0x5401, 0x5413, 0x5451, 0x5450, 0x541B),
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; not F_SETOWN, which sends signals, nor F_SETPIPE_SZ
    "fcntl": (0, 1, 2, 3, 4, 1030),
}
"""Calls that are let through for these commands alone (an unsigned int, so its low 32 bits are all that counts)."""

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> its column of `NUMBERS`, and AUDIT_ARCH, so that calls by another calling convention are refused."""

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
_NUMBER, _ARCHITECTURE, _SECOND = 0, 4, 24


def syscall_filter(machine: str | None = None) -> bytes:
    """The filter as ``struct sock_filter`` records of 8 bytes; empty where the machine's numbers are not known here.

    Args:
        machine: as `platform.machine` names it; this one where None.
    """
    if (machine or platform.machine()) not in _MACHINES:
        return b""
    column, architecture = _MACHINES[machine or platform.machine()]
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, met=1),
        _step(_RETURN, _REFUSE),
        _step(_LOAD, _NUMBER),
    ]
    for name, numbers in NUMBERS.items():
        number = numbers[column]
        if number is None:
            continue
        allowed = SECOND_ARGUMENT.get(name)
        if allowed is None:
            code += [_step(_EQUAL, number, unmet=1), _step(_RETURN, _ALLOW)]
        else:
            code += [_step(_EQUAL, number, unmet=2 + 2 * len(allowed)), _step(_LOAD, _SECOND)]
            for value in allowed:
                code += [_step(_EQUAL, value, unmet=1), _step(_RETURN, _ALLOW)]
            code.append(_step(_RETURN, _REFUSE))
    code.append(_step(_RETURN, _REFUSE))
    return b"".join(code)


def _step(code: int, value: int, met: int = 0, unmet: int = 0) -> bytes:
    """One instruction; ``met`` and ``unmet`` are how many the next ones it jumps over."""
    return struct.pack("HBBI", code, met, unmet, value)
