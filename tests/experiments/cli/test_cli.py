"""The command line: what is printed, exit codes, completion. Cells are cheap fakes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.cli.completion import SCRIPTS, complete
from experiments.engine.local import LocalEngine
from tests.experiments.fakes import Fake, Raises, runs
from tests.experiments.report.cells import grid


class FakeCell:
    """Stands in for `experiments.cell.Cell`: one root for all cells, one row each."""

    def __init__(self, config, marks: Path) -> None:
        self.config, self.marks = config, str(marks)

    def row_stage(self) -> Fake:
        root = Fake("root", marks=self.marks)
        kind = Raises if "temperature" in self.config["defense"] else Fake
        middle = kind(f"middle{self.config['seed']}{list(self.config['defense'])}", {"root": root}, self.marks)
        return Fake(f"row{self.config['seed']}{list(self.config['defense'])}", {"m": middle, "root": root}, self.marks)


class FakeReport:
    def __init__(self, results) -> None:
        self.results, self.files = results, {}

    def terminal(self, console) -> None:
        console.print(f"{len(self.results)} rows")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Commands on fake cells; gives the folder in which runs leave their marks."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.cli.stored_rows.cell_from", lambda config, sharing: FakeCell(config, marks))
    monkeypatch.setattr("experiments.cli.stored_rows.result_of", lambda entry, *_: entry)
    monkeypatch.setattr("experiments.cli.execute.write_report", lambda results, *_: FakeReport(results))
    monkeypatch.setattr("experiments.report.write_report", lambda results, *_: FakeReport(results))
    return marks


def test_sweep_runs_resumes_and_enlarges(fake, capsys):
    grid = ["sweep", "defense=none,trace_hidden", "seed=0,1", "--workers", "0"]
    assert main(grid) == 0
    shown = capsys.readouterr()
    assert "4 rows" in shown.out
    assert "4 cells: 9 stages to do, 0 stored results reused" in shown.err
    assert set(runs(fake).values()) == {1}
    assert main(["sweep", "defense=none,trace_hidden", "seed=0,1,2", "--workers", "0"]) == 0
    assert "6 cells: 4 stages to do, 5 stored results reused" in capsys.readouterr().err
    assert set(runs(fake).values()) == {1}


def test_dry_run_runs_nothing(fake, capsys):
    assert main(["sweep", "seed=0,1", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "2 cells: 5 stages to do" in shown.err
    assert "fake" in shown.out
    assert not runs(fake)


def test_a_failure_is_told_and_the_others_are_done(fake, capsys):
    assert main(["sweep", "defense=temperature,none", "seed=0,1", "--workers", "0"]) == 1
    shown = capsys.readouterr()
    assert "2 rows" in shown.out
    assert "no luck with" in shown.err
    assert "2 cells could not be finished" in shown.err
    assert len(list(Path("results/store/failures").iterdir())) == 2


def test_table_reads_only_what_is_stored(fake, capsys):
    assert main(["table", "seed=0"]) == 2
    assert "no such rows" in capsys.readouterr().err
    assert main(["run", "seed=0", "--workers", "0"]) == 0
    assert main(["table", "seed=0,1"]) == 0
    shown = capsys.readouterr()
    assert "1 rows" in shown.out
    assert "1 cell not stored yet" in shown.err


def test_show_tells_which_stages_are_stored(fake, capsys):
    main(["run", "seed=0", "--workers", "0"])
    capsys.readouterr()
    assert main(["show", "seed=0"]) == 0
    shown = capsys.readouterr().out
    assert "\nseed: 0\n" in shown
    assert shown.count("stored  fake") == 3


def test_interrupt_says_how_to_go_on(fake, capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalEngine, "run", interrupted)
    assert main(["run"]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_full_disk_is_said_with_exit_code_1(fake, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.store.store.write_entry", full)
    assert main(["run", "--workers", "0"]) == 1
    assert "is full: free some space" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "defense=tempereture"], "did you mean 'temperature'?"),
        (["run", "seed=0,1"], "use sweep"),
        (["list", "defences"], "did you mean 'defenses'?"),
        (["completion", "tcsh"], "choices: bash, fish, zsh"),
        (["sweep", "store=a,b"], "must be the same for all cells"),
        (["sweep", "--workers", "-2"], "must be at least 0"),
    ],
)
def test_mistakes_end_with_code_2_and_one_message(fake, capsys, arguments, message):
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_strange_options_are_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["run", "--wat"])
    assert caught.value.code == 2
    assert "does not know --wat" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "sweep", "campaign", "table", "list", "show", "store", "completion"])
def test_help_teaches_by_example(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "examples:\n  " in capsys.readouterr().out


def test_list_names_every_choice_with_line_and_source(capsys, monkeypatch, elsewhere):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list", "defenses", "experiments", elsewhere]) == 0
    shown = capsys.readouterr().out
    for path in (Path(__file__).parents[3] / "configs" / "defense").glob("*.yaml"):
        assert path.stem in shown
    (line,) = [one for one in shown.splitlines() if one.startswith("shout")]
    assert "A defense from another package." in line
    assert "nobody" in line
    assert "Two grids that overlap." in shown
    (line,) = [one for one in shown.splitlines() if one.startswith("suspects_hidden")]
    assert "behaviour + suspects" in line


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("moatbench s", ["sweep ", "show "]),
        ("moatbench sweep --", ["--dry-run ", "--workers "]),
        ("moatbench table --format ", ["latex "]),
        ("moatbench list de", ["defenses "]),
        ("moatbench completion ", ["bash ", "zsh ", "fish "]),
        ("moatbench sweep def", ["defense="]),
        ("moatbench sweep defense=tr", ["defense=trace_hidden"]),
        ("moatbench sweep defense=none,te", ["defense=none,temperature"]),
        ("moatbench sweep defense=[temperature,trace_h", ["defense=[temperature,trace_hidden"]),
        ("moatbench sweep seed=0,1 defense=none,temperature defense.temperature.", ["defense.temperature.tau="]),
        ("moatbench run attack/obj", ["attack/objective="]),
        ("moatbench run budget.q", ["budget.queries="]),
        ("moatbench nothing ", []),
        ("moatbench calibrate dr", ["drop="]),
        ("moatbench calibrate drop=0.05 defense=tempe", ["defense=temperature"]),
    ],
)
def test_completion(line, some):
    found = complete(line)
    assert set(some) <= set(found)
    assert bool(found) == bool(some)


def test_bash_completes_only_the_part_after_the_equals_sign(tmp_path):
    script = tmp_path / "try.sh"
    script.write_text(
        SCRIPTS["bash"]
        + "moatbench() { printf 'defense=trace_hidden\\ndefense=trace_summary\\n'; }\n"
        + "COMP_LINE='moatbench run defense=tr'; COMP_POINT=${#COMP_LINE}\n"
        + 'COMP_WORDS=(moatbench run defense = tr); COMP_CWORD=4; _moatbench; echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["trace_hidden", "trace_summary"]


def test_a_dry_run_says_what_the_sweep_can_show(tmp_path, monkeypatch, capsys):
    words = ["sweep", "defense=none,trace_hidden", f"store={tmp_path}", "--dry-run"]
    assert main([*words, "seed=0,1", "--difference", "0.05"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "noise floor with 2 seeds, from stated variances of the mini world: reasoning ." in shown
    assert "seeds to show a difference of .050 in 80% of sweeps" in shown
    assert main([*words, "seed=0"]) == 0
    assert "with 1 seed nothing can be told" in capsys.readouterr().out
    other = ["task=reasoning_gym", "teacher=hf", "teacher.path=x", "student=hf", "student.path=x", "budget=lm"]
    assert main([*words, *other, "seed=0,1", "--difference", "0.05"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "how far seeds differ in this task is not known" in shown
    assert "mini world" not in shown
    few = [c for c in grid(attacks=("imitate",)) if c.cell["defense"] in ("none", "trace_hidden", "query_quota")]
    monkeypatch.setattr("experiments.cli.foresight.newest", lambda store: few)
    monkeypatch.setattr("experiments.cli.foresight._alike", lambda a, b: True)
    assert main([*words, "seed=0,1,2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "noise floor with 3 seeds, from the variance of 6 stored rows: reasoning ." in shown


def test_a_difference_that_cannot_be_is_refused(capsys):
    assert main(["sweep", "seed=0,1", "--dry-run", "--difference", "5"]) == 2
    assert "--difference" in capsys.readouterr().err
