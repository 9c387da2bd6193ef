"""`moatbench store` as it is typed, on sweeps of fake cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.cli.completion import complete
from experiments.store.layout import refs
from experiments.store.store import Store
from tests.experiments.cli.test_cli import fake  # noqa: F401
from tests.experiments.fakes import runs
from tests.experiments.store.stores import age, make_old

DAY = 86400.0


@pytest.fixture
def swept(fake, capsys) -> Path:  # noqa: F811
    """Two kept tables that share their roots; gives the folder of marks."""
    assert main(["sweep", "defense=none,trace_hidden", "seed=0,1", "--workers", "0", "--name", "main"]) == 0
    assert main(["run", "seed=5", "--workers", "0"]) == 0
    age(Store("results/store"), DAY)
    capsys.readouterr()
    return fake


def lines(capsys) -> list[list[str]]:
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_after_a_collection_tables_are_printed_again_and_sweeps_do_nothing(swept, capsys):
    assert main(["store", "gc", "--keep", "main"]) == 0
    assert len(list(refs(Path("results/store")))) == 9
    before = runs(swept)
    assert main(["sweep", "defense=none,trace_hidden", "seed=0,1", "--workers", "0", "--name", "main"]) == 0
    assert "0 stages to do" in capsys.readouterr().err
    assert runs(swept) == before
    assert main(["table", "defense=none,trace_hidden", "seed=0,1"]) == 0
    assert "4 rows" in capsys.readouterr().out
    assert main(["table", "seed=5"]) == 2  # it was given up


def test_a_dry_run_removes_nothing(swept, capsys):
    assert main(["store", "gc", "--dry-run", "--keep", "run"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1].startswith("total\t8\t")
    assert "stays: 3 results of 1 kept table" in shown.err
    assert len(list(refs(Path("results/store")))) == 11
    assert main(["store", "gc", "--keep", "run", "--older-than", "7d"]) == 0
    assert len(list(refs(Path("results/store")))) == 11


def test_without_a_kept_table_nothing_goes_unless_all(swept, capsys):
    for name in ("main", "run"):
        assert main(["store", "forget", name]) == 0
    assert main(["store", "gc"]) == 2
    assert "no kept table" in capsys.readouterr().err
    assert main(["store", "gc", "--all"]) == 0
    assert list(refs(Path("results/store"))) == []


def test_ls_and_du_tell_what_is_there(swept, capsys):
    assert main(["store", "ls"]) == 0
    found = lines(capsys)
    assert found[0] == ["kind", "entries", "size", "made in", "newest"]
    assert found[1][:2] == ["fake", "11"]
    assert [row[:2] for row in found[3:]] == [["main", "4 of 4"], ["run", "1 of 1"]]
    assert main(["store", "ls", "fake"]) == 0
    found = lines(capsys)
    assert len(found) == 12
    assert {row[4] for row in found[1:]} == {"main", "run", "main, run"}
    assert main(["store", "du"]) == 0
    found = {row[0]: row[1:] for row in lines(capsys)}
    total = sum(p.stat().st_size for p in Path("results/store").rglob("*") if p.is_file())
    assert int(found["total"][0]) == total - Path("results/store/store.json").stat().st_size
    assert found["total"][2] == "0"
    assert int(found["main"][1]) < int(found["main"][0])  # the root is shared


def test_verify_finds_and_repairs(swept, capsys):
    assert main(["store", "verify"]) == 0
    path = next(Path("results/store/fake").glob("*/row.parquet"))
    content = bytearray(path.read_bytes())
    content[7] ^= 16
    path.write_bytes(content)
    assert main(["store", "verify"]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"fake/{path.parent.name}: the content of row.parquet has changed\n"
    assert "11 results checked, 1 corrupt" in shown.err
    assert main(["store", "verify", "--repair"]) == 1
    assert main(["store", "verify"]) == 0
    assert "10 results checked, 0 corrupt" in capsys.readouterr().err


def test_an_old_store_is_set_aside_by_the_command_that_its_error_names(swept, capsys):
    root = Path("results/store").resolve()
    make_old(root)
    for command in (["run"], ["table", "--all"], ["show"], ["store", "ls"], ["store", "gc"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "made by an older version" in error
    assert main(error.split("`")[1].split()[1:]) == 0
    aside = root.with_name("store.format-1")
    assert f"the older one is {aside} now: nothing is carried over" in capsys.readouterr().err.replace("\n", " ")
    assert len(list(refs(aside))) == 11
    assert main(["run", "--workers", "0"]) == 0
    assert main(["store", "migrate"]) == 0
    assert "is of the present format" in capsys.readouterr().err


def test_a_kept_table_says_how_it_was_made(swept):
    record = json.loads(Path("results/store/tables/main.json").read_text())
    assert record["command"] == ["sweep", "defense=none,trace_hidden", "seed=0,1"]
    assert len(record["rows"]) == 4
    assert len(record["entries"]) == 9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "choices: du, export, forget, gc, import, ls, made, migrate, verify"),
        ("lss", "did you mean 'ls'?"),
        ("ls a b", "write `moatbench store ls [KIND]`"),
        ("export main", "write `moatbench store export NAME PATH`"),
        ("export main x.rar", "must end in .tar.gz or .zip"),
        ("export mian x.zip", "did you mean 'main'?"),
        ("made mian", "did you mean 'main'?"),
        ("ls fkae", "did you mean 'fake'?"),
        ("forget x", "is not a kept table"),
        ("gc --keep nothing", "--keep = 'nothing'"),
        ("gc --older-than week", "as in 7d"),
        ("du --repair", "means nothing to `moatbench store du`"),
        ("ls store=absent", "there is no such folder"),
        ("ls store=marks", "is not a store"),
    ],
)
def test_mistakes_end_with_code_2_and_one_message(swept, capsys, words, message):
    assert main(["store", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_completion(swept):
    assert complete("moatbench store ") == [
        f"{a} " for a in ("ls", "du", "gc", "verify", "export", "import", "made", "forget", "migrate")
    ]
    assert complete("moatbench store export ") == ["main ", "run ", "store="]
    assert complete("moatbench store ls f") == ["fake "]
    assert complete("moatbench store gc --k") == ["--keep "]
