"""``moatbench store``: look after stored results."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import ConfigError, MoatBenchError
from configs.text import one_line
from experiments.cli import store_views as views
from experiments.cli.arguments import CommandLine
from experiments.cli.consoles import count
from experiments.cli.subcommand import CARE
from experiments.compose.compose import Composed, compose_one
from experiments.publish.made import made
from experiments.report.file_names import UNUSUAL
from experiments.store.layout import kinds
from experiments.store.maintenance import collect
from experiments.store.maintenance.check import repair, take_away, verify
from experiments.store.maintenance.kept import Kept, forget, kept, kept_named
from experiments.store.maintenance.migrate import migrate
from experiments.store.maintenance.reach import made_with
from experiments.store.places import folder, new_file
from experiments.store.store import Store

KINDS = ("defense", "harvest", "recover", "objective", "refine", "task", "model")
"""Of parts whose results `forget` removes."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Action(NamedTuple):
    """Something that can be done.

    Args:
        do: gets the store's folder, the words and the options; gives the exit code.
        words: what its words are called, the optional ones in brackets.
        options: of the command that mean something here.
    """

    do: Callable[[Path, Sequence[str], Namespace], int]
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def main(asked: CommandLine) -> int:
    """Do what the first plain word says."""
    plain = [word for word in asked.words if "=" not in word]
    if not plain or plain[0] not in CARE:
        raise ConfigError("store", plain[0] if plain else "", "is not something to do with a store", CARE)
    name, *words = plain
    action = ACTIONS[name]
    least = sum(not word.startswith("[") for word in action.words)
    if not least <= len(words) <= len(action.words):
        raise MoatBenchError(f"write `moatbench store {' '.join([name, *action.words])}` (got {shown(words)})")
    for option, value in vars(asked.options).items():
        of_care = option not in ("command", "words") and bool(value)
        if of_care and option not in action.options:
            raise ConfigError(f"--{option.replace('_', '-')}", value, f"means nothing to `moatbench store {name}`")
    cell = compose_one([word for word in asked.words if "=" in word])
    return action.do(place_of(cell), words, asked.options)


def shown(words: Sequence[str]) -> str:
    """Words in a message; says so where there are none."""
    return " ".join(words) or "no more words"


def names(plain: Sequence[str], words: Sequence[str]) -> list[str]:
    """What can be named after an action: kept tables or kinds, of the store that the line names."""
    named = [word.partition("=")[2] for word in words if word.startswith("store=")]
    root = Path(named[-1] if named else "results/store").expanduser()
    if len(plain) > 1 or plain[0] not in ("ls", "export", "made", "forget"):
        return []
    try:
        return kinds(root) if plain[0] == "ls" else [table.name for table in kept(root)]
    except (MoatBenchError, OSError):
        return []


def _ls(root: Path, words: Sequence[str], options: Namespace) -> int:
    found = there(root)
    if not words:
        views.overview(found.root)
    elif words[0] not in kinds(found.root):
        raise ConfigError("KIND", words[0], "is not a kind of entry in this store", kinds(found.root))
    else:
        views.entries(found, words[0])
    return 0


def _du(root: Path, words: Sequence[str], options: Namespace) -> int:
    views.space(there(root).root)
    return 0


def _gc(root: Path, words: Sequence[str], options: Namespace) -> int:
    store = there(root)
    grace = collect.GRACE if options.older_than is None else seconds(options.older_than)
    tables, given_up = _chosen(root, options.keep)
    if not tables and not options.all:
        raise MoatBenchError(
            f"the store {root} has no kept table, so nothing says what is still wanted: run `moatbench sweep` with a grid "
            "whose results should stay (what is stored is not run again), or remove everything with --all"
        )
    planned = collect.plan(root, tables, grace)
    views.collection(planned, tables, options.dry_run)
    if options.dry_run:
        return 0
    for table in given_up:
        forget(root, table.name)
    freed = collect.carry_out(planned, store, grace)
    print(f"moatbench: freed {views.size(freed)}", file=sys.stderr)
    return 0


