"""The process in which `tasks.isolated` runs a program: isolates itself, tells that it is ready, runs it.

Run as a script by ``python -I -S``, so it knows the standard library only. Two processes: this one waits and tells how the
program ended; its child is isolated and becomes the program. The program is run in that interpreter, without exec, so that
neither the interpreter nor any other binary need be within its reach.

``namespaces``
    mount, PID, network, IPC, UTS and cgroup namespaces of its own, within a user namespace where this process may not make
    them otherwise. Its file system is a tmpfs with the standard library, read-only, and ``/tmp``. See namespaces(7) and
    pivot_root(2).
``landlock``
    the kernel's Landlock lets it read the standard library, and write in the present folder. See landlock(7).
``limits``
    nothing of the kind.

The first two end with the filter of `tasks.syscall_filter`. All three have limits of memory, time and files (setrlimit(2)).
"""

from __future__ import annotations

import binascii  # noqa: F401  these three need a library that the program will not see: loaded before
import bz2  # noqa: F401
import ctypes
import lzma  # noqa: F401
import os
import resource
import signal
import sys
from importlib.machinery import SourceFileLoader

NOBODY = 65534
OPEN_FILES = 32
WORK = "/tmp"  # noqa: S108  the isolated program's own, a file system that nobody else sees
PACKAGES = ("site-packages", "dist-packages")
"""Folders within the standard library's that are hidden: what is installed is not part of it."""

_libc = ctypes.CDLL(None, use_errno=True)
_NEW_USER, _NEW_OTHERS = 0x10000000, 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE, _DETACH = (
    1, 2, 4, 8, 32, 4096, 16384, 1 << 18, 2,
)  # fmt: skip
_DEATH_SIGNAL, _DUMPABLE, _SECCOMP, _NO_NEW_PRIVILEGES = 1, 4, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_FOLDER, _IN_FOLDER = 1 << 1, 1 << 2, 1 << 3, 1 << 5 | 1 << 8 | 1 << 14
"""Landlock's rights; the last: to remove, make and truncate files."""
_ALL_RIGHTS = (1 << 15) - 1


