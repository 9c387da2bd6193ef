"""The table of ``--profile``: where the time of a run went."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.engine.base import RunOutcome
from experiments.engine.profile import CATEGORIES, PARENT, Profile
from lm.timing import collected


def show_profile(outcome: RunOutcome, workers: int, path: Path, console: Console) -> list[Path]:
    """Print where the time went and write it as JSON.

    Args:
        outcome: of the run.
        workers: how many there were.
        path: of the JSON file.
        console: where to print.

    Returns:
        the file, unless it could not be written.
    """
    profile = Profile.of(workers, outcome.seconds, outcome.spent, collected())
    console.print(_table(profile), highlight=False)
    try:
        profile.write(path)
    except OSError as error:
        console.print(f"the profile could not be written: {error.strerror}", highlight=False)
        return []
    return [path]


def _table(profile: Profile) -> Table:
    table = Table("where", title="time", title_justify="left")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what")
    meaning = {**CATEGORIES, **PARENT}
    for name, seconds in profile.seconds.items():
        share = profile.share(name)
        table.add_row(name, f"{seconds:.1f}", "" if share is None else f"{share:.0%}", meaning.get(name, ""))
    whole = profile.workers * profile.wall
    table.add_section()
    table.add_row("workers", f"{whole:.1f}", "", f"{profile.workers} for {profile.wall:.1f} s")
    return table
