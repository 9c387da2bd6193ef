"""Jobs that walk one graph together, as processes of this machine: shared work once, kills, failures, and taking over."""

from __future__ import annotations

import importlib.util
import signal
import time
from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cli.execute import engine_of
from experiments.compose.compose import compose_one
from experiments.engine.base import Raised
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.others import Board, OtherWalkers
from experiments.engine.schedule import Schedule
from experiments.engine.slurm import SlurmEngine
from experiments.engine.walk import Walk
from experiments.store.layout import Ref
from experiments.store.lease import LeasePatience
from experiments.store.store import Store
from tests.experiments.fakes import DiesOnce, Fake, Joins, Raises, runs

pytest.importorskip("submitit", reason="the extra slurm is not installed: pip install -e '.[slurm]'")


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def interruptible():
    """A shell without job control lets what it starts in the background ignore interrupts, and processes hand that on: a
    local job would not hear that it is cancelled."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("experiments.engine.slurm.SETTLES", 0.1)


def rows(marks: Path | str, count: int = 3, sleep: float = 0.0) -> list[Wanted]:
    root = Fake("root", marks=str(marks), sleep=sleep)
    middles = [Joins(f"middle{i}", {"root": root}, str(marks), sleep) for i in range(count)]
    return [Wanted(Fake(f"row{i}", {"m": m, "r": root}, str(marks), sleep), f"cell {i}") for i, m in enumerate(middles)]


def snapshot(store: Store, wanted: list[Wanted]) -> list[tuple[bytes, bytes]]:
    found = [store.get(w.stage) for w in wanted]
    return [((e.path / "data.safetensors").read_bytes(), (e.path / "row.parquet").read_bytes()) for e in found]


def run(wanted: list[Wanted], store: Store, display: SilentDisplay | None = None, **fields: object):
    engine = SlurmEngine(cluster="local", folder=str(store.root.parent / "jobs"), **fields)
    return engine.run(plan(wanted, store), store, display or SilentDisplay())


class Hears(SilentDisplay):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, text: str) -> None:
        self.heard.append(text)


def test_jobs_share_the_work_and_give_what_the_local_engine_gives(tmp_path, marks):
    store, local = Store(tmp_path / "store"), Store(tmp_path / "local")
    outcome = run(rows(marks, 4, 0.2), store, jobs=2)
    assert outcome.done == 9
    assert not outcome.failures
    assert set(runs(marks).values()) == {1}
    LocalEngine(0).run(plan(rows("", 4), local), local, SilentDisplay())
    assert snapshot(store, rows("", 4)) == snapshot(local, rows("", 4))
    assert run(rows(marks, 4), Store(store.root)).done == 0
    assert set(runs(marks).values()) == {1}


def test_a_stage_that_kills_its_jobs_fails_alone_and_more_jobs_do_the_rest(tmp_path, marks):
    store, display = Store(tmp_path / "store"), Hears()
    always = DiesOnce("always", marks=str(marks), always=True)
    bad = Raises("bad", marks=str(marks))
    wanted = [Wanted(always, "a"), Wanted(Fake("doomed", {"bad": bad}, str(marks)), "doomed cell"), *rows(marks, 2)]
    outcome = run(wanted, store, display, jobs=1)
    assert outcome.done == 5
    failures = {failure.stage: failure for failure in outcome.failures}
    assert failures.keys() == {"dies", "raises"}
    assert "ended from outside, 2 times" in failures["dies"].error
    assert "no luck with bad" in failures["raises"].error
    text = failures["raises"].traceback.read_text()
    assert "Traceback" in text
    assert "doomed cell" in text
    assert len(outcome.blocked) == 1
    assert sum("submitting again" in said for said in display.heard) == 2


def test_jobs_that_only_end_are_reported(tmp_path, marks):
    store = Store(tmp_path / "store")
    after = Fake("after", {"d": DiesOnce("dies", marks=str(marks))}, str(marks))
    outcome = run([Wanted(after, "a")], store, jobs=1, tries=1)
    (failure,) = outcome.failures
    assert "its jobs ended before it was done (FINISHED); their logs: " in failure.error
    assert len(outcome.blocked) == 1
    assert run([Wanted(after, "a")], store, jobs=1, tries=1).done == 2


def test_an_interrupt_cancels_the_jobs(tmp_path, marks):
    class Interrupts(SilentDisplay):
        def started(self, keys: object) -> None:
            raise KeyboardInterrupt

    store = Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        run([Wanted(Fake("slow", marks=str(marks), sleep=600), "a")], store, Interrupts(), jobs=1)
    stage = Fake("slow")
    deadline = time.monotonic() + 20
    while store.sign(stage) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert store.sign(stage) is None  # its job is gone
    assert list((tmp_path / "jobs").glob("*/*_log.err"))


def test_a_walk_alone_does_everything_in_groups(tmp_path, marks):
    store = Store(tmp_path / "store")
    assert Walk(tuple(rows(marks, 5)), store.root, Board(tmp_path / "board"), cohort=3)() == 11
    assert {name: n for name, n in runs(marks).items() if name.startswith("group")} == {"group3": 1, "group2": 1}
    assert Board(tmp_path / "board").running() == []


def test_a_walk_leaves_where_there_is_nothing_to_do(tmp_path):
    store, board = Store(tmp_path / "store"), Board(tmp_path / "board")
    board.fail(Fake("bad").key, Raised("RuntimeError: no", "Traceback"))
    after = Fake("after", {"bad": Fake("bad")})
    assert Walk((Wanted(after, "a"),), store.root, board)() == 0  # somebody else failed at what it needs
    place = store.root / ".locks" / f"fake-{Fake('held').key}.lease"
    place.mkdir(parents=True)
    (place / "0a0a0a0a-1-0-0123456789abcdef").touch()
    assert Walk((Wanted(Fake("held"), "b"),), store.root, board, idle=0.5)() == 0
    assert not store.has(Fake("held"))


def test_what_is_held_elsewhere_is_left_until_its_holder_shows_no_life(tmp_path):
    store = Store(tmp_path / "store", LeasePatience(beat=0.02, expiry=0.3))
    wanted = [Wanted(Fake("held"), "a"), Wanted(Fake("free"), "b")]
    schedule = Schedule(plan(wanted, store), store, 1, SilentDisplay(), lambda _: None)
    others = OtherWalkers(schedule, Board(tmp_path / "board"))
    place = store.root / ".locks" / f"fake-{wanted[0].stage.key}.lease"
    place.mkdir(parents=True)
    (place / "0a0a0a0a-1-0-0123456789abcdef").touch()
    with others.hold(schedule.next()) as held:
        assert held == []
    with others.hold(schedule.next()) as held:
        assert [node.stage.label for node in held] == ["free"]
        assert store.sign(wanted[1].stage) is not None
        schedule.finished(wanted[1].stage.key, 0.0)
    assert not others.reclaim()
    time.sleep(0.4)
    assert others.reclaim()  # no sign of life for as long as the store gives
    with others.hold(schedule.next()) as held:
        assert [node.stage.label for node in held] == ["held"]
    with store.alone(Ref("fake", wanted[0].stage.key)):
        pass


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("jobs", 0, "must be at least 1"),
        ("gpus", -1, "must be at least 0"),
        ("mem_gb", 0, "must be above 0"),
        ("array_parallelism", 0, "must be at least 1"),
        ("tries", 0, "must be at least 1"),
        ("cluster", "slrum", "did you mean 'slurm'"),
        ("cpus", "many", "is not a valid int"),
    ],
)
def test_what_cannot_be_is_refused(field, value, text):
    with pytest.raises(ConfigError, match=rf"launcher\.{field} = .*{text}"):
        engine_of(compose_one(["launcher=slurm", f"launcher.{field}={value}"]), None)


def test_fields_reach_slurm_in_its_own_words():
    engine = engine_of(
        compose_one(
            [
                "launcher=slurm",
                "launcher.partition=gpu",
                "launcher.gpus=1",
                "launcher.setup=[module load cuda]",
                "+launcher.more.constraint=a100",
            ]
        ),
        None,
    )
    assert isinstance(engine, SlurmEngine)
    asked = engine._parameters()
    assert asked["slurm_partition"] == "gpu"
    assert asked["gpus_per_node"] == 1
    assert asked["slurm_setup"][-1] == "module load cuda"
    assert "export OMP_NUM_THREADS=1" in asked["slurm_setup"]
    assert asked["slurm_additional_parameters"] == {"constraint": "a100"}


def test_without_slurm_or_the_package_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    store = Store(tmp_path / "store")
    engine = SlurmEngine(folder=str(tmp_path / "jobs"))
    with pytest.raises(ConfigError, match=r"launcher\.cluster = 'slurm': there is no Slurm here"):
        engine.run(plan(rows(""), store), store, SilentDisplay())
    monkeypatch.setattr(
        "configs.extras.find_spec", lambda name: None if name == "submitit" else importlib.util.find_spec(name)
    )
    with pytest.raises(ConfigError, match=r"needs the package submitit: pip install -e '\.\[slurm\]'"):
        engine_of(compose_one(["launcher=slurm"]), None)
