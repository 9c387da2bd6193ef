"""``moatbench trace``: where a number of a table, a CSV or a JSON comes from, and the command that makes it again."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from configs.errors import ConfigError, MoatBenchError
from configs.text import one_line, printable
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import compose_one

if TYPE_CHECKING:
    from experiments.publish.traced import Trace
    from experiments.store.entry import Entry
    from experiments.store.store import Store


def main(asked: CommandLine) -> int:
    """Print what is known of the row that the words name."""
    from experiments.publish.traced import trace

    store, row = asked_row(asked.words)
    found = trace(store, row)
    if asked.options.json:
        print(json.dumps(_record(found), indent=1, default=str))
    else:
        _print(found, store)
    return 0


def asked_row(words: tuple[str, ...]) -> tuple[Store, Entry]:
    """The stored row that a command line names: by the beginning of its key, or by the overrides of its cell.

    Raises:
        ConfigError: both or neither, or no row or several begin so.
        MoatBenchError: the cell's row is not stored, or there is no such store.
    """
    keys, overrides = ([word for word in words if ("=" in word) == given] for given in (False, True))
    rest = [word for word in overrides if not word.startswith("store=")]
    if len(keys) > 1 or (keys and rest):
        raise ConfigError("ROW", " ".join([*keys, *rest]), "is too much: name one key, or the overrides of one cell")
    if not keys and not rest:
        raise ConfigError(
            "ROW", "", "must be the beginning of a row's key, as CSV files have them, or a cell's overrides"
        )
    from experiments.cli.store import existing
    from experiments.publish.traced import row_named

    if keys:
        store = existing(compose_one(overrides))
        return store, row_named(store, keys[0])
    from experiments.calibration.settle import settle
    from experiments.cli.stored_rows import stored, wanted_rows

    store = existing(compose_one([word for word in overrides if word.startswith("store=")]))
    cells = settle([compose_one(overrides)]).cells
    entries = stored(wanted_rows(cells), store)
    if not entries:
        raise MoatBenchError(f"this cell is not stored in {store.root}: run it with\n  {_shell(['run', *overrides])}")
    return store, entries[0]


def _print(found: Trace, store: Store) -> None:
    from experiments.cli.store_views import lasting, size

    out = consoles.results()

    def say(text: str = "", style: str = "") -> None:
        out.print(Text(printable(text), style=style), soft_wrap=True)

    named = [
        f"{name} {one_line(str(found.cell[name]))}" for name in ("defense", "attack", "seed") if name in found.cell
    ]
    say(f"row {found.key}", "bold")
    say(", ".join(named))
    if found.tables:
        say(f"in the kept tables: {', '.join(map(one_line, found.tables))}")
    say("\nconfiguration", "bold")
    say(OmegaConf.to_yaml(OmegaConf.create(dict(found.config))).rstrip())
    if found.numbers:
        say("\nnumbers of this row alone (a table joins seeds)", "bold")
        for name, by_family in found.numbers.items():
            told = ", ".join(f"{one_line(family)} {value:.3f}" for family, value in by_family.items())
            say(f"{name:<11} {told}")
    say("\nstages", "bold")
    table = Table(box=None, pad_edge=False)
    for name in ("name", "entry", "made in", "size", "files", "written", "revision"):
        table.add_column(name, justify="right" if name in ("made in", "size") else "left", overflow="fold")
    for stage in found.stages:
        known = stage.seconds is not None and stage.origin is not None
        table.add_row(
            *map(
                Text,
                (
                    one_line(stage.name),
                    str(stage.ref),
                    lasting(stage.seconds) if stage.seconds is not None else "not stored",
                    size(sum(stage.files.values())) if known else "",
                    " ".join(map(one_line, stage.files)),
                    stage.written[:19],
                    stage.origin.revision if stage.origin is not None else "",
                ),
            )
        )
    out.print(table)
    seconds = sum(stage.seconds or 0.0 for stage in found.stages)
    total = sum(sum(stage.files.values()) for stage in found.stages)
    say(f"{consoles.count(len(found.stages), 'stage')}, {lasting(seconds)}, {size(total)}; in {store.root}")
    say("\nmade with", "bold")
    for origin in found.lineage.origins:
        versions = ", ".join(f"{name} {version}" for name, version in origin.packages)
        changed = " with changes that were not committed" if origin.dirty else ""
        say(f"revision {origin.git or 'unknown'}{changed}")
        say(f"lock {origin.lock}: Python {origin.python}, {versions}")
        say(f"machine {origin.machine or 'unknown'}")
    say("\nagain", "bold")
    for line in commands(found):
        say(line)
    checked = "checked: this command gives this key" if found.command else found.remark
    say(f"({checked})")


def commands(found: Trace) -> list[str]:
    """Lines of a shell; none where no command is known."""
    if not found.command:
        return []
    revisions = {origin.git for origin in found.lineage.origins if origin.git}
    checkout = [f"git checkout {one_line(revision)}" for revision in revisions] if len(revisions) == 1 else []
    return [*checkout, _shell(found.command)]


def _shell(words: list[str] | tuple[str, ...]) -> str:
    return printable(shlex.join(["moatbench", *words]))


def _record(found: Trace) -> dict[str, Any]:
    return {
        "key": found.key,
        "cell": dict(found.cell),
        "config": dict(found.config),
        "stages": [
            {
                "name": stage.name,
                "stage": stage.ref.stage,
                "key": stage.ref.key,
                "seconds": stage.seconds,
                "written": stage.written,
                "files": dict(stage.files),
                "origin": None if stage.origin is None else stage.origin.record(),
            }
            for stage in found.stages
        ],
        "origins": [origin.record() for origin in found.lineage.origins],
        "command": commands(found),
        "remark": found.remark,
        "tables": list(found.tables),
        "numbers": {name: dict(by_family) for name, by_family in found.numbers.items()},
    }
