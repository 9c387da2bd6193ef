"""Programs that nobody has read, such as answers of a model that are code, run in an isolated process: no network, no
files but the standard library (read-only) and a temporary folder, no other process, limits of time, memory and output.

What isolates is the kernel (`tasks.isolated_child` says how), so a program that takes its interpreter apart gains nothing.
It does not know what a program is for: whoever judges what came out must hold it against something that was never in there.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from configs.errors import ConfigError, require
from tasks.syscall_filter import syscall_filter

MECHANISMS = ("namespaces", "landlock")
"""What isolates, the stronger first."""

ISOLATION = ("full", *MECHANISMS, "limits")
"""What a configuration may ask for: the first of `MECHANISMS` that this machine has, one of them by name, or, where the user
says so, none: a process with limits, which can read and write the user's files and use the network."""

OUTPUT_BYTES = 2**20
"""Each of the two outputs; a program that puts out more is stopped."""

FILES_BYTES, FILES = 16 * 2**20, 1000
"""Of the temporary folder; with ``landlock`` looked at every `LOOK_SECONDS`, so somewhat more can be there for a moment."""

START_SECONDS, END_SECONDS, LOOK_SECONDS = 60.0, 10.0, 0.02
CPU_FACTOR = 2.0
"""Processor time ends at so many times the time limit, by the kernel, were we no longer there to end it. Not earlier, since
a kernel may count by ticks, which comes to too much on a busy machine."""

LEAST_MEMORY_MB = 64
"""The interpreter itself has about 30."""

_CHILD = str(Path(__file__).with_name("isolated_child.py"))


@dataclass(frozen=True)
class IsolatedRun:
    """How a program ended.

    Args:
        returncode: as `subprocess` has it, below zero for a signal (running out of memory mostly is 1, a `MemoryError`).
            None where it was stopped: by the time limit, for more output or files than it may have, or by the system.
        stdout: what it put out, as UTF-8; the first `OUTPUT_BYTES`.
        stderr: likewise.
        timed_out: it was stopped by the time limit.
    """

    returncode: int | None
    stdout: str
    stderr: str
    timed_out: bool


def run_isolated(
    program: str, *, stdin: str = "", seconds: float, memory_mb: int, isolation: str = "full"
) -> IsolatedRun:
    """Run a Python program by itself. Safe to call from many threads at once, which is how many are run in parallel.

    Args:
        program: its source; it is ``__main__``, with the standard library of this interpreter.
        stdin: its standard input.
        seconds: time limit, from when it is ready to run.
        memory_mb: address space in MiB, the interpreter's own included.
        isolation: one of `ISOLATION`.

    Raises:
        ConfigError: invalid limits, or this machine does not have the isolation that is asked for.
        RuntimeError: the interpreter does not start.
    """
    require(0 < seconds < math.inf, "seconds", seconds, "must be positive and finite")
    require(memory_mb >= LEAST_MEMORY_MB, "memory_mb", memory_mb, f"must be at least {LEAST_MEMORY_MB}")
    if isolation not in ISOLATION:
        raise ConfigError("isolation", isolation, "is not known", ISOLATION)
    kind = mechanism() if isolation == "full" else isolation
    run, refusal = _run(kind, program, stdin, seconds, memory_mb)
    if run is None:
        raise ConfigError("isolation", isolation, f"cannot be had on this machine ({refusal}). {_WHAT_TO_DO}")
    return run


@cache
def mechanism() -> str:
    """The first of `MECHANISMS` that this machine has, tried with an empty program; for checks before anything is paid for.

    Raises:
        ConfigError: it has none.
    """
    refusals = []
    for kind in MECHANISMS:
        run, refusal = _run(kind, "", "", START_SECONDS, LEAST_MEMORY_MB)
        if run is not None:
            return kind
        refusals.append(f"{kind}: {refusal}")
    raise ConfigError("isolation", "full", f"cannot be had on this machine ({'; '.join(refusals)}). {_WHAT_TO_DO}")


_WHAT_TO_DO = (
    "Linux on x86-64 or 64-bit ARM has it where user namespaces are allowed (sysctl user.max_user_namespaces, "
    "kernel.apparmor_restrict_unprivileged_userns; in a container: --cap-add SYS_ADMIN) or with Landlock, from Linux 6.2. "
    "isolation=limits runs programs without it: they can then read and write your files and use your network"
)


