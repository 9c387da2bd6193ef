"""The archive of a kept table: complete, the same bytes again, free of this machine's paths."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import load as load_arrays

from configs.errors import ConfigError, MoatBenchError
from experiments.publish.archive import Content, write_archive
from experiments.publish.origin import without_paths, without_paths_in
from experiments.publish.paper_artifact import artifact
from experiments.publish.readme import readme
from experiments.store.artifact import Artifact
from experiments.store.entry import MANIFEST, signed
from experiments.store.layout import Ref
from experiments.store.maintenance.kept import Kept, keep, kept
from experiments.store.store import Store
from tests.experiments.fakes import Fake
from tests.experiments.measure.synthetic import cell, result

SECRET = "/home/somebody/models/llama"


@dataclass(frozen=True)
class Row(Fake):
    """Where rows lie."""

    name: ClassVar[str] = "row"


def fill(root: Path, order: int = 1) -> Kept:
    store, rows = Store(root), []
    accuracy = dict.fromkeys(("chain", "code", "facts", "tool"), 0.5)
    for defense, seed in (("none", 0), ("none", 1), ("hidden", 0), ("hidden", 1)):
        description = cell(
            defense, [] if defense == "none" else [defense], None, "imitate", seed, teacher=f"hf({SECRET})"
        )
        found = result(description, accuracy)
        student = Fake(f"student {defense} {seed}")
        with store.claim(student):
            store.memo("generations", {"n": seed}, Artifact)
            store.put(student, Artifact({"weights": {"w": np.full(3, seed)}}))
        row = Row(f"{defense} {seed}", {"student": student})
        items = pl.concat([t.with_columns(model=pl.lit(role)) for role, t in found.scores.items()])
        users = [t.with_columns(defended=pl.lit(d)) for t, d in ((found.honest, True), (found.honest_clean, False))]
        config = {"seed": seed, "defense": defense, "teacher": {"path": SECRET, "url": "https://example.org/a/b"}}
        tables = {
            "row": pl.DataFrame([found.cell]),
            "items": items,
            "honest": pl.concat(users),
            "load": found.honest_load,
        }
        store.put(row, Artifact(tables=tables, meta={"cell": dict(found.cell), "config": config}))
        rows.append(row)
    keep(store, "main", rows, ["sweep", "defense=none,hidden", f"store={root}", f"teacher.path={SECRET}", "seed=0,1"])
    return kept(root)[0]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[Store, Kept]:
    root = tmp_path_factory.mktemp("store")
    return Store(root), fill(root)


@pytest.fixture(scope="module")
def files(filled) -> dict[str, Content]:
    store, table = filled
    return artifact(store, table, with_models=True)


def opened(path: Path) -> dict[str, bytes]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


@pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
def test_an_archive_is_complete(filled, files, tmp_path, ending):
    _, table = filled
    path = tmp_path / "below" / f"main{ending}"
    write_archive(path, "main", files)
    files = opened(path)
    for ref in table.rows:
        for name in ("row.parquet", "items.parquet", "honest.parquet", "config.yaml"):
            assert f"main/rows/{ref.key}/{name}" in files
        assert f"main/manifests/row/{ref.key}.json" in files
        config = yaml.safe_load(files[f"main/rows/{ref.key}/config.yaml"])
        assert config["teacher"] == {"path": "LOCAL/llama", "url": "https://example.org/a/b"}
    assert sum(name.startswith("main/manifests/") for name in files) == 4 + 4 + 2  # rows, students, shared work
    assert {"main/table.md", "main/table.csv", "main/table.tex", "main/provenance.json"} <= files.keys()
    sums = dict(reversed(line.split("  ")) for line in files["main/SHA256SUMS"].decode().splitlines())
    assert sums == {
        name.removeprefix("main/"): hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != "main/SHA256SUMS"
    }


def test_the_same_store_gives_the_same_bytes(filled, files, tmp_path):
    store, table = filled
    again = artifact(Store(store.root), table)
    assert set(files) - set(again) == {f"models/{ref.key}/weights.safetensors" for ref in table.rows}
    del again["README.md"]  # says whether there are weights
    for ending in (".tar.gz", ".zip"):
        paths = [tmp_path / f"one{ending}", tmp_path / f"two{ending}"]
        for path, content in zip(paths, ({name: files[name] for name in again}, again), strict=True):
            write_archive(path, "main", content)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_nothing_says_where_it_was_made(filled, files):
    store, _ = filled
    for name, content in files.items():
        plain = content.read_bytes() if isinstance(content, Path) else content
        if name.endswith(".parquet"):
            plain = pl.read_parquet(io.BytesIO(plain)).write_json().encode()
        assert b"/home/" not in plain, name
        assert str(store.root).encode() not in plain, name


def test_tables_are_those_of_the_store(filled, files):
    _, table = filled
    for ref in table.rows:
        for name in ("items", "honest"):
            content = files[f"rows/{ref.key}/{name}.parquet"]
            assert isinstance(content, Path)  # as it is, byte for byte
        row = pl.read_parquet(io.BytesIO(files[f"rows/{ref.key}/row.parquet"]))
        assert row["teacher"].to_list() == ["hf(LOCAL/llama)"]
    assert "hidden" in files["table.md"].decode()


def test_it_says_what_is_what_and_how_to_get_it_again(files):
    text = files["README.md"].decode()
    assert "moatbench sweep defense=none,hidden teacher.path=LOCAL/llama seed=0,1 --name main" in text
    assert "store=" not in text
    assert "git checkout" in text
    origins = json.loads(files["provenance.json"])
    assert sum(len(origin["entries"]) for origin in origins) == 10
    assert origins[0]["packages"]["torch"]


def test_packages_that_are_not_in_it_are_named(filled):
    _, table = filled
    for command, told in (
        ("moatbench sweep 'hydra.searchpath=[pkg://mine.configs]' seed=0", True),
        ("moatbench run", False),
    ):
        assert ("`mine` need that code too" in readme(table, command, [], [], False)) is told


def test_weights_go_along(filled, files):
    _, table = filled
    weights = files[f"models/{table.rows[1].key}/weights.safetensors"].read_bytes()
    np.testing.assert_array_equal(load_arrays(weights)["w"], np.full(3, 1))
    assert "models/KEY/" in files["README.md"].decode()


def test_sums_are_those_of_the_usual_tool(files, tmp_path):
    write_archive(tmp_path / "a.tar.gz", "main", files)
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "main", capture_output=True)
    assert done.returncode == 0, done.stdout


def test_a_table_with_missing_rows_is_not_exported(tmp_path):
    store = Store(tmp_path)
    store.put(Row("a"), Artifact())
    keep(store, "half", [Row("a"), Row("b")], ["sweep", "seed=0,1"])
    with pytest.raises(MoatBenchError, match="1 of the 2 rows of half are not stored: run `moatbench sweep seed=0,1`"):
        artifact(store, kept(tmp_path)[0])


def test_a_manifest_signed_anew_gives_nothing_outside_the_store_away(tmp_path):
    table = fill(tmp_path / "store")
    secret = tmp_path / "secret.parquet"
    pl.DataFrame({"secret": ["s3cret"]}).write_parquet(secret)
    place = tmp_path / "store" / table.rows[0].stage / table.rows[0].key / MANIFEST
    manifest = {name: value for name, value in json.loads(place.read_text()).items() if name != "sha256"}
    about = {"size": secret.stat().st_size, "sha256": hashlib.sha256(secret.read_bytes()).hexdigest()}
    manifest["files"]["../../../secret.parquet"] = about  # true in all but where it is
    place.write_text(json.dumps(signed(manifest)))
    with (
        pytest.warns(UserWarning, match="does not say its files as it should"),
        pytest.raises(MoatBenchError, match="1 of the 4 rows of main are not stored"),
    ):
        artifact(Store(tmp_path / "store"), table)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.tar\.gz or \.zip"):
        write_archive(tmp_path / "x.rar", "x", {})


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/home/me/x.gguf", "LOCAL/x.gguf"),
        ("gguf:/home/alice/m.gguf", "gguf:LOCAL/m.gguf"),
        ("file:/home/alice/x", "LOCAL/x"),
        ("file://localhost/home/alice/x", "LOCAL/x"),
        ("file:///C:/Users/alice/x", "LOCAL/x"),
        ("hydra.searchpath=[file:///home/me/configs]", "hydra.searchpath=[LOCAL/configs]"),
        ("~alice/x, ~/x", "LOCAL/x, LOCAL/x"),
        ("../../home/alice/x", "LOCAL/x"),
        ("C:/Users/alice/x", "LOCAL/x"),
        ("C:\\Users\\alice\\x", "LOCAL/x"),
        ("/root", "LOCAL"),
        ("/home/alice", "LOCAL"),
        ("'/home/alice/'", "'LOCAL'"),
        ("C:/Users/alice", "LOCAL"),
        ("../../home/alice", "LOCAL"),
        ("/scratch/alice", "LOCAL"),
        ("hf(/home/my\\_name/models/x)", "hf(LOCAL/x)"),
        ('  File "/home/alice/p/x.py", line 3', '  File "LOCAL/x.py", line 3'),
        ("a\\n/home/alice/x", "a\\nLOCAL/x"),
        ("teacher.path=/home/a/m seed=0 student.path=/home/b/c", "teacher.path=LOCAL/m seed=0 student.path=LOCAL/c"),
        ('{"path": "/a/b/c-d_e.f"}', '{"path": "LOCAL/c-d_e.f"}'),
        ("transfer/chain/greedy/strict", "transfer/chain/greedy/strict"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("pkg://mine.configs", "pkg://mine.configs"),
        ("1 / 2, and/or, </think>, ./a/b, ../a/b", "1 / 2, and/or, </think>, ./a/b, LOCAL/b"),
    ],
)
def test_only_paths_of_this_machine_are_cut(text, plain):
    assert without_paths(text) == plain


def test_a_text_that_is_one_path_is_cut_whole():
    given = {"a": ["/home/alice/My Models/x y.gguf", "~alice/My Docs/x", 3], "b": "/a/b/c and /d/e/f"}
    assert without_paths_in(given) == {"a": ["LOCAL/x y.gguf", "LOCAL/x", 3], "b": "LOCAL/c and LOCAL/f"}


def test_refs_name_themselves_briefly():
    assert str(Ref("row", "0123456789abcdef")) == "row/01234567"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("meta.json", b"[1]"),
        ("meta.json", b"{}"),
        ("meta.json", b"{"),
        ("items.parquet", b"nothing"),
        ("load.parquet", None),
    ],
)
def test_a_row_that_somebody_signed_and_that_is_none_is_refused(tmp_path, name, content):
    table = fill(tmp_path)
    place = tmp_path / table.rows[0].stage / table.rows[0].key
    manifest = {part: value for part, value in json.loads((place / MANIFEST).read_text()).items() if part != "sha256"}
    if content is None:
        del manifest["files"][name]
    else:
        (place / name).write_bytes(content)
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (place / MANIFEST).write_text(json.dumps(signed(manifest)))
    with pytest.raises(MoatBenchError, match="does not hold what a row holds"):
        artifact(Store(tmp_path), table)
