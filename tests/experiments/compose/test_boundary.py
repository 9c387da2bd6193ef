"""Text from outside: what may become part of a configuration, and how it is rendered where it came in all the same."""

from __future__ import annotations

import csv
import io

import pytest
from omegaconf import OmegaConf
from rich.text import Text

from configs.errors import ConfigError
from configs.text import one_line, printable, require_plain
from experiments.campaign.report import csv as campaign_csv
from experiments.cli import main
from experiments.cli.consoles import results
from experiments.compose.compose import compose_one
from experiments.compose.resolved import resolved
from experiments.report import latex, markdown, write_report
from experiments.report.cells import PlainWriter
from experiments.report.file_names import LONGEST, require_name, stem
from experiments.report.structure import Column, Table
from tests.experiments.measure.synthetic import cell, result

HOSTILE = "\x1b[31mred\r\n| =x](http://x) \u202e$x^{"


@pytest.mark.parametrize(
    "words",
    [
        ["attack.name=${oc.env:MY_API_TOKEN}"],
        ["attack.name=x${oc.env:MY_API_TOKEN,none}"],
        ["store=${oc.env:MY_API_TOKEN}", "attack.name=${store}"],
        ["out=${oc.env:MY_API_TOKEN}", "attack.name=${oc.select:out}"],
        ["tracking=wandb", "tracking.project=${oc.env:MY_API_TOKEN}"],
    ],
)
def test_the_environment_becomes_no_part_of_a_cell(monkeypatch, words):
    monkeypatch.setenv("MY_API_TOKEN", "s3cret")
    with pytest.raises(ConfigError, match=r"reads the environment.*write the value itself") as caught:
        compose_one(words)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["${oc.decode:${oc.env:TOKEN}}", "${${kind}:TOKEN}", "x${oc.create:${oc.env:TOKEN}}"])
def test_no_detour_leads_to_the_environment(monkeypatch, text):
    monkeypatch.setenv("TOKEN", "s3cret")
    with pytest.raises(ConfigError, match=r"attack\.name = .*reads the environment"):
        resolved(OmegaConf.create({"kind": "oc.env", "attack": {"name": text}}))
    assert OmegaConf.create({"x": "${oc.env:TOKEN}"}).x == "s3cret"  # elsewhere it reads as ever


def test_a_colleagues_yaml_does_not_read_it_either(monkeypatch, elsewhere, tmp_path):
    monkeypatch.setenv("MY_API_TOKEN", "s3cret")
    (tmp_path / "elsewhere" / "configs" / "defense" / "spy.yaml").write_text(
        "spy:\n  _target_: elsewhere.shout.Shout\n  volume: ${oc.env:MY_API_TOKEN}\n"
    )
    with pytest.raises(ConfigError, match=r"defense\.spy\.volume = .*reads the environment"):
        compose_one([elsewhere, "defense=spy"])


def test_places_may_be_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("SCRATCH_DISK", "/big")
    found = compose_one(["store=${oc.env:SCRATCH_DISK}/store", "out=${oc.env:SCRATCH_DISK}"])
    assert (found.plain["store"], found.plain["out"]) == ("/big/store", "/big")
    assert "/big" not in found.identity


@pytest.mark.parametrize("text", ["\x1b[31m", "a\rb", "a\x00", "\x9b", "\u202e", "\u2028", "\udcff", "a\nb", "a\tb"])
def test_a_name_has_no_control_characters(text):
    for value in ({"attack": {"name": text}}, {"defense": {text: 1}}):
        with pytest.raises(ConfigError, match=r"control characters|one line"):
            require_plain(value, "")
    assert one_line(text).isprintable()


def test_a_prompt_may_have_several_lines():
    require_plain({"teacher": {"system": "Be brief.\n\tAlways."}, "list": ["ü −", 1, None]}, "")


def test_control_characters_on_the_command_line_are_refused(capsys):
    assert main(["run", "attack.name=a\x1b[31mb"]) == 2
    shown = capsys.readouterr().err
    assert "control characters" in shown
    assert "\x1b" not in shown


def test_a_terminal_obeys_nothing(capsys):
    console = results()
    console.print(Text("a\x1b[31mb\x07"))
    console.print("c\x9b5m", markup=False)
    shown = capsys.readouterr().out
    assert "a\\x1b[31mb" in shown
    assert "c\\x9b5m" in shown
    assert printable(shown) == shown


def test_a_row_stays_a_row_in_every_format():
    table = Table("t", "T", (Column("a", "A", "text", 0), Column("b", "B")), ({"a": HOSTILE, "b": 0.5},))
    grid = markdown.grid(table)
    assert len(grid.splitlines()) == 3
    assert "](" not in grid
    rows = latex.tabular([{"a": HOSTILE}, {"a": "[2pt] x"}, {"a": "*"}], table.columns[:1]).splitlines()
    assert len(rows) == 9
    assert not any(row.startswith(("[", "*")) for row in rows)
    assert printable(grid) == grid


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+x", "-x", "'=x", " =x", "=1\r\n2"])
def test_a_spreadsheet_finds_no_formula(text):
    out = io.StringIO()
    writer = PlainWriter(out, ("a", "b"), lineterminator="\n")
    writer.writerows([{"a": text, "b": "-0.5"}, {"a": "plain", "b": -0.5}])
    assert len(out.getvalue().splitlines()) == 2
    first, second = csv.reader(io.StringIO(out.getvalue()))
    assert first == [f"'{one_line(text)}", "-0.5"]
    assert first[0][1:] == one_line(text)  # as it was
    assert second == ["plain", "-0.5"]
    assert campaign_csv.PlainWriter is PlainWriter


def test_a_report_of_hostile_names_is_whole(tmp_path):
    accuracy = dict.fromkeys(("chain", "code", "facts", "tool"), 0.5)
    found = [result(cell(d, [] if d == "none" else [d], None, HOSTILE, 0), accuracy) for d in ("none", "=" + HOSTILE)]
    files = write_report(found, tmp_path, "r").files
    for kind in ("md", "csv", "tex", "json"):
        text = files[kind].read_text()
        assert printable(text) == text, kind
        assert "\r" not in text
    for row in csv.reader(io.StringIO(files["csv"].read_text())):
        assert not any(one.startswith(("=", "@")) for one in row)


@pytest.mark.parametrize(
    "name", ["a/b", "..", "../x", "", "a\nb", "a\x1b[1m", "x}\\input{foo", "x" * 300, "a b", ".x", "-x", "ü", "x\n"]
)
def test_names_of_files_are_plain(name, tmp_path):
    with pytest.raises(ConfigError, match=r"--name = .*letters and digits of ASCII, '\.', '_', '\+' and '-'"):
        stem(name, (), "run")
    with pytest.raises(ConfigError):
        require_name("name", name)


def test_names_come_from_experiments():
    assert stem(None, ["quick", "campaign/bans"], "sweep") == "quick+campaign_bans"
    assert stem("x" * LONGEST, (), "sweep") == "x" * LONGEST
    with pytest.raises(ConfigError, match="this is what it is without --name"):
        stem(None, (), "../x")


def test_a_strange_name_ends_with_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--name", "../x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())
