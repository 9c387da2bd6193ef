"""Events per second of a simulated campaign, and of the same token bucket in SimPy and in a loop over a heap, in one run.

A campaign is simulated as users get it: requests of every account drawn one by one, token buckets by tier and spend caps of
``policy=limits``, books per account, an operation that plans anew each day. First the accounts of an operation alone, a few
sizes; with ``--full`` the campaign of 16 million exchanges among more than 160 million legitimate requests, and the preset
as it is, in which three quarters of what those accounts send is for unrelated customers. Each line is a process of its
own, so its peak of memory is its own; compiled kernels are loaded before the clock starts.

The comparison judges the same arrivals by one bucket an account, refilled continuously, in three ways: this project's
compiled loop, SimPy with a process an account, and a heap of accounts with buckets in a dict. The arrivals are given to all
three, so the time to draw them counts for none of them. All must admit the same requests.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import resource
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from benchmarks.stopwatch import Time, timed
from defenses.admission.limits.token_bucket import TokenBucket
from defenses.base import AdmissionState
from experiments.campaign.from_config import stage_from
from experiments.campaign.world.simulation import Simulation
from experiments.compose.compose import compose_sweep
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Requests
from teacher.api.traffic import GAMMA, PromptLists, Senders, Streams, keys

EXCHANGES, ACCOUNTS, DAYS = 16_000_000, 24_000, 30
ROUNDS = 3
LIMIT = TokenBucket(requests_per_minute=1 / 60, burst_minutes=120.0)
"""A request an hour and two at once, for accounts that send one in 65 minutes: many are refused."""
SLACK = 1e-9
"""As `defenses.admission.limits.buckets` has it."""

TINY = ("--events", "0.02", "--threads", "1", "--subsample", "2000", "--many", "20000", "--here")
"""Arguments with which the tests see that it runs; the figures mean nothing."""

EXAMPLES = """\
examples:
  python -m benchmarks.campaign            1, 4 and 16 million events, and the comparison: a minute or two
  python -m benchmarks.campaign --full     and about 190 and 240 million events: some minutes more, and 2 GB
"""


class Case(NamedTuple):
    """A campaign to simulate.

    Args:
        name: for the table.
        overrides: of the preset ``aggregate_feb2026``.
    """

    name: str
    overrides: tuple[str, ...]


class Run(NamedTuple):
    """One simulation: requests simulated, time to set up and to run, peak memory in GB."""

    events: int
    setup: Time
    took: Time
    peak: float


class Arrivals(NamedTuple):
    """(B,) times and accounts, by account, then time."""

    time: NDArray[np.float64]
    account: NDArray[np.int32]


def alone(exchanges: int) -> Case:
    """An operation's accounts and next to nobody else; accounts in proportion."""
    accounts = max(round(ACCOUNTS * exchanges / EXCHANGES), 1)
    operation = "campaign.operations.hydra"
    given = (f"{operation}.exchanges={exchanges}", f"{operation}.accounts={accounts}", f"{operation}.share=1.0")
    return Case(
        f"attack, {exchanges / 1e6:g}M exchanges", (*given, f"{operation}.reported=''", "population.accounts=10")
    )


FULL = (
    Case("16M exchanges among all legitimate requests", ("campaign.operations.hydra.share=1.0",)),
    Case("the preset (a quarter of its accounts' requests harvest)", ()),
)


def simulate(overrides: tuple[str, ...], threads: int) -> Run:
    """Run a campaign, after a small one that loads what is compiled."""
    _world(alone(20_000).overrides, threads).run()
    world, setup = timed(lambda: _world(overrides, threads))
    result, took = timed(world.run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    return Run(int(result.facts["events"]), setup, took, peak)


def _world(overrides: tuple[str, ...], threads: int) -> Simulation:
    cells = compose_sweep(["campaign=aggregate_feb2026", "policy=limits", *overrides], "campaign").cells
    return Simulation(stage_from(cells[0].plain).campaign, threads)


def arrivals(count: int) -> Arrivals:
    """About ``count`` requests of a day from accounts that each send as the operation's do."""
    pace = EXCHANGES / ACCOUNTS / DAYS
    accounts = max(round(count / pace), 1)
    lists = PromptLists()
    lists.add(np.zeros(1, np.int32), (5.0, 1.0, 5.0, 1.0))
    streams = Streams(np.ones((1, 24)), lists)
    every = np.ones(accounts)
    streams.add(
        Senders(
            rate=pace * every,
            kind=np.full(accounts, GAMMA, np.uint8),
            shape=every,
            profile=np.zeros(accounts, np.int16),
            start=0 * every,
            ends=np.inf * every,
            beat=np.zeros((accounts, 5), np.float32),
            parts=np.ones(accounts, np.int64),
            part_share=every,
            part_list=np.zeros(accounts, np.int32),
            networks=np.ones(accounts, np.int64),
            network=np.zeros(accounts, np.int32),
            dwell=0 * every,
            key=keys(0, accounts),
        )
    )
    sent = streams.until(DAY)
    return Arrivals(sent.time, sent.account)


def compiled(given: Arrivals) -> int:
    """How many the provider's own token bucket admits."""
    accounts = Accounts()
    accounts.open(int(given.account.max()) + 1)
    count = len(given.time)
    ones, seeds = np.ones(count, np.int32), np.zeros(count, np.int64)
    verdicts = LIMIT.admit(
        Requests(given.time, given.account, seeds, ones, seeds), AdmissionState(Ledger(), {}, accounts, Prices(), 1)
    )
    return int(verdicts.ok.sum())


def in_simpy(given: Arrivals) -> int:
    """How many are admitted where each account is a process that waits until it sends, then asks its bucket."""
    env = simpy.Environment()
    rate, capacity = LIMIT.requests_per_minute / 60.0, LIMIT.requests_per_minute * LIMIT.burst_minutes
    admitted = 0

    def account(times: list[float]) -> Generator[simpy.Event, Any, None]:
        nonlocal admitted
        level, since = capacity, times[0]
        for time in times:
            yield env.timeout(time - env.now)
            level = min(capacity, level + rate * (env.now - since))
            since = env.now
            if level >= 1.0 - SLACK:
                level -= 1.0
                admitted += 1

    for times in _by_account(given):
        env.process(account(times))
    env.run()
    return admitted


def over_a_heap(given: Arrivals) -> int:
    """How many are admitted in a loop that takes the next request of all accounts from a heap."""
    rate, capacity = LIMIT.requests_per_minute / 60.0, LIMIT.requests_per_minute * LIMIT.burst_minutes
    sending = {number: iter(times) for number, times in enumerate(_by_account(given))}
    heap = [(next(times), number) for number, times in sending.items()]
    heapq.heapify(heap)
    buckets: dict[int, tuple[float, float]] = {}
    admitted = 0
    while heap:
        time, number = heap[0]
        held, since = buckets.get(number, (capacity, time))
        level = min(capacity, held + rate * (time - since))
        if level >= 1.0 - SLACK:
            level -= 1.0
            admitted += 1
        buckets[number] = (level, time)
        later = next(sending[number], None)
        if later is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (later, number))
    return admitted


