"""The Ray engine on a cluster of this machine: what the local engine gives, and what becomes of killed tasks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cli.execute import engine_of
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.ray import RayEngine
from experiments.store.store import Store
from tests.experiments.fakes import DiesOnce, Fake, Joins, Raises, runs

ray = pytest.importorskip("ray", reason="the extra ray is not installed: pip install -e '.[ray]'")

# one worker runs the whole file, where a run is spread over several: each cluster takes seconds to start
pytestmark = pytest.mark.xdist_group("ray")


def rows(marks: Path | str, count: int = 3) -> list[Wanted]:
    """Rows that share a root, each over a middle that could be joined with others."""
    root = Fake("root", marks=str(marks))
    middles = [Joins(f"middle{i}", {"root": root}, str(marks)) for i in range(count)]
    return [Wanted(Fake(f"row{i}", {"m": m, "r": root}, str(marks)), f"cell {i}") for i, m in enumerate(middles)]


def snapshot(store: Store, wanted: list[Wanted]) -> list[tuple[bytes, bytes]]:
    found = [store.get(w.stage) for w in wanted]
    return [((e.path / "data.safetensors").read_bytes(), (e.path / "row.parquet").read_bytes()) for e in found]


class Hears(SilentDisplay):
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.notes: set[str] = set()

    def said(self, text: str) -> None:
        self.heard.append(text)

    def progressed(self, key: str, done: int, total: int, note: str) -> None:
        self.notes.add(note)


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


def run(wanted: list[Wanted], store: Store, display: SilentDisplay | None = None, **fields: object):
    return RayEngine(**fields).run(plan(wanted, store), store, display or SilentDisplay())


def test_a_cluster_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"launcher\.address = '127\.0\.0\.1:1': cannot be reached"):
        RayEngine(address="127.0.0.1:1").width()


@pytest.mark.slow  # it starts a cluster of its own
def test_an_interrupt_ends_tasks_and_the_cluster_that_was_started_for_them(tmp_path, marks):
    class Interrupts(SilentDisplay):
        def progressed(self, *_: object) -> None:
            raise KeyboardInterrupt

    assert not ray.is_initialized()
    store = Store(tmp_path / "store")
    slow = [Wanted(Fake(f"slow{i}", marks=str(marks), sleep=600), "slow") for i in range(2)]
    with pytest.raises(KeyboardInterrupt):
        RayEngine().run(plan(slow, store), store, Interrupts())
    assert not ray.is_initialized()
    assert not list(store.root.glob("*/.tmp-*"))


def test_tasks_give_what_the_local_engine_gives(tmp_path, marks, cluster):
    store, local = Store(tmp_path / "store"), Store(tmp_path / "local")
    outcome = run(rows(marks), store)
    assert outcome.done == 7
    assert not outcome.failures
    assert set(runs(marks).values()) == {1}
    LocalEngine(0).run(plan(rows(""), local), local, SilentDisplay())
    assert snapshot(store, rows("")) == snapshot(local, rows(""))
    assert run(rows(marks), Store(store.root)).done == 0
    assert set(runs(marks).values()) == {1}
    assert ray.is_initialized()  # it was not the engine that started it


@pytest.mark.slow
def test_dead_tasks_and_failures_stop_only_what_depends_on_them(tmp_path, marks, cluster):
    store, display = Store(tmp_path / "store"), Hears()
    bad = Raises("bad", marks=str(marks))
    always = DiesOnce("always", marks=str(marks), always=True)
    wanted = [
        Wanted(always, "b"),
        Wanted(Fake("doomed", {"bad": bad}, str(marks)), "doomed cell"),
        *rows(marks),
    ]
    outcome = run(wanted, store, display, cohort=2)
    assert outcome.done == 7
    failures = {failure.stage: failure for failure in outcome.failures}
    assert failures.keys() == {"dies", "raises"}
    assert failures["dies"].label == "b"
    assert "its worker was lost (WorkerCrashedError), 2 times" in failures["dies"].error
    assert "no luck with bad" in failures["raises"].error
    text = failures["raises"].traceback.read_text()
    assert "Traceback" in text
    assert "doomed cell" in text
    assert len(outcome.blocked) == 1
    assert sum("WorkerCrashedError" in said for said in display.heard) == 1
    assert "working" in display.notes
    assert "group2-" in " ".join(path.name for path in marks.iterdir())


def test_what_no_machine_has_is_refused_before_anything_waits_for_it(tmp_path, cluster):
    with pytest.raises(ConfigError, match=r"launcher\.cpus = 4096: this machine has 2"):
        run(rows(""), Store(tmp_path / "store"), cpus=4096)
    with pytest.raises(ConfigError, match=r"launcher\.gpus = 64: this machine has"):
        run(rows(""), Store(tmp_path / "store"), gpus=64)


def test_width_counts_what_fits():
    assert RayEngine(workers=7).width() == 7
    assert RayEngine(cpus=4096).width() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("workers", 0), ("cpus", -1), ("gpus", 1.5), ("gpus", -1), ("memory_gb", 0), ("threads", 0), ("cohort", 0)],
)
def test_what_cannot_be_is_refused(field, value):
    with pytest.raises(ConfigError, match=rf"launcher\.{field} = {value}"):
        engine_of(compose_one(["launcher=ray", f"launcher.{field}={value}"]), None)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(
        "configs.extras.find_spec", lambda name: None if name == "ray" else importlib.util.find_spec(name)
    )
    with pytest.raises(ConfigError, match=r"needs the package ray: pip install -e '\.\[ray\]'"):
        engine_of(compose_one(["launcher=ray"]), None)