def _verify(root: Path, words: Sequence[str], options: Namespace) -> int:
    store, number, wrong = there(root), 0, 0
    for ref, text in verify(root):
        number += 1
        if text:
            wrong += 1
            done = "" if not options.repair else "; removed" if repair(store, ref) else "; a running process holds it"
            print(f"{ref.stage}/{ref.key}: {text}{done}")
    print(f"moatbench: {count(number, 'result')} checked, {wrong} corrupt", file=sys.stderr)
    if wrong and not options.repair:
        print("moatbench: `moatbench store verify --repair` removes them; runs make them again", file=sys.stderr)
    return 1 if wrong else 0


def _export(root: Path, words: Sequence[str], options: Namespace) -> int:
    from experiments.publish.archive import check_ending, write_archive
    from experiments.publish.paper_artifact import artifact

    check_ending(Path(words[1]))
    store = there(root)
    table = kept_named(root, words[0], "NAME")
    path = new_file("PATH", words[1])
    files = artifact(store, table, options.with_models)
    write_archive(path, UNUSUAL.sub("-", table.name), files)
    print(f"moatbench: {count(len(files) + 1, 'file')} in {path}", file=sys.stderr)
    return 0


def _import(root: Path, words: Sequence[str], options: Namespace) -> int:
    from experiments.publish.import_archive import import_archive

    found = import_archive(Store(root), Path(words[0]).expanduser(), options.name)
    told = [count(found.added, "row") + " added", f"{found.known} there already"]
    told += (
        [f"{found.cut} with paths cut, whose keys cannot be checked against their configuration"] if found.cut else []
    )
    print(f"moatbench: {one_line(found.name)}: {', '.join(told)}; every byte checked", file=sys.stderr)
    return 0


def _made(root: Path, words: Sequence[str], options: Namespace) -> int:
    print(made(there(root), kept_named(root, words[0], "NAME")))
    return 0


def _forget(root: Path, words: Sequence[str], options: Namespace) -> int:
    store, (kind, _, part) = there(root), words[0].partition("/")
    if kind in KINDS and part and words[0] not in [table.name for table in kept(root)]:
        removed = [ref for ref in made_with(root, words[0]) if take_away(store, ref)]
        print(f"moatbench: {count(len(removed), 'result')} made with {words[0]} removed", file=sys.stderr)
        return 0
    table = kept_named(root, words[0], "NAME")
    forget(root, table.name)
    print(
        f"moatbench: {table.name} is no longer kept; `moatbench store gc` removes what only it needs", file=sys.stderr
    )
    return 0


def _migrate(root: Path, words: Sequence[str], options: Namespace) -> int:
    aside = migrate(root)
    if aside is None:
        print(f"moatbench: {root} is of the present format", file=sys.stderr)
    else:
        text = "nothing is carried over, since older results do not say by which version of a method they were made"
        print(f"moatbench: {root} is a new store; the older one is {aside} now: {text}", file=sys.stderr)
    return 0


ACTIONS = {
    "ls": Action(_ls, ("[KIND]",)),
    "du": Action(_du),
    "gc": Action(_gc, (), ("dry_run", "keep", "older_than", "all")),
    "verify": Action(_verify, (), ("repair",)),
    "export": Action(_export, ("NAME", "PATH"), ("with_models",)),
    "import": Action(_import, ("ARCHIVE",), ("name",)),
    "made": Action(_made, ("NAME",)),
    "forget": Action(_forget, ("NAME",)),
    "migrate": Action(_migrate),
}


def seconds(text: str) -> float:
    """90s, 30m, 12h, 7d or 2w in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if found is None:
        raise ConfigError("--older-than", text, "is not a time: write a number and s, m, h, d or w, as in 7d")
    return float(found[1]) * UNITS[found[2]]


def place_of(cell: Composed) -> Path:
    """The folder of the store that a command line names."""
    return folder("store", str(cell.config.store))


def existing(cell: Composed) -> Store:
    """The store that a command line names, which must be there."""
    return there(place_of(cell))


def there(root: Path) -> Store:
    """The store, which must be there: a mistyped path should not look like an empty store."""
    if not root.is_dir():
        raise MoatBenchError(f"store = {str(root)!r}: there is no such folder; name a store with store=PATH")
    return Store(root)


def _chosen(root: Path, keep: str | None) -> tuple[list[Kept], list[Kept]]:
    """Tables whose entries stay, and tables that are given up."""
    tables = kept(root)
    if keep is None:
        return tables, []
    wanted = {kept_named(root, name, "--keep").name for name in keep.split(",")}
    return [t for t in tables if t.name in wanted], [t for t in tables if t.name not in wanted]
