"""How it is said that stages failed: a table, where the whole stories are, what to do, and the exit code."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.cli.consoles import count
from experiments.engine.base import Failure, RunOutcome
from experiments.store.store import StoreFullError

SHOWN = 20
"""Failures shown in full; the others are in the store and in the log."""

FRAME = re.compile(r'  File "([^"<]+)", line \d+')
NOT_THE_USERS = (Path(__file__).resolve().parents[2], *map(Path, sysconfig.get_paths().values()))
"""Folders of this project and of Python: frames in them do not say where a user's own method failed."""

LINES = 3
"""Last lines of a traceback that are shown."""


def conclude(outcome: RunOutcome, cells: int, missing: int, root: Path, console: Console) -> int:
    """Say what failed; the exit code.

    Args:
        outcome: of the run.
        cells: how many were wanted.
        missing: how many of them are not stored.
        root: of the store.
        console: where to.

    Returns:
        0, or 1 where stages failed, or 2 where all that failed is the user's to mend.
    """
    if not outcome.failures and not outcome.full:
        return 0
    shown = outcome.failures[:SHOWN]
    if cells == 1 and len(shown) == 1:
        _short(shown[0], console)
    else:
        _table(shown, console)
    rest = len(outcome.failures) - len(shown)
    if rest:
        _say(console, f"… and {count(rest, 'more failure')}, all in {_near(outcome.failures[0].traceback.parent)}")
    if outcome.full:
        _say(console, str(StoreFullError(root)))
    given_up = f", {count(len(outcome.blocked), 'stage')} that need them given up" if outcome.blocked else ""
    _say(
        console,
        f"{count(len(outcome.failures), 'stage')} failed{given_up}; {count(missing, 'cell')} could not be finished; "
        "all others are stored. The same command tries them again.",
    )
    return 2 if not outcome.full and all(failure.user for failure in outcome.failures) else 1


def _short(failure: Failure, console: Console) -> None:
    _say(console, f"\n{failure.stage} failed: {failure.error}")
    _whole_story(failure, console)


def _table(failures: Sequence[Failure], console: Console) -> None:
    table = Table("", "stage", "cell", "error", title="failures", title_justify="left")
    for number, failure in enumerate(failures, 1):
        table.add_row(str(number), failure.stage, _plain(failure.label), _plain(failure.error))
    console.print()
    console.print(table, highlight=False)
    told: dict[str, int] = {}
    for number, failure in enumerate(failures, 1):
        end = _end(failure)
        same = f", as {told[end]}" if end in told else ""
        _whole_story(failure, console, f"{number}  ", same)
        if not same:
            told[end] = number
            _say(console, end)


def _whole_story(failure: Failure, console: Console, before: str = "", same: str = "") -> None:
    """Where it is; on a full disk it may be nowhere but here."""
    if failure.traceback.is_file():
        _say(console, f"{before}traceback: {_near(failure.traceback)}{same}")
    else:
        _say(console, f"{before}{failure.stage} {failure.key[:8]} (no room for its traceback){same}")


def _end(failure: Failure) -> str:
    lines = [line for line in failure.story.rstrip().splitlines() if line.strip()]
    return "\n".join(f"     {line}" for line in (*_users_frame(lines[:-LINES]), *lines[-LINES:]))


def _users_frame(lines: Sequence[str]) -> Sequence[str]:
    """The innermost frame of a method that is neither this project's nor an installed package's: place and line."""
    for at in range(len(lines) - 1, -1, -1):
        found = FRAME.match(lines[at])
        if found and not any(Path(found[1]).is_relative_to(place) for place in NOT_THE_USERS):
            return lines[at : at + 2]
    return ()


def _near(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