def main() -> None:
    """See the module. SIGTERM ends it together with its child.

    Arguments: kind, seconds, bytes of memory, bytes and number of files, status descriptor, lengths of what comes first on
    the standard input (filter, program). Told as the status: a line "ready" or "refused: why", then one with the wait
    status and the processor time in seconds.
    """
    kind = sys.argv[1]
    seconds, memory, files, number, status, filter_length, program_length = map(int, sys.argv[2:])
    _prctl(_DEATH_SIGNAL, signal.SIGKILL)
    code, program = _read(filter_length), _read(program_length)
    try:
        if kind == "namespaces":
            _enter_namespaces()
        child = os.fork()
        if child == 0:
            _prctl(_DEATH_SIGNAL, signal.SIGKILL)
            _isolate(kind, program, code, seconds, memory, files, number)
    except (OSError, ValueError) as error:
        os.write(status, f"refused: {error}\n".encode())
        os._exit(1)
    if child == 0:
        os.write(status, b"ready\n")
        os.close(status)
        _run()
    else:
        signal.signal(
            signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL)
        )  # and we see it end, so that it has ended
        _, ended, used = os.wait4(child, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(status, f"{ended} {used.ru_utime + used.ru_stime}\n".encode())
        os._exit(0)


def _read(length: int) -> bytes:
    """So many bytes of the standard input and not one more: the rest is the program's."""
    parts, missing = [], length
    while missing:
        part = os.read(0, missing)
        if not part:
            os._exit(1)
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _enter_namespaces() -> None:
    """Namespaces of its own for all children; root needs no user namespace, and in others there is one user, nobody."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEW_OTHERS) == 0:
        return
    _done("user namespaces", _libc.unshare(_NEW_USER | _NEW_OTHERS))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _isolate(kind: str, program: bytes, code: bytes, seconds: int, memory: int, files: int, number: int) -> None:
    """Everything that cannot be taken back, in the order in which each step is still allowed."""
    os.environ.clear()
    library = [path for path in sys.path if os.path.exists(path)]
    if kind == "namespaces":
        _own_file_system(library, files, number)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    with open("answer.py", "wb") as file:
        file.write(program)
    _prctl(_DEATH_SIGNAL, signal.SIGKILL)  # a change of user has cleared it
    _prctl(_DUMPABLE, 0)
    for name, value in (
        ("CORE", 0),
        ("NPROC", 0),
        ("NOFILE", OPEN_FILES),
        ("FSIZE", files),
        ("CPU", seconds),
        ("AS", memory),
    ):
        limit = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(limit)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (least, least))
    if kind != "limits":
        _drop_capabilities()
        _prctl(_NO_NEW_PRIVILEGES, 1)
        if kind == "landlock":
            _landlock(library)
        _load_filter(code)


def _own_file_system(library: list[str], files: int, number: int) -> None:
    """A root that holds the library, read-only, and ``/tmp``; the old root is gone. Put together over ``/proc``, the one
    folder that is there on every machine and whose content is not needed."""
    root = "/proc"
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, "size=1m,mode=755")
    os.mkdir(root + WORK)
    _mount(
        "tmpfs", root + WORK, "tmpfs", _NO_SUID | _NO_DEVICES | _NO_EXEC, f"size={files},nr_inodes={number},mode=777"
    )
    for path in library:
        target = root + path
        if os.path.exists(target):  # within one that is there already
            continue
        if os.path.isdir(path):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT))
        kept = os.statvfs(path).f_flag & _NO_EXEC  # what is locked in a user namespace may not be lost
        _mount(path, target, None, _BIND)
        _mount(None, target, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES | kept)
        for packages in PACKAGES:
            if os.path.isdir(f"{target}/{packages}"):
                _mount("tmpfs", f"{target}/{packages}", "tmpfs", _READ_ONLY | _NO_SUID | _NO_DEVICES, "size=4k")
    _mount(None, root, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)
    os.chdir(root)
    _done("pivot_root", _libc.pivot_root(b".", b"."))
    _done("umount", _libc.umount2(b".", _DETACH))
    os.chdir(WORK)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    names = [None if text is None else text.encode() for text in (source, target, kind)]
    result = _libc.mount(*names, ctypes.c_ulong(flags), None if data is None else data.encode())
    _done(f"mount on {target}", result)


def _drop_capabilities() -> None:
    """capset(2) with its third version of the header, for this thread: none are left."""
    _done("capset", _libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()))


def _landlock(library: list[str]) -> None:
    """May read the library, and write in the present folder. Rights are of whole trees, so that the library's packages are
    left out by allowing all that lies beside them."""
    call = _libc.syscall
    if call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1) < 3:
        raise OSError("no Landlock, or that of before Linux 6.2")
    handled = ctypes.c_uint64(_ALL_RIGHTS)
    rules = call(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    _done("Landlock", rules)

    def allow(path: str, rights: int) -> None:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = rights.to_bytes(8, sys.byteorder) + beneath.to_bytes(4, sys.byteorder)
        _done(f"Landlock for {path}", call(_LANDLOCK_ADD, rules, 1, rule, 0))
        os.close(beneath)

    allow(".", _WRITE_FILE | _READ_FILE | _READ_FOLDER | _IN_FOLDER)
    for path in library:
        if not os.path.isdir(path):
            allow(path, _READ_FILE)
            continue
        allow(path, _READ_FOLDER)
        for entry in os.scandir(path):
            if entry.name not in PACKAGES:
                allow(entry.path, _READ_FILE)
    _done("Landlock", call(_LANDLOCK_RESTRICT, rules, 0))
    os.close(rules)


def _load_filter(code: bytes) -> None:
    """``struct sock_fprog``: how many instructions, and where they are."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    loaded = Program(len(code) // 8, code)
    _done(
        "seccomp", _libc.prctl(_SECCOMP, ctypes.c_ulong(2), ctypes.byref(loaded), ctypes.c_ulong(0), ctypes.c_ulong(0))
    )


def _prctl(option: int, value: int) -> None:
    """Nothing on other systems than Linux, which have ``limits`` alone."""
    if sys.platform == "linux":
        _done("prctl", _libc.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3))


def _done(what: str, result: int) -> None:
    """Raise `OSError` where a call of the C library failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _run() -> None:
    """The program as ``__main__``; what it raises is shown without the frames of this file."""
    path = os.path.abspath("answer.py")
    loader = SourceFileLoader("__main__", path)
    module = type(sys)("__main__")
    module.__file__, module.__loader__ = path, loader
    sys.modules["__main__"], sys.argv[:] = module, [path]
    try:
        loader.exec_module(module)
    except Exception as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != path:
            frames = frames.tb_next
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        sys.exit(1)


if __name__ == "__main__":
    main()
