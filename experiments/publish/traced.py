"""A number traced to its run: configuration, stages with their times and files, sources, versions, machine, and the command
that makes it again. Reads a store and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from configs.errors import ConfigError, MoatBenchError
from configs.text import one_line
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.compose.search_path import SEARCH_PATH
from experiments.compose.words_for import words_for
from experiments.measure.panel import ALL
from experiments.measure.transfer import POOLED
from experiments.report.write import summaries_of
from experiments.stages.row import RowStage, resolved_of, result_of
from experiments.stages.stage_names import named_stages
from experiments.store.layout import Ref, refs
from experiments.store.maintenance.inventory import manifest_of
from experiments.store.maintenance.kept import kept
from experiments.store.maintenance.lineage import SHORT, Lineage, Lineages, Origin, origin_of
from experiments.store.store import Store

if TYPE_CHECKING:
    from experiments.store.entry import Entry

HEADLINES = ("S_def", "S_undef", "S_self", "S_base", "T_clean", "transfer")
"""Accuracies of the students, of the base and of the teacher, and what moved: the names of a report's CSV."""
HONEST = ("T_def", "refusals", "trace_kept")
"""What honest users get."""
MOST = 12
"""Rows that are named where a prefix fits several."""


class TracedStage(NamedTuple):
    """A stored result on the way to a row.

    Args:
        name: in the words of the tables, such as ``harvest_undefended``.
        ref: of the entry.
        seconds: that it took; None where it is not stored.
        written: when.
        files: bytes by name.
        origin: where it was made; None where it is not stored.
    """

    name: str
    ref: Ref
    seconds: float | None
    written: str
    files: Mapping[str, int]
    origin: Origin | None


class Trace(NamedTuple):
    """Everything about one row.

    Args:
        key: of the row.
        cell: facts that name it in tables.
        config: resolved, as it is kept with the row.
        stages: all that it was made from, itself last.
        lineage: sources, versions and machines of these.
        command: words after ``moatbench`` that make it again; () where none was found.
        remark: why not, or what else there is to know of the command; "" for nothing.
        tables: names of the kept tables that the row is in.
        numbers: by measure and family, of this row alone: greedy decoding and strict grading as in a report's main table.
    """

    key: str
    cell: Mapping[str, Any]
    config: Mapping[str, Any]
    stages: tuple[TracedStage, ...]
    lineage: Lineage
    command: tuple[str, ...]
    remark: str
    tables: tuple[str, ...]
    numbers: Mapping[str, Mapping[str, float]]


def row_named(store: Store, prefix: str) -> Entry:
    """The row whose key begins so.

    Raises:
        ConfigError: none does, or several do, which are named.
        MoatBenchError: it is corrupt.
    """
    found = [ref for ref in refs(store.root, RowStage.name) if ref.key.startswith(prefix.lower())]
    if len(found) != 1 or not prefix:
        every = found or list(refs(store.root, RowStage.name))
        told = "; ".join(_called(store.root, ref) for ref in every[:MOST]) or "none"
        more = f"; and {len(every) - MOST} more" if len(every) > MOST else ""
        what = f"is how {len(found)} rows begin, write more of it" if found else "is how no row begins; the store has"
        raise ConfigError("ROW", one_line(prefix), f"{what}: {told}{more}")
    entry = store.entry(found[0])
    if entry is None:
        raise MoatBenchError(f"the row {found[0].key[:SHORT]} was corrupt: run its command again")
    return entry


def _called(root: Path, ref: Ref) -> str:
    """A row by the beginning of its key and the facts that name it."""
    manifest = manifest_of(root, ref)
    config = {} if manifest is None else manifest["config"]
    cell = config.get("cell") if isinstance(config, dict) else None
    facts = cell if isinstance(cell, dict) else {}
    told = ", ".join(one_line(str(facts[name])) for name in ("defense", "attack") if facts.get(name) is not None)
    return f"{ref.key[:SHORT]} ({told}, seed {one_line(str(facts.get('seed')))})"


def trace(store: Store, row: Entry) -> Trace:
    """Trace a stored row.

    Raises:
        MoatBenchError: it holds something else than a row.
    """
    ref, config = Ref(RowStage.name, row.key), resolved_of(row)
    tables = [table for table in kept(store.root) if ref in table.rows]
    words, remark, names = _again(config, row.key, [word for table in tables for word in table.command])
    cell = row.meta.get("cell")
    return Trace(
        row.key,
        cell if isinstance(cell, dict) else {},
        config,
        tuple(_stages(store.root, ref, names)),
        Lineages(store.root).of(ref),
        words,
        remark,
        tuple(table.name for table in tables),
        _numbers(row),
    )


def _numbers(row: Entry) -> dict[str, dict[str, float]]:
    [alone] = summaries_of([result_of(row)])
    found: dict[str, dict[str, float]] = {}
    for name in HEADLINES:
        quantities = {family: alone.headline(name, family) for family in (*alone.families, POOLED)}
        found[name] = {family: quantity.point for family, quantity in quantities.items() if quantity.known}
    for name in HONEST:
        quantity = alone.quantity(name, ALL, "", "strict" if name == "T_def" else "")
        found[name] = {ALL: quantity.point} if quantity.known else {}
    return {name: by_family for name, by_family in found.items() if by_family}


def _again(config: Mapping[str, Any], key: str, known: Sequence[str]) -> tuple[tuple[str, ...], str, dict[str, str]]:
    """The command, checked by composing it; a remark; and names of the stages by key.

    Args:
        config: of the row.
        key: that the command has to give.
        known: words of commands that made the row: they say in which packages its parts are found.
    """
    search = list(dict.fromkeys(word for word in known if word.lstrip("+").startswith(f"{SEARCH_PATH}=")))[:1]
    try:
        words = words_for(config, search)
        row = cell_from(compose_one(words).plain).row_stage()
    except MoatBenchError as error:
        return (), f"no command of this version makes it: {error}", {}
    if row.key != key:
        reason = "was made by another version of the code, or reads a file that has changed since"
        return (), f"`moatbench run` with this configuration makes row {row.key[:SHORT]} now: this one {reason}", {}
    return ("run", *words), "", {stage.key: name for name, stage in reversed(named_stages(row).items())}


def _stages(root: Path, row: Ref, names: Mapping[str, str]) -> list[TracedStage]:
    """What the row was made from, each after its own inputs."""
    found: dict[Ref, TracedStage] = {}
    left: list[tuple[Ref, str, bool]] = [(row, RowStage.name, False)]
    seen: set[Ref] = set()
    while left:
        ref, called, ready = left.pop()
        manifest = manifest_of(root, ref)
        if ready or manifest is None:
            found.setdefault(ref, _stage(ref, names.get(ref.key, called), manifest))
        elif ref not in seen:
            seen.add(ref)
            left.append((ref, called, True))
            needed = [(Ref(one["stage"], one["key"]), name) for name, one in manifest["inputs"].items()]
            needed += [(Ref(one["stage"], one["key"]), f"{one['stage']} (shared)") for one in manifest["memos"]]
            left += [(one, name, False) for one, name in reversed(needed)]
    return list(found.values())


def _stage(ref: Ref, name: str, manifest: Mapping[str, Any] | None) -> TracedStage:
    if manifest is None:
        return TracedStage(name, ref, None, "", {}, None)
    files = {file: int(about["size"]) for file, about in manifest["files"].items()}
    return TracedStage(name, ref, float(manifest["seconds"]), str(manifest["written"]), files, origin_of(manifest))
