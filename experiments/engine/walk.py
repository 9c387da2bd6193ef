"""A process that walks a whole graph by itself and does what nobody else is doing. Does not know how it was started."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.engine.base import Raised, attempt
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Node, Wanted, plan
from experiments.engine.local import cohort_here
from experiments.engine.others import Board, OtherWalkers
from experiments.engine.schedule import Schedule, conclude
from experiments.engine.worker_process import Throttled, prepare
from experiments.store.store import Store

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.2, 5.0, 1.3
"""Seconds between two looks of a process that finds nothing to do: the first, the longest, and how they grow."""


@dataclass(frozen=True)
class Walk:
    """Plain and picklable: what a process needs to know.

    Args:
        wanted: results that are asked for.
        root: of the store.
        board: of the run.
        threads: for torch.
        cohort: most stages of one cohort that are run as one; None takes what suits this machine.
        idle: seconds without anything to do after which it leaves.
    """

    wanted: tuple[Wanted, ...]
    root: Path
    board: Board
    threads: int = 1
    cohort: int | None = None
    idle: float = 600.0

    def __call__(self) -> int:
        """Walk until everything is done, or there has been nothing to do for long; how many stages it did."""
        prepare(self.threads, _write)
        store = Store(self.root)
        schedule = Schedule(
            plan(self.wanted, store), store, 1, SilentDisplay(), lambda _: None, self.cohort or cohort_here()
        )
        others, did, since, pause = OtherWalkers(schedule, self.board), 0, time.monotonic(), FIRST_PAUSE
        while schedule:
            news = others.look() or others.reclaim()
            group = schedule.next()
            done = self._run(group, schedule, others, store) if group else 0
            did += done
            if news or done:
                since, pause = time.monotonic(), FIRST_PAUSE
            elif not group:
                if time.monotonic() - since > self.idle:
                    break
                time.sleep(pause)
                pause = min(pause * GROWTH, LONGEST_PAUSE)
        return did

    def checkpoint(self) -> Any:
        """submitit asks for this when a job is pre-empted or out of time: what to run when it is queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self, group: tuple[Node, ...], schedule: Schedule, others: OtherWalkers, store: Store) -> int:
        with others.hold(group) as held:
            suspects = [node for node in held if len(held) > 1 and self.board.times(node.stage.key)]
            schedule.again([node.stage.key for node in suspects], "somebody died with it: it runs alone")
            mine = [node for node in held if node not in suspects]
            if not mine:
                return 0
            keys = tuple(node.stage.key for node in mine)
            with self.board.begun(keys):
                answer = attempt([node.stage for node in mine], store, Throttled(_write))
            match answer:
                case ("failed", Raised() as raised, *_) if len(keys) == 1:
                    self.board.fail(keys[0], raised)
            conclude(schedule, keys, answer)
            return len(keys)


def _write(message: tuple[Any, ...]) -> None:
    """To the log of the job."""
    print(*message, file=sys.stderr, flush=True)
