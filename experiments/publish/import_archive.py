"""Puts the rows of an exported table into a store: every byte is checked, nothing is unpickled, and what is there stays.

Of what the rows were made from an export has manifests alone. An imported row says where all of that was made, and that
it was imported.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from configs.text import one_line
from experiments.campaign.campaign_stage import CampaignStage
from experiments.campaign.campaign_stage import result_of as campaign_of
from experiments.publish.opened_archive import ArchiveError, opened
from experiments.publish.origin import LOCAL
from experiments.publish.paper_artifact import EXPORT, RECORD
from experiments.stages.row import RowStage, result_of
from experiments.store.entry import FORMAT
from experiments.store.foreign import adopt
from experiments.store.layout import Ref, ref_of
from experiments.store.maintenance.kept import Kept, keep_foreign
from experiments.store.manifest import FILE, META, wrong_with

if TYPE_CHECKING:
    from experiments.store.store import Store

KINDS = {RowStage.name: RowStage.version, CampaignStage.name: CampaignStage.version}
CHECKS = {RowStage.name: result_of, CampaignStage.name: campaign_of}
CONFIG = "config.yaml"
"""Of a row in an archive, for readers: it says what META says."""


class Imported(NamedTuple):
    """What an import did.

    Args:
        name: under which the table is kept.
        added: rows that were not there.
        known: rows that were, and stay as they are.
        cut: of the added, those whose configuration had paths of another machine, so that its key does not follow from it.
    """

    name: str
    added: int
    known: int
    cut: int


def import_archive(store: Store, path: Path, name: str | None = None) -> Imported:
    """Import an archive of ``moatbench store export``; once more changes nothing.

    Args:
        store: into which.
        path: of the archive.
        name: for the kept table; None for the one that it was exported under.

    Raises:
        ConfigError: there is no such file; another table of that name is kept.
        ArchiveError: it is damaged, made by another version, or not what it says. The store is as it was, but for rows that
            came before the one that is wrong.
    """
    files = opened("ARCHIVE", path, lambda file: not file.startswith("models/"))
    record = _object(path, files, RECORD)
    if (record.get("export"), record.get("store")) != (EXPORT, FORMAT):
        what = f"format {record.get('export')} of a store of format {record.get('store')}"
        raise ArchiveError(
            f"{path.name}: is {one_line(what)[:200]}; this version reads format {EXPORT} of a store of format {FORMAT}: "
            "export it again with this version"
        )
    table = _table(path, record, name)
    origins = _origins(path, files)
    ready = [_row(path, files, ref) for ref in table.rows]  # all of them, before the store is touched
    added, cut = 0, 0
    for ref, (own, manifest, is_cut) in zip(table.rows, ready, strict=True):
        facts = {**manifest, "made": origins, "imported": {"from": path.name, "table": table.name}}
        if adopt(store, ref, own, facts, CHECKS[ref.stage]):
            added, cut = added + 1, cut + is_cut
    keep_foreign(store, table)
    return Imported(table.name, added, len(ready) - added, cut)


def _table(path: Path, record: Mapping[str, Any], name: str | None) -> Kept:
    try:
        rows = tuple(ref_of(*named) for named in record["rows"])
        own = one_line(str(record["name"]))
        command = tuple(one_line(str(word)) for word in record["command"])
        git = None if record["git"] is None else one_line(str(record["git"]))
        written = one_line(str(record["written"]))
    except (LookupError, TypeError, ValueError) as error:
        raise ArchiveError(f"{path.name}: {RECORD} does not say what it should ({type(error).__name__})") from error
    strange = sorted({ref.stage for ref in rows} - KINDS.keys())
    if strange or not rows:
        raise ArchiveError(f"{path.name}: has {', '.join(strange) or 'no rows'} in the place of rows")
    return Kept(name or own, written, command, git, rows, frozenset(rows))


def _row(path: Path, files: Mapping[str, bytes], ref: Ref) -> tuple[dict[str, bytes], dict[str, Any], bool]:
    """Files and manifest of a row, and whether paths were cut from what its key is the hash of."""
    manifest = _object(path, files, f"manifests/{ref.stage}/{ref.key}.json")
    below = f"rows/{ref.key}/"
    own = {file.removeprefix(below): content for file, content in files.items() if file.startswith(below)}
    own.pop(CONFIG, None)
    if wrong := wrong_with(manifest):
        raise ArchiveError(f"{path.name}: the manifest of {ref} {wrong}")
    if Ref(manifest["stage"], manifest["key"]) != ref:
        raise ArchiveError(f"{path.name}: the manifest of {ref} is another's")
    if manifest["version"] != KINDS[ref.stage]:
        told = f"is of version {manifest['version']} of its stage, this version makes {KINDS[ref.stage]}"
        raise ArchiveError(f"{path.name}: {ref} {told}")
    if own.keys() != manifest["files"].keys() or not all(FILE.fullmatch(file) for file in own):
        raise ArchiveError(f"{path.name}: {ref} does not have the files that its manifest names")
    cut = key_of(manifest) != ref.key
    if cut and LOCAL not in json.dumps(manifest["config"]):
        raise ArchiveError(f"{path.name}: {ref} is not the row of the configuration that it states")
    for file, content in own.items():
        if _sum(content) != manifest["files"][file]["sha256"] and not _was_cut(file, content):
            raise ArchiveError(f"{path.name}: {file} of {ref} is not the file that its manifest names")
    manifest.pop("sha256", None)
    return own, manifest, cut


def key_of(manifest: Mapping[str, Any]) -> str:
    """The key that follows from what a manifest says; see `experiments.store.stage.Stage.key`."""
    content = {part: manifest[part] for part in ("stage", "version", "config")}
    content["inputs"] = {name: needed["key"] for name, needed in manifest["inputs"].items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _origins(path: Path, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Where everything behind the rows was made, without the list of what that is."""
    found = _json(path, files, "provenance.json")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ArchiveError(f"{path.name}: provenance.json does not say what it should")
    return [{part: value for part, value in one.items() if part != "entries"} for one in found]


def _object(path: Path, files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    found = _json(path, files, name)
    if not isinstance(found, dict):
        raise ArchiveError(f"{path.name}: {one_line(name)} does not say what it should")
    return found


def _json(path: Path, files: Mapping[str, bytes], name: str) -> Any:
    if name not in files:
        more = ": export it again with this version" if name == RECORD else ""
        raise ArchiveError(f"{path.name}: has no {one_line(name)}{more}")
    try:
        return json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path.name}: {one_line(name)} is garbled") from error


def _was_cut(file: str, content: bytes) -> bool:
    """Whether an exporter cut paths in a file, so that it is no longer the one that its manifest describes."""
    if file == META:
        return LOCAL.encode() in content
    try:
        table = pl.read_parquet(io.BytesIO(content))
    except (PolarsError, OSError, ValueError):
        return False
    texts = [column for column in table if column.dtype == pl.String]
    return any(column.str.contains(LOCAL, literal=True).any() for column in texts)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
