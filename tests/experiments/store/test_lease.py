"""Leases between real processes: one holder at a time, dead ones give way at once, sleeping ones after a while."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.store import lease as module
from experiments.store.layout import draft
from experiments.store.lease import Busy, LeasePatience, held, lease
from experiments.store.process import alive

SHORT = LeasePatience(0.05, 0.8)
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "work.lease"


def start(work: Callable[..., None], *arguments: object) -> BaseProcess:
    process = FORK.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began


def hold(place: Path, patience: LeasePatience, done: Path) -> None:
    with lease(place, patience):
        done.with_suffix(".in").touch()
        while not done.exists():
            time.sleep(0.005)
    done.with_suffix(".out").touch()


def test_a_lease_leaves_nothing_behind(place):
    with lease(place):
        (name,) = os.listdir(place)
        assert name.split("-")[1] == str(os.getpid())
        assert held(place)
    assert os.listdir(place.parent) == []
    assert not held(place)


def test_the_thread_that_holds_may_take_again_and_others_may_not(place):
    busy: list[bool] = []

    def other() -> None:
        try:
            with lease(place, wait=False):
                busy.append(False)
        except Busy:
            busy.append(True)

    with lease(place):
        with lease(place, wait=False):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert held(place)
    other()
    assert busy == [True, False]


def test_threads_take_turns(place):
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with lease(place):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0005)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_error_lets_go(place):
    with pytest.raises(RuntimeError), lease(place):
        raise RuntimeError
    with lease(place, wait=False):
        pass


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), lease(tmp_path / "file" / "work.lease"):
        pass


def test_a_killed_holder_gives_way_at_once(place, tmp_path):
    process = start(hold, place, LeasePatience(), tmp_path / "never")
    until(lambda: (tmp_path / "never.in").exists())
    with pytest.raises(Busy), lease(place, wait=False):
        pass
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped yet
    began = time.monotonic()
    with lease(place):
        assert time.monotonic() - began < 2
    process.join()


def test_a_suspended_holder_gives_way_after_expiry_and_leaves_the_new_lease_alone(place, tmp_path):
    done = tmp_path / "done"
    process = start(hold, place, SHORT, done)
    until(lambda: (tmp_path / "done.in").exists())
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with lease(place, SHORT):
        assert SHORT.expiry <= time.monotonic() - began < 8
        done.touch()
        os.kill(process.pid, signal.SIGCONT)
        until((tmp_path / "done.out").exists)  # it thought it held, and let go
        assert held(place)
        third = start(hold, place, SHORT, tmp_path / "third")
        time.sleep(2 * SHORT.expiry)
        assert not (tmp_path / "third.in").exists()
    until((tmp_path / "third.in").exists)
    (tmp_path / "third").touch()
    third.join()
    process.join()
    assert process.exitcode == third.exitcode == 0


def test_a_living_holder_is_waited_for_beyond_expiry(place, tmp_path):
    process = start(hold, place, SHORT, tmp_path / "done")
    until((tmp_path / "done.in").exists)
    threading.Timer(3 * SHORT.expiry, (tmp_path / "done").touch).start()
    with lease(place, SHORT):
        assert (tmp_path / "done").exists()
    process.join()


def test_when_all_were_suspended_the_holder_gets_its_time(place, tmp_path):
    """As after Ctrl-Z, or when a machine's disk was away: nobody takes the first look for a long silence."""
    holder = start(hold, place, SHORT, tmp_path / "one")
    until((tmp_path / "one.in").exists)
    waiter = start(hold, place, SHORT, tmp_path / "two")
    time.sleep(0.2)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in (waiter, holder):
            os.kill(process.pid, number)
        time.sleep(2 * SHORT.expiry)
        assert not (tmp_path / "two.in").exists()
    (tmp_path / "one").touch()
    until((tmp_path / "two.in").exists)
    (tmp_path / "two").touch()
    for process in (holder, waiter):
        process.join()
        assert process.exitcode == 0


def enter_often(place: Path, inside: Path, seed: int, times: int) -> None:
    pauses = random.Random(seed)
    for _ in range(times):
        with lease(place):
            others = [pid for pid in os.listdir(inside) if alive(int(pid))]
            (inside / str(os.getpid())).touch()
            assert not others, f"{os.getpid()} came in while {others} were there"
            time.sleep(pauses.uniform(0, 0.004))
            (inside / str(os.getpid())).unlink()


def test_many_who_wait_for_killed_holders_never_hold_together(place, tmp_path):
    inside, moments = tmp_path / "inside", random.Random(5)
    inside.mkdir()
    processes = [start(enter_often, place, inside, seed, 25) for seed in range(6)]
    victims = [start(enter_often, place, inside, 100 + seed, 10**6) for seed in range(6)]
    for process in victims:
        time.sleep(moments.uniform(0.05, 0.2))
        process.kill()
        process.join()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_a_forked_process_holds_nothing(place):
    def child() -> None:
        try:
            with lease(place, wait=False):
                os._exit(1)
        except Busy:
            os._exit(0)

    with lease(place):
        process = start(child)
        process.join()
        assert process.exitcode == 0
        assert held(place)


STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["take", "look", "take over", "let go"])), max_size=60)


@given(STEPS)
@settings(deadline=None, max_examples=150)
def test_in_whatever_order_steps_fall_there_is_one_holder(steps):
    """Actors who believe whatever they saw last, however long ago. A lease is lost only by being taken over."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "work.lease"
        holds: dict[int, Path] = {}
        sees: dict[int, module._Seen | None] = {}
        lost: set[int] = set()
        for count, (actor, step) in enumerate(steps):
            own = place / f"machine-{actor}-0-{count}"
            if step == "look":
                sees[actor] = module._look(place)
            elif step == "let go" and actor in holds:
                module._let_go(holds.pop(actor))
                lost.discard(actor)
            elif step == "take" and actor not in holds:
                made = draft(Path(folder), "lease")
                made.mkdir()
                (made / own.name).touch()
                if module._moved(made, own):
                    holds[actor] = own
            elif step == "take over" and actor not in holds:
                seen = sees.get(actor)
                if seen is not None and module._taken_over(seen, own):
                    lost.update(a for a, file in holds.items() if file.name == seen.name)
                    holds[actor] = own
            there = os.listdir(place) if place.exists() else []
            assert there == [holds[a].name for a in holds if a not in lost]
