"""Leases: one process at a time may do a piece of work, and when it dies or stands still another may take over.

A lease is a folder with one empty file in it, and the name of that file says who holds it and since when. Every step is a
single rename or removal of a name that nobody else ever uses, so of two who try at once one is told that it came too late:

    take        rename a folder that holds one's own file to the lease's place: fails unless that is vacant or empty
    beat        touch one's own file, every few seconds; where it is gone, the lease was lost
    take over   rename the holder's file to a name of one's own: whoever comes second finds nothing to rename
    let go      remove one's own file, then the folder, which fails where somebody has taken it meanwhile

No locks of the file system are needed and no two clocks are compared: a lease has expired for a waiter that has watched it
for long enough without seeing a beat. Knows nothing of what is held.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from experiments.store.layout import draft
from experiments.store.process import alive, machine

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.002, 0.5, 1.5
"""Seconds between two looks of a waiter: the first, the longest, and how they grow."""


HOLDER = re.compile(r"[0-9a-f]{8}-\d+-\d+-[0-9a-f]{16}")
"""Name of the file of a holder; whatever else lies in the folder of a lease (a file server's ``.nfsXXXX``) is not ours."""


class LeasePatience(NamedTuple):
    """When a holder is given up.

    Args:
        beat: seconds between two signs of life of a holder.
        expiry: seconds that a waiter watches without seeing one before it takes over.
    """

    beat: float = 10.0
    expiry: float = 60.0


PATIENCE = LeasePatience()


class Busy(Exception):  # noqa: N818
    """Somebody else holds the lease."""


@dataclass
class _Mine:
    """A lease that a thread of this process holds or waits for.

    Args:
        thread: which.
        beat: seconds between two signs of life.
        depth: how often the thread has taken it.
        file: says that it is held; None while waiting.
    """

    thread: int
    beat: float
    depth: int = 0
    file: Path | None = None


class _Seen(NamedTuple):
    """What a waiter sees of a holder: any change is a sign of life."""

    name: str
    beaten: int

    @property
    def dead(self) -> bool:
        """Whether it is a process of this machine that has ended."""
        where, pid = self.name.split("-")[:2]
        return where == machine() and not alive(int(pid))


@dataclass
class _Process:
    """What this process holds, and the thread that shows that it lives."""

    mine: dict[Path, _Mine] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    hurry: threading.Event = field(default_factory=threading.Event)
    pause: float | None = None


_process = _Process()


@contextmanager
def lease(place: Path, patience: LeasePatience = PATIENCE, wait: bool = True) -> Iterator[None]:
    """Hold a lease. The thread that holds it may take it again; other threads and processes wait.

    A holder that stood still for longer than ``expiry`` may have lost it to another without knowing: what it does must be
    harmless when done twice.

    Args:
        place: of the lease's folder; the folder above is made if need be.
        patience: when a holder is given up.
        wait: until it is free.

    Raises:
        Busy: it is held, and this should not wait.
        OSError: the folder cannot be written.
    """
    mine = _reserve(place, patience.beat, wait)
    try:
        if mine.depth == 1:
            mine.file = _take(place, patience, wait)
            _show_life(mine.beat)
        yield
    finally:
        _leave(place, mine)


def held(place: Path) -> bool:
    """Whether somebody holds this lease who is not known to be dead."""
    return sign(place) is not None


def sign(place: Path) -> object | None:
    """The last sign of life of who holds this lease, for one who watches without waiting: a holder that lives gives another
    every few seconds. None where nobody holds it, or somebody who is known to be dead."""
    seen = _look(place)
    return None if seen is None or seen.dead else seen


def waiting() -> bool:
    """Whether a thread of this process waits for somebody to let go."""
    with _process.changed:
        return any(mine.file is None for mine in _process.mine.values())


def _reserve(place: Path, beat: float, wait: bool) -> _Mine:
    """The lease's record in this process, when no other thread of it has it."""
    me, process = threading.get_ident(), _process
    with process.changed:
        while (mine := process.mine.get(place)) is not None and mine.thread != me:
            if not wait:
                raise Busy(place)
            process.changed.wait()
        if mine is None:
            mine = process.mine[place] = _Mine(me, beat)
        mine.depth += 1
        return mine


def _leave(place: Path, mine: _Mine) -> None:
    if mine.depth > 1:
        mine.depth -= 1
        return
    process = _process
    try:
        if mine.file is not None:
            _let_go(mine.file)
    finally:
        with process.changed:
            if process.mine.get(place) is mine:
                del process.mine[place]
            process.changed.notify_all()


def _take(place: Path, patience: LeasePatience, wait: bool) -> Path:
    """Come to hold a lease; the file that says so."""
    own = place / f"{machine()}-{os.getpid()}-{int(time.time())}-{secrets.token_hex(8)}"
    made = draft(place.parent, "lease")
    try:
        made.mkdir()
    except FileNotFoundError:
        made.mkdir(parents=True)
    try:
        os.close(os.open(made / own.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        if not _moved(made, own):
            _wait(made, own, patience, wait)
            shutil.rmtree(made, ignore_errors=True)  # where the lease was taken over
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        with contextlib.suppress(OSError):  # interrupted just after it came to be held
            own.unlink()
        raise
    return own


def _wait(made: Path, own: Path, patience: LeasePatience, wait: bool) -> None:
    """Watch a holder until it lets go, is dead, or has shown no life for too long.

    What counts is the time for which this process was awake to watch: after a machine or a whole group of processes was
    suspended, holders get their time to show that they are there.
    """
    pause, watched, before = FIRST_PAUSE, 0.0, None
    while not _moved(made, own):
        seen = _look(own.parent)
        if seen is None:
            before, watched = None, 0.0 if before else watched
            if not _cleared(own.parent):
                if not wait:
                    raise Busy(own.parent)
                if watched >= patience.expiry:
                    raise OSError(errno.EBUSY, "something else lies in the folder of a lease", str(own.parent))
        else:
            if seen != before:
                before, watched = seen, 0.0
            if (watched >= patience.expiry or seen.dead) and _taken_over(seen, own):
                return
            if not wait:
                raise Busy(own.parent)
        time.sleep(pause)
        watched += pause
        pause = min(pause * GROWTH, LONGEST_PAUSE, patience.expiry / 8)


def _moved(made: Path, own: Path) -> bool:
    try:
        made.rename(own.parent)
    except OSError as error:
        if own.exists():  # moved all the same, by a request that a file server got twice
            return True
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _cleared(place: Path) -> bool:
    """Take what is not ours out of the folder of a lease, which could not be taken otherwise; whether that was possible.

    Names of holders are not touched, so that it does no harm if somebody has come to hold it meanwhile.
    """
    try:
        for name in os.listdir(place):
            if not HOLDER.fullmatch(name):
                away = draft(place.parent, "foreign")
                (place / name).rename(away)
                if away.is_dir() and not away.is_symlink():
                    shutil.rmtree(away, ignore_errors=True)
                else:
                    away.unlink(missing_ok=True)
    except FileNotFoundError:  # gone meanwhile, the folder or what lay in it
        return True
    except OSError:
        return False
    return True


def _taken_over(seen: _Seen, own: Path) -> bool:
    try:
        (own.parent / seen.name).rename(own)
    except OSError:
        return own.exists()
    with contextlib.suppress(OSError):
        os.utime(own)
    return True


def _look(place: Path) -> _Seen | None:
    """The holder and its last sign of life; None where there is nobody."""
    try:
        names = sorted(filter(HOLDER.fullmatch, os.listdir(place)))
        if not names:
            return None
        # opened, because only opening makes a client of a file server ask for the present time of change
        handle = os.open(place / names[0], os.O_RDONLY)
    except OSError:
        return None
    try:
        return _Seen(names[0], os.fstat(handle).st_mtime_ns)
    except OSError:
        return None
    finally:
        os.close(handle)


def _let_go(file: Path) -> None:
    with contextlib.suppress(OSError):  # lost to somebody else: theirs is another file
        file.unlink()
    with contextlib.suppress(OSError):
        file.parent.rmdir()


def _show_life(beat: float) -> None:
    """See to it that a thread beats for all that is held. A claim costs no switch of threads unless it is in a hurry."""
    process = _process
    with process.changed:
        if process.pause is None:
            process.pause = beat
            threading.Thread(target=_beat, args=(process,), name="leases", daemon=True).start()
        elif beat < process.pause:
            process.hurry.set()


def _beat(process: _Process) -> None:
    while True:
        with process.changed:
            files = [mine.file for mine in process.mine.values() if mine.file is not None]
            process.pause = min((mine.beat for mine in process.mine.values()), default=PATIENCE.beat)
        for file in files:
            with contextlib.suppress(OSError):  # lost, or the file server is away: the next beat tries again
                os.utime(file)
        process.hurry.wait(process.pause)
        process.hurry.clear()


def _forget() -> None:
    """A forked process holds nothing of what its parent holds, and has no thread of its own yet."""
    global _process
    for mine in _process.mine.values():
        mine.file = None
    _process = _Process()


os.register_at_fork(after_in_child=_forget)
