"""Checks a submission: ``python community/check.py community/NAME [--run]``.

Its README has to say all that is asked, and its command has to compose from its own folder, which imports what the folder
holds; with ``--run`` the command is run with tiny settings, in a fresh copy of the folder and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from configs.errors import ConfigError, MoatBenchError, require
from configs.text import one_line
from experiments.cell_from import cell_from
from experiments.cli import main as moatbench
from experiments.cli.arguments import read
from experiments.compose.compose import compose_cells

FIELDS = ("name", "kind", "what", "source", "licence", "experiment", "command", "search", "tried", "compute", "results")
KINDS = ("defense", "attack", "task", "claim")
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
FEWEST_SEEDS = 3
TINY = (
    "teacher.recipe.steps=3",
    "student.base_recipe.steps=3",
    "student.recipe.steps=3",
    "budget.queries=30",
    "budget.data=30",
    "measure.heldout=4",
    "measure.harder=1",
    "measure.population.accounts=20",
    "max_tokens=12",
    "seed=0",
)
"""What makes a run of the mini world small enough to see that it runs; its numbers mean nothing."""


def submission(folder: Path) -> dict[str, Any]:
    """What a README says between its first two lines of dashes.

    Raises:
        ConfigError: there is no README, a field is missing or empty, or one that is not asked for is there.
    """
    readme = folder / "README.md"
    require(readme.is_file(), "README.md", str(folder), "is not there: copy community/template")
    parts = readme.read_text(encoding="utf-8").split("---\n", 2)
    require(len(parts) == 3 and not parts[0], "README.md", str(folder), "does not begin with fields between --- lines")
    try:
        said = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise ConfigError("README.md", str(folder), f"has fields that are no YAML ({one_line(str(error))})") from error
    require(isinstance(said, dict), "README.md", str(folder), "has no fields")
    for name in said:
        if name not in FIELDS:
            raise ConfigError("README.md", name, "is not a field of a submission", FIELDS)
    for name in FIELDS:
        require(said.get(name) not in (None, "", {}), name, said.get(name), "has to be said")
    if said["kind"] not in KINDS:
        raise ConfigError("kind", said["kind"], "is no kind of submission", KINDS)
    require(said["name"] == folder.name, "name", said["name"], "has to be the folder's")
    require(LICENCE.fullmatch(str(said["licence"])) is not None, "licence", said["licence"], "must be an identifier")
    require((folder / str(said["experiment"])).is_file(), "experiment", said["experiment"], "is not in the folder")
    require(isinstance(said["search"], dict), "search", said["search"], "must be values by field")
    return said


def command_of(said: dict[str, Any]) -> tuple[str, list[str]]:
    """Subcommand and words of the exact command; raises `ConfigError` where it is none of this project's."""
    words = shlex.split(str(said["command"]))
    require(len(words) > 1 and words[0] == "moatbench", "command", said["command"], "must begin with moatbench")
    asked = read(words[1:])
    return asked.command, list(asked.words)


def check(folder: Path) -> int:
    """Check a submission without running it; how many cells its command has.

    Raises:
        MoatBenchError: whatever is wrong, in words.
    """
    said = submission(folder)
    command, words = command_of(said)
    require(command == "sweep", "command", said["command"], "must be a sweep")
    with within(folder):
        cells = compose_cells(words)
        for cell in cells:
            cell_from(cell.plain).row_stage()
    seeds = {cell.plain["seed"] for cell in cells}
    require(
        len(seeds) >= FEWEST_SEEDS, "command", said["command"], f"has {len(seeds)} seeds, fewer than {FEWEST_SEEDS}"
    )
    return len(cells)


def run(folder: Path, place: Path, more: Sequence[str] = ()) -> Path:
    """Run a submission's command with tiny settings in a fresh copy of its folder; the folder of its results.

    Args:
        folder: of the submission.
        place: an empty folder.
        more: further overrides.

    Raises:
        MoatBenchError: it failed.
    """
    _, words = command_of(submission(folder))
    fresh, results = place / folder.name, place / "results"
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns("__pycache__"))
    own = [f"store={results / 'store'}", f"out={results}", "--workers", "0", "--name", folder.name]
    with within(fresh):
        code = moatbench(["sweep", *words, *TINY, *more, *own])
    if code:
        raise MoatBenchError(f"{folder.name}: its command ended with code {code}")
    return results


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    """Work in a folder, as a user would, and find its packages there; they are forgotten afterwards."""
    known, path = set(sys.modules), list(sys.path)
    packages = {found.parent.name for found in folder.glob("*/__init__.py")}
    try:
        with contextlib.chdir(folder):
            sys.path.insert(0, str(folder.resolve()))
            yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if name.partition(".")[0] in packages:
                del sys.modules[name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the folders that are named."""
    parser = argparse.ArgumentParser("python community/check.py", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a submission")
    parser.add_argument("--run", action="store_true", help="also run its command with tiny settings")
    asked = parser.parse_args(arguments)
    try:
        for folder in asked.folders:
            cells = check(folder)
            if asked.run:
                with TemporaryDirectory() as place:
                    run(folder.resolve(), Path(place))
            print(f"{folder}: {cells} cells compose{' and run' if asked.run else ''}")
    except MoatBenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