def _by_account(given: Arrivals) -> list[list[float]]:
    """Times of each account that sends at all."""
    cuts = np.flatnonzero(np.diff(given.account)) + 1
    return [times.tolist() for times in np.split(given.time, cuts)]


def quickest(work: Callable[[], int]) -> tuple[int, Time]:
    """The result, and the round that took the least CPU time."""
    rounds = [timed(work) for _ in range(ROUNDS)]
    return min(rounds, key=lambda one: one[1].cpu)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.campaign",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="with the legitimate population too")
    parser.add_argument("--events", type=float, nargs="+", default=[1, 4, 16], help="sizes of attacks alone, millions")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--subsample", type=int, default=200_000, help="requests that SimPy and the heap judge")
    parser.add_argument(
        "--many", type=int, default=4_000_000, help="requests that this project's bucket judges besides"
    )
    parser.add_argument(
        "--here", action="store_true", help="in this process: the peak of memory is then of all together"
    )
    given = parser.parse_args(argv)
    for name, least in (("events", 0.001), ("threads", 1), ("subsample", 100), ("many", 100)):
        if np.min(getattr(given, name)) < least:
            parser.error(f"--{name} {getattr(given, name)}: must be at least {least}")
    cases = [*(alone(round(1e6 * size)) for size in given.events), *(FULL if given.full else ())]
    print("| campaign | threads | requests | set-up | run | CPU | requests/s | a CPU second | peak memory |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    speeds = []
    for case in cases:
        for threads in given.threads:
            run = simulate(case.overrides, threads) if given.here else _apart(case.overrides, threads)
            speeds.append(run.events / run.took.cpu)
            print(
                f"| {case.name} | {threads} | {run.events:,} | {run.setup.wall:.1f} s | {run.took.wall:.1f} s "
                f"| {run.took.cpu:.1f} s | {run.events / run.took.wall / 1e6:.2f}M | {speeds[-1] / 1e6:.2f}M "
                f"| {run.peak:.2f} GB |",
                flush=True,
            )
    _compare(given.subsample, given.many, speeds[given.threads.index(min(given.threads))])
    return 0


def _apart(overrides: tuple[str, ...], threads: int) -> Run:
    """`simulate` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(simulate, overrides, threads).result()


def _compare(count: int, most: int, simulator: float) -> None:
    """Judge the same ``count`` arrivals in three ways and ``most`` in ours.

    Args:
        simulator: requests a CPU second of a whole campaign.
    """
    sample, many = arrivals(count), arrivals(max(count, most))
    compiled(sample)
    ours, ours_took = quickest(lambda: compiled(sample))
    _, many_took = quickest(lambda: compiled(many))
    speed = len(many.time) / many_took.cpu
    print(f"\n{len(sample.time):,} arrivals, one bucket an account; {ours:,} admitted")
    print("| way | requests a CPU second | this bucket is faster by | the whole simulator, which does more, by |")
    print("|---|--:|--:|--:|")
    print(f"| this project, the same arrivals | {len(sample.time) / ours_took.cpu / 1e6:.2f}M | | |")
    print(f"| this project, {len(many.time):,} arrivals | {speed / 1e6:.2f}M | | |")
    ways: dict[str, Callable[[Arrivals], int]] = {
        "SimPy, a process an account": in_simpy,
        "heapq over accounts, buckets in a dict": over_a_heap,
    }
    for name, way in ways.items():
        admitted, took = quickest(partial(way, sample))
        assert admitted == ours, f"{name} admits {admitted}, this project {ours}"
        theirs = len(sample.time) / took.cpu
        print(f"| {name} | {theirs / 1e6:.2f}M | {speed / theirs:.0f} times | {simulator / theirs:.1f} times |")


if __name__ == "__main__":
    sys.exit(main())
