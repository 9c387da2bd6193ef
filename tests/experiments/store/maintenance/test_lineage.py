"""Where numbers come from: revisions, versions and machines of all that a row was made from, in every file of a report."""

from __future__ import annotations

import json

import polars as pl
import pytest

from experiments.publish.paper_artifact import artifact
from experiments.store.artifact import Artifact
from experiments.store.entry import MANIFEST, signed
from experiments.store.layout import Ref
from experiments.store.maintenance.kept import kept
from experiments.store.maintenance.lineage import COLUMNS, Lineage, Lineages, joined
from experiments.store.store import Store
from tests.experiments.fakes import Fake
from tests.experiments.publish.test_paper_artifact import fill

HERE = {
    "git": "0123456789abcdef",
    "dirty": False,
    "packages": {"torch": "2.1"},
    "python": "3.12",
    "cpu": "A CPU",
    "gpu": None,
}


def change(root, ref, **changes):
    """Sign a manifest anew with these changes."""
    path = root / ref.stage / ref.key / MANIFEST
    manifest = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    path.write_text(json.dumps(signed({**manifest, **HERE, **changes})))


@pytest.fixture
def chain(tmp_path):
    store, root = Store(tmp_path), Fake("root")
    last = Fake("last", {"root": root})
    for stage in (root, last):
        store.put(stage, Artifact())
        change(tmp_path, Ref("fake", stage.key))
    return tmp_path, Ref("fake", root.key), Ref("fake", last.key)


def test_all_that_a_row_was_made_from_counts(chain):
    store, root, last = chain
    alike = Lineages(store).of(last)
    assert alike.rows == (last.key,)
    assert alike.told() == {"rows": last.key[:12], "revision": "0123456", "lock": alike.origins[0].lock, "cpu": "A CPU"}
    change(store, root, git="f" * 40, dirty=True, packages={"torch": "2.2"}, gpu="A GPU")
    told = Lineages(store).of(last).told()
    assert told["revision"] == "0123456 fffffff+"
    assert told["cpu"] == "A CPU; A CPU + A GPU"
    assert len(told["lock"].split()) == 2


def test_the_digest_is_of_the_versions_alone(chain):
    store, root, _ = chain
    before = Lineages(store).of(root).told()["lock"]
    change(store, root, git="e" * 40, cpu="Another")
    assert Lineages(store).of(root).told()["lock"] == before
    change(store, root, python="3.13")
    assert Lineages(store).of(root).told()["lock"] != before


@pytest.mark.parametrize("packages", [None, "torch", ["torch"], {"torch": 2, "\x1b[31m": "\n"}])
def test_a_manifest_may_say_anything(chain, packages):
    store, root, _ = chain
    change(store, root, packages=packages, cpu="\x1b[31mred\nline", git=5)
    told = Lineages(store).of(root).told()
    assert told["cpu"] == "\\x1b[31mred line"
    assert told["revision"] == "5"


def test_an_entry_among_its_own_inputs_ends(chain):
    store, root, last = chain
    change(store, root, inputs={"x": last._asdict()})
    assert len(Lineages(store).of(last).origins) == 1


def test_several_are_joined_each_once():
    assert joined([Lineage(("a",)), Lineage(("b", "a"))]).rows == ("a", "b")


def test_every_line_of_csv_and_every_cell_of_json_says_where_it_comes_from(tmp_path):
    store, table = Store(tmp_path), fill(tmp_path)
    files = artifact(store, kept(tmp_path)[0])
    lines = pl.read_csv(files["table.csv"], infer_schema_length=None)
    assert lines.columns[-len(COLUMNS) :] == list(COLUMNS)
    assert lines.select(COLUMNS).null_count().sum_horizontal().item() == 0
    known = {ref.key[:12] for ref in table.rows}
    assert {key for keys in lines["rows"] for key in keys.split()} == known
    document = json.loads(files["table.json"])
    for cell in document["cells"]:
        assert len(cell["made"]["rows"]) == len(cell["seeds"])
        assert cell["made"]["lock"] == [document["origins"][0]["lock"]]
    assert document["origins"][0]["packages"]["torch"]
