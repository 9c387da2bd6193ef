"""The page of published recipes: its commands compose, with rows of this disk in the place of what is on the hub, and its
recipes are those of the files. (Its blocks are marked ``shell``: `tests.test_docs` composes with what is named.)"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from experiments.cell_from import cell_from
from experiments.cli.arguments import read
from experiments.compose.compose import compose_cells
from tests.experiments.test_published import NAMES, QUERIES, rows_like
from tests.test_docs import ROOT
from tests.test_docs_generated import generate

PAGE = ROOT / "docs" / "published.md"
FENCE = re.compile(r"^```shell\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Command lines of the page that run or show an experiment, without remarks."""
    lines = (line for block in FENCE.findall(PAGE.read_text()) for line in block.replace("\\\n", " ").splitlines())
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("moatbench ")]


def test_the_page_is_current():
    text = PAGE.read_text()
    assert generate().published() == text, "run python docs/generate.py"
    assert all(f"### published/{name}\n" in text for name in NAMES)


def test_the_commands_of_the_page_compose(tmp_path: Path):
    asked = {line: read(shlex.split(line)[1:]) for line in commands()}
    assert {one.command for one in asked.values()} == {"show", "sweep", "table"}
    task = compose_cells(next(iter(asked.values())).words)[0].plain["task"]
    (tmp_path / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows_like(task, 300)))
    held = [{**row, task["question"]: f"{row[task['question']]} Again."} for row in rows_like(task, 9)]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in held))
    here = [f"task.path={tmp_path}", f"budget.queries={QUERIES}", f"budget.data={QUERIES}"]
    for words in {tuple(one.words) for one in asked.values()}:
        assert cell_from(compose_cells([*words, *here])[-1].config).row_stage().key, words


@pytest.mark.parametrize(("words", "count"), [([], 8), (["defense=none,trace_hidden", "attack=imitate"], 4)])
def test_the_first_table_has_the_cells_that_the_page_says(words: list[str], count: int):
    cells = compose_cells(["+experiment=published/break_after_rl_qwen", *words])
    assert len(cells) == count
    assert all(("rl" in (cell.plain["attack"]["refine"] or {})) == (not words) for cell in cells)
