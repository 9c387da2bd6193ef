"""What goes with a paper: everything that a kept table says and stands on, readable without this project."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
from omegaconf import OmegaConf

from configs.errors import MoatBenchError
from experiments.campaign.campaign_stage import CampaignStage
from experiments.campaign.joined import report
from experiments.claims.reporting import reporting_of
from experiments.compose.compose import PATHS, REPORT, compose_one
from experiments.compose.grids import EXPERIMENT
from experiments.publish.archive import Content
from experiments.publish.origin import without_paths, without_paths_in
from experiments.publish.readme import readme
from experiments.report import write_report
from experiments.stages.row import RowStage, result_of
from experiments.store.entry import FORMAT
from experiments.store.layout import Ref
from experiments.store.maintenance.collect import reached_by
from experiments.store.maintenance.inventory import manifest_of
from experiments.store.maintenance.kept import Kept
from experiments.store.maintenance.lineage import Lineages
from experiments.store.manifest import META

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from experiments.store.store import Store

TABLES = {"md": "table.md", "csv": "table.csv", "tex": "table.tex", "page": "table_page.tex", "json": "table.json"}
RECORD = "export.json"
EXPORT = 1
"""Layout of an export, raised when an older one can no longer be imported."""
ORIGIN = ("git", "dirty", "packages", "python", "platform", "cpu", "cores", "gpu")
"""Parts of a manifest that say where an entry was made."""


def artifact(store: Store, table: Kept, with_models: bool = False) -> dict[str, Content]:
    """The files of the archive of a kept table, by name; the same store gives the same bytes.

    Args:
        store: that holds it.
        table: which.
        with_models: students' weights too.

    Raises:
        MoatBenchError: a row is not stored, or the table is of no rows.
    """
    rows = rows_of(store, table)
    reached = {ref: manifest_of(store.root, ref) for ref in sorted(reached_by(store.root, [table]))}
    manifests = {ref: manifest for ref, manifest in reached.items() if manifest is not None}
    files: dict[str, Content] = dict(tables_of(store, rows, table))
    for ref, entry in rows.items():
        for name in sorted(entry.manifest["files"]):
            if name.endswith(".parquet"):
                files[f"rows/{ref.key}/{name}"] = _placeless(
                    entry.table(name.removesuffix(".parquet")), entry.path / name
                )
        meta = without_paths_in(entry.meta)
        files[f"rows/{ref.key}/{META}"] = entry.path / META if meta == entry.meta else _json(meta)
        config = OmegaConf.create(without_paths_in(entry.meta["config"]))
        files[f"rows/{ref.key}/config.yaml"] = _text(OmegaConf.to_yaml(config))
        if with_models:
            files |= _weights(store, entry, f"models/{ref.key}")
    for ref, manifest in manifests.items():
        files[f"manifests/{ref.stage}/{ref.key}.json"] = _json(manifest)
    origins = _origins(manifests)
    files["provenance.json"] = _json(origins)
    files[RECORD] = _json(_record(table))
    command = " ".join(["moatbench", *map(shlex.quote, _without_places(table.command))]) if table.command else ""
    files["README.md"] = readme(table, command, origins, list(rows), with_models).encode()
    return files


def _record(table: Kept) -> dict[str, Any]:
    """What `experiments.publish.import_archive` reads first."""
    return {
        "export": EXPORT,
        "store": FORMAT,
        "name": table.name,
        "written": table.written,
        "command": _without_places(table.command),
        "git": table.git,
        "rows": [list(ref) for ref in table.rows],
    }


def rows_of(store: Store, table: Kept) -> dict[Ref, Entry]:
    """The rows of a kept table, in its order; raises `MoatBenchError` where one is not stored."""
    found = {ref: store.entry(ref) for ref in table.rows}
    rows = {ref: entry for ref, entry in found.items() if entry is not None}
    if not rows or len(rows) < len(found):
        again = f": run `{shlex.join(['moatbench', *table.command])}`" if table.command else ": run its command again"
        raise MoatBenchError(f"{len(found) - len(rows)} of the {len(found)} rows of {table.name} are not stored{again}")
    return rows


def tables_of(store: Store, rows: Mapping[Ref, Entry], table: Kept) -> dict[str, bytes]:
    """The report of a kept table in all formats that need no picture, by file name.

    Raises:
        MoatBenchError: the table is of no rows.
    """
    entries = list(rows.values())
    if strange := {ref.stage for ref in rows} - {RowStage.name, CampaignStage.name}:
        told = f"holds what a claim measured ({', '.join(sorted(strange))}), not rows: only rows can be exported"
        raise MoatBenchError(f"{table.name} {told}")
    with TemporaryDirectory() as folder:
        if all(ref.stage == CampaignStage.name for ref in rows):
            written: Mapping[str, Path] = report(entries, _reading(table), Path(folder), "table").files
        else:
            lineages = Lineages(store.root)
            results = [result_of(entry, lineages) for entry in entries]
            placeless = [replace(result, cell=without_paths_in(result.cell)) for result in results]
            words = [word for word in table.command if re.match(rf"[+]?{REPORT}[.=]|[+]?{EXPERIMENT}=", word)]
            reporting = reporting_of(compose_one([w for w in words if REPORT in w]).plain, words)
            written = write_report(placeless, Path(folder), "table", *reporting).files
        texts = {TABLES[kind]: written[kind].read_text(encoding="utf-8") for kind in TABLES}
    named = {file: text.replace("MoatBench: table", f"MoatBench: {table.name}") for file, text in texts.items()}
    return {file: _json(json.loads(text)) if file.endswith(".json") else _text(text) for file, text in named.items()}


def _reading(table: Kept) -> Mapping[str, Any]:
    """How the campaigns of a table were read when it was made: what its command said of ``link`` and ``curves``."""
    said = [word for word in table.command if re.match(r"(link|curves)[.=]", word)]
    return compose_one(said, "campaign").plain


def _weights(store: Store, row: Entry, folder: str) -> dict[str, Content]:
    needed = row.manifest["inputs"].get("student")
    entry = None if needed is None else store.entry(Ref(needed["stage"], needed["key"]))
    if entry is None:
        raise MoatBenchError(f"the student of row {row.key[:8]} is not stored: leave out --with-models")
    return {f"{folder}/{name}": entry.path / name for name in entry.manifest["files"] if name.endswith(".safetensors")}


def _origins(manifests: Mapping[Ref, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where entries were made: each source, environment and machine once, with what was made there."""
    groups: dict[str, list[str]] = {}
    for ref, manifest in manifests.items():
        text = json.dumps({part: manifest.get(part) for part in ORIGIN}, sort_keys=True)
        groups.setdefault(text, []).append(f"{ref.stage}/{ref.key}")
    return [{**json.loads(text), "entries": groups[text]} for text in sorted(groups)]


def _without_places(words: Sequence[str]) -> list[str]:
    """A command line without where things were kept, how many ran at a time, and paths. What begins with ``~`` as a word
    removes a part and is no home."""
    kept = [word for word in words if not re.match(rf"[+~]*({'|'.join(PATHS)})[.=]", word)]
    return [word if re.fullmatch(r"~[\w/@]+", word) else without_paths_in(word) for word in kept]


def _placeless(table: pl.DataFrame, path: Path) -> Content:
    """A table's own file, or its content where a text in it names a path of this machine."""
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    if all(without_paths_in(text) == text for name in texts for text in table[name].drop_nulls().unique()):
        return path
    written = io.BytesIO()
    mended = [pl.col(name).map_elements(without_paths_in, return_dtype=pl.String) for name in texts]
    table.with_columns(mended).write_parquet(written, compression="zstd")
    return written.getvalue()


def _json(content: Any) -> bytes:
    return (json.dumps(without_paths_in(content), indent=1, sort_keys=True) + "\n").encode()


def _text(text: str) -> bytes:
    return without_paths(text).encode()
