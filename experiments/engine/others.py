"""What other processes do that walk the same graph: what they finished, hold, failed at or died with.

Results and claims are in the store. What else they have to tell each other is on a `Board`. Runs nothing itself.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.engine.base import Raised
from experiments.engine.deaths import TRIES
from experiments.engine.graph import Node
from experiments.engine.schedule import Schedule
from experiments.store.layout import Ref, write_json
from experiments.store.lease import Busy

MARK = re.compile(r"-\d+-[0-9a-f]{8}$")
"""End of the name of a mark; whatever else a file server leaves in the folder (``.nfsXXXX``) is none."""

KILLED = "the processes that ran it were ended from outside"


@dataclass(frozen=True)
class Board:
    """A folder, of one run, in which its processes tell which stages they have begun and which failed.

    Args:
        root: the folder, on a disk that all of them see.
    """

    root: Path

    @contextmanager
    def begun(self, keys: Iterable[str]) -> Iterator[None]:
        """Say that stages are being run. Whoever is killed meanwhile does not take that back."""
        marks = [self._begun(key) / f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}" for key in keys]
        for mark in marks:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        try:
            yield
        finally:
            for mark in marks:
                mark.unlink(missing_ok=True)

    def times(self, key: str) -> int:
        """How often a stage was begun and not ended; for who holds it: how many died with it."""
        return sum(MARK.search(path.name) is not None for path in self._begun(key).glob("*"))

    def running(self) -> list[str]:
        """Keys of stages that were begun and not ended."""
        folder = self.root / "begun"
        return [path.name for path in folder.iterdir() if self.times(path.name)] if folder.is_dir() else []

    def fail(self, key: str, raised: Raised) -> None:
        """Say that a stage failed."""
        write_json(self._failed(key), asdict(raised))

    def failed(self, key: str) -> Raised | None:
        """What a stage raised wherever it was run, if it did."""
        try:
            return Raised(**json.loads(self._failed(key).read_text()))
        except FileNotFoundError:
            return None

    def _begun(self, key: str) -> Path:
        return self.root / "begun" / key

    def _failed(self, key: str) -> Path:
        return self.root / "failed" / f"{key}.json"


class OtherWalkers:
    """Stages of a schedule that are left to other processes for now. To the schedule they are running.

    Args:
        schedule: is told what becomes of them.
        board: of this run.
    """

    def __init__(self, schedule: Schedule, board: Board) -> None:
        self._schedule, self._store, self._board = schedule, schedule.store, board
        self._left: dict[str, Node] = {}
        self._seen: dict[str, tuple[object, float]] = {}
        self._silent: set[str] = set()

    def leave(self, node: Node) -> None:
        """Somebody else is at this stage, or will be."""
        self._left[node.stage.key] = node

    def look(self) -> bool:
        """Tell the schedule what others have finished or failed at; whether there was anything."""
        ended = [node for node in self._left.values() if self._ended(node)]
        for node in ended:
            del self._left[node.stage.key]
        return bool(ended)

    def reclaim(self) -> bool:
        """Give back to the schedule what nobody holds any more; whether there was anything."""
        free = [key for key, node in self._left.items() if self._free(node)]
        for key in free:
            del self._left[key]
        self._schedule.again(free, "nobody holds it any more")
        return bool(free)

    @contextmanager
    def hold(self, group: Iterable[Node]) -> Iterator[list[Node]]:
        """Hold what nobody else holds of a group that is to be run, and leave the rest. Gives what is still to be done."""
        with ExitStack() as claims:
            held = []
            for node in sorted(group, key=lambda node: node.stage.key):
                key = node.stage.key
                try:
                    claims.enter_context(self._store.alone(Ref(node.stage.name, key), wait=key in self._silent))
                except Busy:
                    self.leave(node)
                    continue
                self._silent.discard(key)
                held.append(node)
            yield [node for node in held if not self._ended(node) and not self._deadly(node)]

    def _ended(self, node: Node) -> bool:
        key = node.stage.key
        if self._store.has(node.stage):
            self._schedule.finished(key, node.seconds)
            return True
        raised = self._board.failed(key)
        if raised is None:
            return False
        self._schedule.failed(key, raised)
        return True

    def _deadly(self, node: Node) -> bool:
        """Whether those who held a stage before died with it too often."""
        times = self._board.times(node.stage.key)
        if times < TRIES:
            return False
        why = f"{KILLED}, {times} times (out of memory?)"
        raised = Raised(why, f"{why}\nNo traceback was left.\n")
        self._board.fail(node.stage.key, raised)
        self._schedule.failed(node.stage.key, raised)
        return True

    def _free(self, node: Node) -> bool:
        """Whether nobody holds a stage, or somebody who has shown no life for as long as the store gives him."""
        key, sign, now = node.stage.key, self._store.sign(node.stage), time.monotonic()
        if sign is None:
            self._seen.pop(key, None)
            return True
        before, since = self._seen.get(key, (None, now))
        if sign != before:
            self._seen[key] = sign, now
        elif now - since > self._store.patience.expiry:
            self._silent.add(key)  # claiming it then waits until it can be taken over
            return True
        return False
