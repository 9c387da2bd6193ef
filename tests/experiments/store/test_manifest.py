"""Manifests that somebody signed anew: what they name stays within the entry, and their damage is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.cli import main
from experiments.store.entry import MANIFEST, signed
from experiments.store.layout import Ref
from experiments.store.maintenance.check import verify
from experiments.store.maintenance.inventory import items
from experiments.store.maintenance.reach import reach
from experiments.store.manifest import PARTS, wrong_with
from experiments.store.store import Store
from tests.experiments.fakes import Fake
from tests.experiments.store.stores import put_plain, ref

STAGE = Fake("a")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("signed") / "store"
    put_plain(Store(root), STAGE)
    return root


@pytest.fixture(scope="module")
def whole(root) -> dict:
    return json.loads((root / STAGE.name / STAGE.key / MANIFEST).read_text())


def sign(root: Path, manifest: dict) -> None:
    unsigned = {name: value for name, value in manifest.items() if name != "sha256"}
    (root / STAGE.name / STAGE.key / MANIFEST).write_text(json.dumps(signed(unsigned)))


def test_what_is_written_is_well_formed(whole):
    assert wrong_with(whole) == ""


@pytest.mark.parametrize("part", [p for p in PARTS if p not in ("stage", "key")])
def test_a_manifest_without_a_part_is_damage_and_no_traceback(root, whole, part, capsys):
    sign(root, {name: value for name, value in whole.items() if name != part})
    assert [c.wrong for c in verify(root)] == [f"manifest.json says nothing of its {part}"]
    assert main(["store", "verify", f"store={root}"]) == 1
    assert main(["store", "ls", f"store={root}"]) == 0
    assert "1 entry damaged" in capsys.readouterr().err
    assert main(["store", "ls", "fake", f"store={root}"]) == 0
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["../../../secret.parquet", "/etc/passwd", "..", "a/b", "a\\b", "a\x00", "\x1b[31m", ""]
)
def test_a_manifest_names_no_file_outside_its_entry(root, whole, name):
    (root.parent / "secret.parquet").write_text("secret")
    sign(root, {**whole, "files": {**whole["files"], name: whole["files"]["meta.json"]}})
    (checked,) = verify(root)
    assert checked.wrong == "manifest.json does not say its files as it should"


@pytest.mark.parametrize(
    "named", [{"stage": "..", "key": "0" * 32}, {"stage": "row", "key": "../x"}, {"stage": 1}, "x"]
)
def test_inputs_lead_nowhere_but_into_the_store(root, whole, named):
    for part, value in (("inputs", {"t": named}), ("memos", [named])):
        sign(root, {**whole, part: value})
        assert next(verify(root)).wrong
        assert reach(root, [ref(STAGE)]) == {ref(STAGE)}


def test_a_link_out_of_the_store_is_not_followed(root, whole):
    sign(root, whole)
    meta = root / STAGE.name / STAGE.key / "meta.json"
    content = meta.read_text()
    (root.parent / "elsewhere.json").write_text(content)
    meta.unlink()
    meta.symlink_to(root.parent / "elsewhere.json")
    assert next(verify(root)).wrong == "meta.json is a link"
    meta.unlink()
    meta.write_text(content)
    assert next(verify(root)).wrong == ""


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(part=st.sampled_from([p for p in PARTS if p not in ("stage", "key", "config")]), value=ANY)
def test_any_signed_manifest_is_read_or_called_damaged(root, whole, part, value):
    sign(root, {**whole, part: value})
    (checked,) = verify(root)
    (item,) = items(root)
    assert (checked.wrong != "") == (item.manifest is None)
    assert item.seconds >= 0
    assert isinstance(item.written, str)
    assert Ref(STAGE.name, STAGE.key) in reach(root, [checked.ref])


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"files": {}}', "\xff"])
def test_what_is_no_manifest_is_damage(root, whole, text):
    (root / STAGE.name / STAGE.key / MANIFEST).write_bytes(text.encode("latin-1"))
    assert next(verify(root)).wrong
    sign(root, whole)
