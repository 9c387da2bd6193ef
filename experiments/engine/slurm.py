"""Runs a graph as one array of Slurm jobs, each of which walks the whole of it and does what nobody else is doing.

Claims in the store decide who does what, so that jobs need not hear of each other or of the process that submitted them. It
may be killed; jobs may start late, be pre-empted or run out of time; the same command may add a second array: what is stored
is stored, and what was held is taken over. The other way, a job for each stage, would wait in Slurm's queue once for every
link of a chain, and would end with the process that holds the schedule.

What crosses to a job is the list of wanted results, in a file of submitit's. What comes back is in the store, and what went
wrong on the `Board`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from configs.errors import ConfigError, MoatBenchError, require
from configs.extras import needs
from experiments.engine.base import Display, Engine, Raised, Ready, RunOutcome
from experiments.engine.graph import StageGraph
from experiments.engine.others import Board, OtherWalkers
from experiments.engine.schedule import Schedule
from experiments.engine.walk import Walk
from experiments.engine.worker_process import child_environment, settings
from experiments.store.store import Store

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.5, 10.0, 1.3
"""Seconds between two looks at the store: while things happen, when nothing does, and how they grow."""

SETTLES = 5.0
"""Seconds after the end of all jobs in which what they stored last comes to be seen here."""


class SubmissionError(MoatBenchError):
    """Slurm did not take the jobs."""


@dataclass(frozen=True)
class SlurmEngine(Engine):
    """An array of Slurm jobs.

    Args:
        jobs: size of the array; each job runs one group of stages at a time.
        cluster: "slurm", or "local" for processes of this machine.
        folder: for logs and submitit's files, one folder a run; relative to where the command is given.
        partition: of Slurm; None takes its default.
        account: of Slurm.
        qos: of Slurm.
        time_min: minutes after which Slurm ends a job. submitit then has it queued again, up to three times.
        cpus: cores of a job.
        gpus: GPUs of a job.
        mem_gb: memory of a job.
        array_parallelism: most jobs of the array that run at a time; None means all.
        setup: shell lines before each job.
        more: other options of sbatch by name.
        idle_min: minutes after which a job that finds nothing to do leaves its node to others.
        tries: how many arrays are submitted at most, where jobs end before everything is done.
        threads: of each job; see `experiments.engine.local.LocalEngine`.
        cohort: most students that are trained as one program; None takes what suits the node.
    """

    jobs: int = 8
    cluster: Literal["slurm", "local"] = "slurm"
    folder: str = "results/slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_min: int = 240
    cpus: int = 1
    gpus: int = 0
    mem_gb: float = 8.0
    array_parallelism: int | None = None
    setup: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    idle_min: float = 10.0
    tries: int = 3
    threads: int = 1
    cohort: int | None = None

    def __post_init__(self) -> None:
        needs("submitit", "launcher", "slurm", "slurm")
        for name in ("jobs", "time_min", "cpus", "tries", "threads"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        for name in ("gpus", "idle_min"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must be at least 0")
        require(self.mem_gb > 0, "mem_gb", self.mem_gb, "must be above 0")
        for name in ("array_parallelism", "cohort"):
            require(
                getattr(self, name) is None or getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1"
            )

    def width(self) -> int:
        """See `Engine.width`."""
        return min(self.jobs, self.array_parallelism or self.jobs)

    def run(self, graph: StageGraph, store: Store, display: Display, ready: Ready = lambda _: None) -> RunOutcome:
        """See `Engine.run`. Ctrl-C cancels the jobs; a kill of this process, or of its connection, leaves them at work."""
        schedule = Schedule(graph, store, self.width(), _Begun(display), ready)
        if not graph.nodes:
            return schedule.outcome()
        store.sweep()
        folder = Path(self.folder).resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        board = Board(folder / "board")
        others = OtherWalkers(schedule, board)
        states: list[str] = []
        for left in reversed(range(self.tries)):
            jobs = self._submit(graph, store, folder, board)
            display.said(f"{len(jobs)} jobs submitted; their logs: {folder}")
            try:
                _watch(schedule, others, board, jobs, display)
            finally:
                states = sorted({str(job.state) for job in jobs})
                _cancel(jobs)
            if not schedule:
                break
            again = ": submitting again" if left else ""
            display.said(f"all jobs have ended ({', '.join(states)}), and not everything is done{again}")
        _give_up(schedule, folder, states)
        store.sweep()
        return schedule.outcome()

    def _submit(self, graph: StageGraph, store: Store, folder: Path, board: Board) -> list[Any]:
        import submitit

        wanted = tuple(one for one in graph.wanted if one.stage.key in graph.nodes)
        walk = Walk(wanted, store.root, board, self.threads, self.cohort, 60 * self.idle_min)
        try:
            executor = submitit.AutoExecutor(folder, cluster=self.cluster)
            executor.update_parameters(**self._parameters())
            with child_environment(self.threads):
                jobs: list[Any] = executor.submit_array([walk] * min(self.jobs, len(graph.nodes)))
        except RuntimeError as error:
            if self.cluster == "slurm" and "srun" in str(error):
                text = "there is no Slurm here (no srun); local runs the jobs on this machine"
                raise ConfigError("launcher.cluster", self.cluster, text, ("slurm", "local")) from error
            raise SubmissionError(f"launcher=slurm: the jobs were not taken: {error}") from error
        except (OSError, ValueError, TypeError, submitit.core.utils.FailedJobError) as error:
            raise SubmissionError(f"launcher=slurm: the jobs were not taken: {error}") from error
        return jobs

    def _parameters(self) -> dict[str, Any]:
        """In submitit's names. Slurm may be set up to hand no environment on, so jobs set their own."""
        asked = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "array_parallelism": self.array_parallelism or self.jobs,
            "setup": [*(f"export {name}={value}" for name, value in settings(self.threads).items()), *self.setup],
            "additional_parameters": dict(self.more) or None,
        }
        return {
            "name": "moatbench",
            "timeout_min": self.time_min,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus,
            "mem_gb": self.mem_gb,
            **{f"slurm_{name}": value for name, value in asked.items() if value is not None},
        }


