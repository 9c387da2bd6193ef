"""Archives back into a store: the same rows, once; and nothing that an archive says is believed unchecked."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cli import main
from experiments.publish import import_archive as importing
from experiments.publish.archive import SUMS, write_archive
from experiments.publish.import_archive import import_archive, key_of
from experiments.publish.opened_archive import ArchiveError, opened
from experiments.publish.paper_artifact import RECORD, artifact
from experiments.store.layout import refs
from experiments.store.maintenance.check import verify
from experiments.store.maintenance.kept import keep, kept
from experiments.store.store import Store
from tests.experiments.publish.test_paper_artifact import fill


@pytest.fixture(scope="module")
def source(tiny_cell, tiny_store, tmp_path_factory):
    """A store with a kept table of one row."""
    root = tmp_path_factory.mktemp("source") / "store"
    shutil.copytree(tiny_store, root)
    keep(Store(root), "mine", [tiny_cell.last], ["run", *tiny_cell.composed.overrides])
    return root


@pytest.fixture(scope="module")
def files(source):
    """Its export, in memory."""
    found = artifact(Store(source), kept(source)[0])
    return {name: content if isinstance(content, bytes) else content.read_bytes() for name, content in found.items()}


def packed(path: Path, files, ending=".tar.gz") -> Path:
    write_archive(path / f"mine{ending}", "mine", files)
    return path / f"mine{ending}"


@pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
def test_rows_are_the_same_again_and_once(source, files, tiny_cell, tmp_path, ending):
    archive, store = packed(tmp_path, files, ending), Store(tmp_path / "new")
    assert import_archive(store, archive)[1:] == (1, 0, 0)
    place, before = tmp_path / "new" / "row" / tiny_cell.key, source / "row" / tiny_cell.key
    for file in before.iterdir():
        if file.name != "manifest.json":
            assert (place / file.name).read_bytes() == file.read_bytes(), file.name
    assert not [text for _, text in verify(tmp_path / "new") if text]
    stamp = (place / "manifest.json").stat().st_mtime_ns
    content = (place / "manifest.json").read_bytes()
    assert import_archive(Store(tmp_path / "new"), archive)[1:] == (0, 1, 0)
    assert (place / "manifest.json").read_bytes() == content
    assert len(list(refs(tmp_path / "new"))) == 1
    assert stamp <= (place / "manifest.json").stat().st_mtime_ns


def test_as_it_is_typed_and_then_read(files, tiny_cell, tmp_path, capsys):
    archive, store = packed(tmp_path, files), f"store={tmp_path / 'new'}"
    assert main(["store", "import", str(archive), store]) == 0
    assert "mine: 1 row added, 0 there already; every byte checked" in capsys.readouterr().err
    assert main(["store", "ls", store]) == 0
    assert "mine\t1 of 1" in capsys.readouterr().out
    assert main(["compare", str(archive), str(tmp_path / "new"), "--kept", "mine"]) == 0
    assert "Nothing that both state of how they were made differs." in capsys.readouterr().out
    assert main(["trace", tiny_cell.key[:8], store]) == 0
    assert "checked: this command gives this key" in capsys.readouterr().out
    words = list(tiny_cell.composed.overrides)
    assert main(["run", *words, store, f"out={tmp_path / 'out'}", "--workers", "0"]) == 0
    assert "0 stages to do" in capsys.readouterr().err


def test_a_row_whose_paths_were_cut_comes_in(tmp_path, monkeypatch):
    monkeypatch.setitem(importing.KINDS, "row", 1)
    table = fill(tmp_path / "store")
    write_archive(tmp_path / "main.zip", "main", artifact(Store(tmp_path / "store"), table))
    found = import_archive(Store(tmp_path / "new"), tmp_path / "main.zip")
    assert found.added == 4
    assert not [text for _, text in verify(tmp_path / "new") if text]
    assert kept(tmp_path / "new")[0].rows == table.rows


def test_another_table_of_that_name_stays(source, files, tmp_path):
    store = Store(tmp_path / "new")
    monkey = fill(tmp_path / "new")
    archive = packed(tmp_path, files)
    with pytest.raises(ConfigError, match="with --name"):
        import_archive(store, archive, monkey.name)
    assert import_archive(store, archive, "other").name == "other"
    assert {table.name for table in kept(tmp_path / "new")} == {"main", "other"}


def changed(files, tiny_cell, what):
    """An export of which something is not right, its sums included."""
    row, manifest = f"rows/{tiny_cell.key}", f"manifests/row/{tiny_cell.key}.json"
    found = dict(files)
    said = json.loads(found[manifest])
    record = json.loads(found[RECORD])
    if what == "row":
        found[f"{row}/items.parquet"] = found[f"{row}/honest.parquet"]
    elif what == "meta":
        found[f"{row}/meta.json"] = b'{"cell": {}, "config": {}}'
    elif what == "key":
        said["config"]["cell"]["defense"] = "a better one"
    elif what == "version":
        said["version"] = 3
    elif what == "missing":
        del found[f"{row}/load.parquet"]
    elif what == "more":
        found[f"{row}/model.pkl"] = b"\x80\x04."
    elif what == "stage":
        record["rows"] = [["student", tiny_cell.key]]
    elif what == "away":
        record["rows"] = [["../row", tiny_cell.key]]
    elif what == "none":
        record["rows"] = []
    elif what == "newer":
        record["store"] = 99
    elif what == "garbled":
        found["provenance.json"] = b"{"
    return {**found, manifest: json.dumps(said).encode(), RECORD: json.dumps(record).encode()}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("row", "items.parquet of .* is not the file that its manifest names"),
        ("meta", "meta.json of .* is not the file that its manifest names"),
        ("key", "is not the row of the configuration that it states"),
        ("version", "is of version 3 of its stage"),
        ("missing", "does not have the files that its manifest names"),
        ("more", "does not have the files that its manifest names"),
        ("stage", "has student in the place of rows"),
        ("away", "does not say what it should"),
        ("none", "has no rows in the place of rows"),
        ("newer", "of a store of format 99; this version reads"),
        ("garbled", "provenance.json is garbled"),
    ],
)
def test_what_is_not_what_it_says_is_refused(files, tiny_cell, tmp_path, what, message):
    archive = packed(tmp_path, changed(files, tiny_cell, what))
    with pytest.raises(ArchiveError, match=message):
        import_archive(Store(tmp_path / "new"), archive)
    assert not (tmp_path / "new").exists(), "nothing was stored"


def test_an_export_without_the_record_is_of_another_version(files, tmp_path):
    archive = packed(tmp_path, {name: content for name, content in files.items() if name != RECORD})
    with pytest.raises(ArchiveError, match=r"has no export\.json: export it again"):
        import_archive(Store(tmp_path / "new"), archive)


def test_every_changed_byte_is_found(files, tmp_path):
    path = packed(tmp_path, {name: content for name, content in files.items() if len(content) < 20_000})
    plain = bytearray(gzip.decompress(path.read_bytes()))
    for at in range(600, len(plain), len(plain) // 40):
        plain[at] ^= 1
        (tmp_path / "broken.tar.gz").write_bytes(gzip.compress(bytes(plain), 1))
        plain[at] ^= 1
        try:
            found = opened("ARCHIVE", tmp_path / "broken.tar.gz")
        except ArchiveError:
            continue
        assert found == opened("ARCHIVE", path), at  # a byte of padding, which is nobody's


def made(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path / "evil.tar.gz", "w:gz") as archive:
        for about, content in members:
            about.size = about.size or len(content)
            archive.addfile(about, io.BytesIO(content) if about.isreg() else None)
    return path / "evil.tar.gz"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, link
    return about


@pytest.mark.parametrize(
    "name",
    [
        "top/../../etc/passwd",
        "/etc/passwd",
        "top/a/../b",
        "top/.hidden",
        "top//x",
        "alone",
        "top/a\x1bb",
        "top/x\\..\\y",
    ],
)
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ArchiveError, match="leaves its folder") as error:
        opened("ARCHIVE", made(tmp_path, (member(name), b"x")))
    assert "\x1b" not in str(error.value)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(ArchiveError, match="leaves its folder"):
        opened("ARCHIVE", tmp_path / "evil.zip")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_files_are_taken(tmp_path, kind):
    with pytest.raises(ArchiveError, match="is a link, a folder or a device"):
        opened("ARCHIVE", made(tmp_path, (member("top/x", kind, "/etc/passwd"), b"")))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz", compresslevel=1) as archive:
        about = member("top/zeros")
        about.size = 3 * 10**8
        archive.addfile(about, open("/dev/zero", "rb"))  # noqa: SIM115
    assert (tmp_path / "bomb.tar.gz").stat().st_size < 2 * 10**6
    with pytest.raises(ArchiveError, match="would fill the disk"):
        opened("ARCHIVE", tmp_path / "bomb.tar.gz")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"top/{number}", bytes(5 * 10**7))
    with pytest.raises(ArchiveError, match="would fill the disk"):
        opened("ARCHIVE", tmp_path / "bomb.zip")


def test_sums_name_every_file_and_no_other(tmp_path):
    digest = hashlib.sha256(b"x").hexdigest()
    cases = {
        "has no SHA256SUMS": [("top/a", b"x")],
        "b is not in its sums": [("top/a", b"x"), ("top/b", b"x"), (f"top/{SUMS}", f"{digest}  a\n".encode())],
        "b is missing": [("top/a", b"x"), (f"top/{SUMS}", f"{digest}  a\n{digest}  b\n".encode())],
        "content of a has changed": [("top/a", b"y"), (f"top/{SUMS}", f"{digest}  a\n".encode())],
        "has a twice": [("top/a", b"x"), ("top/a", b"x"), (f"top/{SUMS}", f"{digest}  a\n".encode())],
        "2 folders at its top": [("top/a", b"x"), ("other/a", b"x")],
    }
    for message, members in cases.items():
        with pytest.raises(ArchiveError, match=message):
            opened("ARCHIVE", made(tmp_path, *((member(name), content) for name, content in members)))


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no tar at all" * 100, mtime=0)])
def test_what_is_no_archive_says_so(tmp_path, content):
    (tmp_path / "x.tar.gz").write_bytes(content)
    (tmp_path / "x.zip").write_bytes(content)
    for name in ("x.tar.gz", "x.zip"):
        with pytest.raises(ArchiveError):
            opened("ARCHIVE", tmp_path / name)
    with pytest.raises(ConfigError, match="is not there"):
        opened("ARCHIVE", tmp_path / "absent.zip")


def test_keys_follow_from_manifests(source):
    store = Store(source)
    for stage in ("row", "student", "harvest", "scores"):
        for manifest in store.manifests(stage):
            assert key_of(manifest) == manifest["key"]
