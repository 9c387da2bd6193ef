"""The sentence that says how a table was made."""

from __future__ import annotations

import hashlib
import json

import pytest

from configs.errors import MoatBenchError
from experiments.publish.made import LOCK, made
from experiments.store.entry import MANIFEST, signed
from experiments.store.layout import refs
from experiments.store.maintenance.kept import kept
from experiments.store.store import Store
from tests.experiments.publish.test_paper_artifact import fill

LOCKED = dict(line.split("==") for line in LOCK.read_text().split() if "==" in line and "'" not in line)
PACKAGES = {"moatbench": "0.1.0", "torch": f"{LOCKED['torch']}+cpu", "transformers": LOCKED["transformers"]}
HERE = {
    "git": "0123456789abcdef",
    "dirty": False,
    "packages": {**PACKAGES, "numpy": LOCKED["numpy"]},
    "python": "3.12.1",
    "cpu": "A CPU",
    "cores": 2,
    "gpu": None,
    "seconds": 61.0,
    "written": "2026-11-28T10:00:00+0000",
}


def stored(root, *changes):
    """A store whose entries were made as `HERE` says, the last ones with these changes; its table's sentence."""
    fill(root)
    places = [root / ref.stage / ref.key / MANIFEST for ref in sorted(refs(root))]
    for path, change in zip(places, [{}] * (len(places) - len(changes)) + list(changes), strict=True):
        path.write_text(json.dumps(signed({**json.loads(path.read_text()), **HERE, **change})))
    return made(Store(root), kept(root)[0])


def test_one_origin(tmp_path):
    python = f"numpy {LOCKED['numpy']}, Python 3.12.1"
    assert stored(tmp_path) == (
        "2026-11-28; revision 0123456; 2 seeds; packages of requirements/lock.txt "
        f"(torch {LOCKED['torch']}+cpu, transformers {LOCKED['transformers']}, {python}); 2 cores of A CPU; "
        "10 stored results took 10 min in all"
    )


def test_several_origins_are_all_told(tmp_path):
    text = stored(
        tmp_path,
        {"git": "f" * 40, "dirty": True, "written": "2026-11-29T01:00:00+0000", "seconds": 3600.0},
        {"packages": {**HERE["packages"], "torch": "2.11.0"}, "gpu": "A GPU"},
    )
    assert "2026-11-28 to 2026-11-29; revision 0123456 and fffffff+" in text
    assert "packages not as locked" in text
    assert f"torch 2.11.0 and {LOCKED['torch']}+cpu" in text
    assert "; 2 cores of A CPU; 2 cores of A CPU, A GPU; " in text
    assert text.endswith("took 1 h 9 min in all")


def test_a_row_that_is_gone_is_no_table(tmp_path):
    stored(tmp_path)
    table = kept(tmp_path)[0]
    (tmp_path / "row" / table.rows[0].key).rename(tmp_path / "away")
    with pytest.raises(MoatBenchError, match="1 of the 4 rows of main"):
        made(Store(tmp_path), table)


@pytest.mark.parametrize(
    ("meta", "told"),
    [("{}", "KeyError: 'config'"), ('{"config": []}', "no mapping"), ("[]", "no object"), ("{", "JSONDecodeError")],
)
def test_a_row_that_holds_something_else_is_named(tmp_path, meta, told):
    stored(tmp_path)
    folder = tmp_path / "row" / kept(tmp_path)[0].rows[0].key
    (folder / "meta.json").write_text(meta)
    sums = {"size": len(meta), "sha256": hashlib.sha256(meta.encode()).hexdigest()}
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["meta.json"] = sums
    (folder / MANIFEST).write_text(json.dumps(signed({k: v for k, v in manifest.items() if k != "sha256"})))
    with pytest.raises(MoatBenchError, match=f"row {folder.name[:8]} .*{told}.*remove its folder"):
        made(Store(tmp_path), kept(tmp_path)[0])


@pytest.mark.parametrize("packages", ["torch 2", ["torch"], {"torch": 2}, None])
def test_packages_may_be_anything(tmp_path, packages):
    assert "packages not as locked" in stored(tmp_path, {"packages": packages}) or not packages