@dataclass
class _Conversation:
    """What has come from the process so far, and how long it still has."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: bytearray = field(default_factory=bytearray)
    ready: bool = False
    deadline: float = field(default_factory=lambda: time.monotonic() + START_SECONDS)
    late: bool = False
    too_much: bool = False


def _run(
    kind: str, program: str, stdin: str, seconds: float, memory_mb: int
) -> tuple[IsolatedRun, None] | tuple[None, str]:
    """The run, or why this kind of isolation cannot be had."""
    code = syscall_filter() if kind in MECHANISMS else b""
    if os.name != "posix" or (kind in MECHANISMS and not code):
        return None, "neither Linux on x86-64 nor on 64-bit ARM"
    if kind in MECHANISMS and not sys.platform.startswith("linux"):
        return None, f"{sys.platform} is not Linux"
    source = program.encode(errors="replace")
    limits = (math.ceil(CPU_FACTOR * seconds), memory_mb * 2**20, FILES_BYTES, FILES)
    with _folder(kind) as folder, _process(kind, folder, limits, (len(code), len(source))) as (child, status):
        told = _Conversation()
        given = code + source + stdin.encode(errors="replace")
        _converse(child, status, given, seconds, None if kind == "namespaces" else folder, told)
    lines = told.status.decode().splitlines()
    if lines and lines[0].startswith("refused: "):
        return None, lines[0].removeprefix("refused: ")
    if not told.ready:
        raise RuntimeError(f"the process for isolated programs does not start: {told.stderr.decode(errors='replace')}")
    returncode = None
    if len(lines) > 1 and not (told.late or told.too_much):
        ended, used = lines[1].split()
        returncode = os.waitstatus_to_exitcode(int(ended))
        if returncode == -signal.SIGKILL:  # which it cannot send itself
            returncode, told.late = None, float(used) > min(seconds, CPU_FACTOR * seconds) / 2
    stdout, stderr = (out[:OUTPUT_BYTES].decode(errors="replace") for out in (told.stdout, told.stderr))
    return IsolatedRun(returncode, stdout, stderr, told.late), None


@contextlib.contextmanager
def _folder(kind: str) -> Iterator[str]:
    """Where the process starts: a temporary folder, unless it makes one of its own where nobody else sees it."""
    if kind == "namespaces":
        yield "/"
    else:
        folder = tempfile.mkdtemp(prefix="isolated-")
        try:
            yield folder
        finally:
            with contextlib.suppress(RecursionError):  # a tree of thousands of levels, possible with limits alone
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _process(
    kind: str, folder: str, limits: tuple[int, ...], lengths: tuple[int, int]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of `tasks.isolated_child` and where its status is read; nothing of it is left at the end."""
    reading, writing = os.pipe()
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}  # some interpreters need it
    numbers = (str(number) for number in (*limits, writing, *lengths))
    try:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", _CHILD, kind, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(writing,),
            env=kept,
            cwd=folder,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        yield child, reading
    finally:
        child.terminate()
        _await_end(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what has left a process with limits alone, or does not react
        child.wait()
        os.close(reading)
        for pipe in (child.stdin, child.stdout, child.stderr):
            assert pipe is not None
            pipe.close()


def _await_end(status: int) -> None:
    """Until the process, which alone holds the other end of the status, has seen its child end, and has ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(status, selectors.EVENT_READ)
        while selector.select(END_SECONDS) and os.read(status, 2**16):
            pass


def _converse(
    child: subprocess.Popen[bytes], status: int, given: bytes, seconds: float, folder: str | None, told: _Conversation
) -> None:
    """Give the process what it reads and take what it writes, until it has ended or has to be stopped."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    inlet, outlets = child.stdin.fileno(), {child.stdout.fileno(): told.stdout, child.stderr.fileno(): told.stderr}
    rest = memoryview(given)
    with selectors.DefaultSelector() as selector:
        selector.register(inlet, selectors.EVENT_WRITE)
        for outlet in (status, *outlets):
            selector.register(outlet, selectors.EVENT_READ)
        for descriptor in (inlet, status, *outlets):
            os.set_blocking(descriptor, False)
        while status in selector.get_map():
            left = told.deadline - time.monotonic()
            told.late = left <= 0
            told.too_much = any(len(out) > OUTPUT_BYTES for out in outlets.values()) or _overfull(folder)
            if told.late or told.too_much:
                return
            for key, _ in selector.select(left if folder is None else min(left, LOOK_SECONDS)):
                if key.fd == inlet:
                    rest = _give(inlet, rest)
                    if not rest:
                        selector.unregister(inlet)
                        child.stdin.close()
                elif not _take(key.fd, told.status if key.fd == status else outlets[key.fd]):
                    selector.unregister(key.fd)
            if not told.ready and told.status.startswith(b"ready\n"):
                told.ready, told.deadline = True, time.monotonic() + seconds
    for outlet, out in outlets.items():  # it has ended: what is still in the pipes
        while len(out) <= OUTPUT_BYTES and _take(outlet, out):
            pass
    told.too_much = any(len(out) > OUTPUT_BYTES for out in outlets.values())


def _give(descriptor: int, data: memoryview) -> memoryview:
    """What is left to give; nothing where the other end is closed."""
    try:
        return data[os.write(descriptor, data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]


def _take(descriptor: int, out: bytearray) -> bool:
    """Read once; False where nothing came."""
    try:
        data = os.read(descriptor, 2**16)
    except BlockingIOError:
        return False
    out += data
    return bool(data)


def _overfull(folder: str | None) -> bool:
    """More in a folder than `FILES_BYTES` or `FILES`, as far as one can see while it changes. An isolated program can
    make no folders in it."""
    if folder is None:
        return False
    held = number = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            number += 1
            with contextlib.suppress(OSError):
                held += entry.stat(follow_symlinks=False).st_blocks * 512
            if held > FILES_BYTES or number > FILES:
                return True
    return False