def _watch(schedule: Schedule, others: OtherWalkers, board: Board, jobs: Sequence[Any], display: Display) -> None:
    """Until everything is done or all jobs have ended."""
    pause, shown, ended = FIRST_PAUSE, set[str](), False
    while schedule:
        before, ended = ended, all(job.done() for job in jobs)
        while group := schedule.next():
            for node in group:
                others.leave(node)
        for key in board.running():
            if key in schedule.running and key not in shown:
                shown.add(key)
                display.started([key])
        if others.look():
            pause = FIRST_PAUSE
        elif before:
            return
        else:
            time.sleep(SETTLES if ended else pause)
            pause = min(pause * GROWTH, LONGEST_PAUSE)


def _cancel(jobs: Sequence[Any]) -> None:
    """Take back what still waits in the queue or runs; a job that has nothing left to do would find that out itself."""
    for job in jobs:
        if not job.done():
            job.cancel(check=False)


def _give_up(schedule: Schedule, folder: Path, states: Sequence[str]) -> None:
    """No more jobs are submitted: what could have been run and was not has failed."""
    why = f"its jobs ended before it was done ({', '.join(states)}); their logs: {folder}"
    for key in list(schedule.running):
        schedule.failed(key, Raised(why, f"{why}\n"))


class _Begun(Display):
    """Passes on what the schedule tells but the beginning of stages, of which only the board knows."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def finished(self, key: str, seconds: float) -> None:
        self._display.finished(key, seconds)

    def failed(self, key: str, error: str, blocked: Sequence[str]) -> None:
        self._display.failed(key, error, blocked)

    def said(self, text: str) -> None:
        self._display.said(text)

    def noted(self, event: str, facts: Mapping[str, Any]) -> None:
        if event != "start":
            self._display.noted(event, facts)
