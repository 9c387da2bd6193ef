"""What an experiment's file may say besides its grids, and what all of its grids begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cli import main
from experiments.cli.choices import items
from experiments.compose.compose import compose_cells
from experiments.compose.experiment_notes import ExperimentNotes, notes_in
from experiments.compose.grids import notes_of
from experiments.compose.hydra_session import session

FILE = """\
description: two ways
source: Somebody, arXiv 2001.00001
setting:
  - budget=small max_tokens=32
  - measure.heldout=10
grids:
  - defense=none,trace_hidden
  - defense=none max_tokens=16
differs: [other data, another student]
expected: [68 % and 31 %]
hours: 2 on one GPU
memory: 3 GB
"""


def place(folder: Path, text: str) -> str:
    experiments = folder / "experiment"
    experiments.mkdir(parents=True, exist_ok=True)
    (experiments / "noted.yaml").write_text(text)
    return f"hydra.searchpath=[file://{folder}]"


def test_all_grids_begin_with_the_setting_and_may_change_it(tmp_path):
    search = place(tmp_path, FILE)
    cells = [cell.plain for cell in compose_cells([search, "+experiment=noted"])]
    assert [(list(c["defense"]), c["max_tokens"]) for c in cells] == [([], 32), (["trace_hidden"], 32), ([], 16)]
    assert {(c["budget"]["queries"], c["measure"]["heldout"]) for c in cells} == {(532, 10)}
    own = [cell.plain for cell in compose_cells([search, "+experiment=noted", "budget=default", "max_tokens=8"])]
    assert {(c["budget"]["queries"], c["max_tokens"]) for c in own} == {(2128, 8)}, "the user's own words win"


def test_notes_are_read_and_shown(tmp_path, capsys):
    search = place(tmp_path, FILE)
    notes = notes_of([search, "+experiment=noted"])["noted"]
    assert notes == ExperimentNotes(
        "two ways",
        "Somebody, arXiv 2001.00001",
        ("other data", "another student"),
        ("68 % and 31 %",),
        "2 on one GPU",
        "3 GB",
    )
    said = [
        "description: two ways",
        "source: Somebody, arXiv 2001.00001",
        "differs: other data",
        "differs: another student",
        "expected: 68 % and 31 %",
        "hours: 2 on one GPU",
        "memory: 3 GB",
    ]
    assert notes.lines() == said
    assert main(["show", search, "+experiment=noted"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[: len(said)] == said
    assert shown[len(said) :] == [
        "",
        "# cells",
        "max_tokens=32 defense=none",
        "max_tokens=32 defense=trace_hidden",
        "max_tokens=16 defense=none",
    ]
    with session([search]) as hydra:
        listed = {item.name: item for item in items("experiment", hydra, [search])}
    assert listed["noted"] == ("noted", "two ways", "Somebody, arXiv 2001.00001")


def test_without_an_experiment_there_is_nothing_to_say():
    assert notes_of(["defense=none"]) == {}
    assert notes_in({}, "experiment.x").lines() == []


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ("source: [a, b]", r"experiment\.noted\.source = .*: must be a text"),
        ("hours: 2", r"experiment\.noted\.hours = 2: must be a text"),
        ("expected: 68 %", r"experiment\.noted\.expected = '68 %': must be a list of sentences"),
        ("expected: [68]", r"experiment\.noted\.expected = \[68\]: must be a list of sentences"),
        (
            "expects: [68 %]",
            r"experiment\.noted\.expects = .*: is not a field of .* \(choices: claims, description, differs",
        ),
        ("setting: max_tokens=3", r"experiment\.noted\.setting = 'max_tokens=3': must be a list of command lines"),
        ("setting: ['hydra.searchpath=[x]']", "is for the user's own command line only"),
    ],
)
def test_what_is_no_note_is_refused(tmp_path, instead, reason):
    search = place(tmp_path, f"grids: [defense=none]\n{instead}\n")
    with pytest.raises(ConfigError, match=reason):
        compose_cells([search, "+experiment=noted"])
