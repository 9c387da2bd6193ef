"""Programming problems: what a prompt tells, what is hidden, which programs have passed. Rows have MBPP's own columns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from configs.errors import ConfigError
from tasks.fenced import program_in
from tasks.unit_tests import passes
from tests.tasks.local_sets import DATA, every, task


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


class Run(NamedTuple):
    returncode: int | None
    stdout: str
    stderr: str
    timed_out: bool


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for `tasks.isolated`: runs our own programs in an interpreter of their own, and keeps what was run."""
    import subprocess

    ran: list[str] = []

    def run_isolated(program: str, *, stdin: str = "", seconds: float, memory_mb: int) -> Run:
        ran.append(program)
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", program], input=stdin, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return Run(None, "", "", timed_out=True)
        return Run(done.returncode, done.stdout, done.stderr, timed_out=False)

    module: Any = ModuleType("tasks.isolated")
    module.run_isolated = run_isolated
    monkeypatch.setitem(sys.modules, "tasks.isolated", module)
    passes.cache_clear()
    return ran


def test_mbpp(isolated: list[str]) -> None:
    made = task("mbpp", "mbpp")
    assert made.label == "mbpp"
    made.check()
    items = {item.prompt.partition("\n")[0]: item for item in every(made)}
    assert len(items) == 8
    assert all(made.verify(item, item.reference) == (True, True) for item in items.values())
    double = items["Write a function to double a number."]
    assert double.prompt.splitlines()[:3] == [
        "Write a function to double a number.",
        "It begins with:",
        "def double(x):",
    ]
    vowels = items["Write a function to count vowels."]
    assert "def vowels(text, also=''):" in vowels.prompt
    assert "helper" not in vowels.prompt
    wrong = "```python\ndef double(x):\n    return 4\n```"
    assert made.verify(double, wrong) == (False, False)
    assert made.verify(double, "Like so:\n```python\ndef double(x):\n    return x + x\n```\nDone.") == (False, True)
    assert made.verify(double, "def double(x):\n    return x + x") == (False, True)
    assert made.verify(double, "It doubles it.") == (False, False)
    assert [made.formed(double, text) for text in (wrong, wrong + "\nSo.", "```\n```", "")] == [
        True,
        False,
        False,
        False,
    ]


def test_hidden_tests_are_in_no_prompt_and_no_reference() -> None:
    for item in every(task("mbpp", "mbpp")):
        tests = item.payload["tests"]
        assert isinstance(tests, tuple)
        for test in tests:
            assert test not in item.prompt + item.reference
            expected = test.partition("==")[2].strip()
            assert f"== {expected}" not in item.prompt + item.reference


def test_what_is_hidden_is_part_of_the_content(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (DATA / "mbpp/train.jsonl").read_text().splitlines()]

    def content() -> str:
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return task("mbpp", "mbpp", f"task.path={tmp_path / 'rows.jsonl'}", "task.heldout_split=").content()

    before = content()
    rows[0]["test_list"][0] = "assert double(2) == 5"
    assert content() != before


def test_in_real_isolation() -> None:
    pytest.importorskip("tasks.isolated")
    made = task("mbpp", "mbpp")
    passes.cache_clear()
    try:
        made.check()
    except ConfigError as error:
        pytest.skip(str(error))
    item = made.items("train", "all", 1, 0)[0]
    assert made.verify(item, item.reference) == (True, True)
    assert not passes("import os\nos._exit(0)", ("assert True",), "", 5.0, 512)


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "print('0' * 32)\nexit()",
        "def double(x):\n    raise SystemExit(0)",
        "import builtins\nbuiltins.AssertionError = SystemExit\ndef double(x):\n    return 3",
        "if __name__ == '__main__':\n    def double(x):\n        return 2 * x",
        "import os\nos.write = lambda *_: None\ndef double(x):\n    return 3",
        "while True:\n    pass",
        "def double(x:",
    ],
)
def test_programs_that_only_end_have_not_passed(isolated: list[str], program: str) -> None:
    tests = ("assert double(2) == 4",)
    assert passes("def double(x):\n    return 2 * x", tests, "", 5.0, 512)
    assert not passes(program, tests, "", 1.0, 512)


def test_each_program_is_run_once(isolated: list[str]) -> None:
    made = task("mbpp", "mbpp")
    item = made.items("train", "all", 1, 0)[0]
    for _ in range(3):
        made.verify(item, item.reference)
    assert len(isolated) == 1


def test_without_isolation_nothing_starts(isolated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(program: str, **limits: float) -> Run:
        raise ConfigError("code.isolation", "auto", "is not to be had here")

    monkeypatch.setattr(sys.modules["tasks.isolated"], "run_isolated", nowhere)
    with pytest.raises(ConfigError, match="isolation"):
        task("mbpp", "mbpp").check()
    monkeypatch.setattr(
        sys.modules["tasks.isolated"], "run_isolated", lambda *_, **__: Run(-9, "", "", timed_out=False)
    )
    with pytest.raises(ConfigError, match=r"task\.memory_mb = 512: and seconds = 5 are too little"):
        task("mbpp", "mbpp").check()


@pytest.mark.parametrize(
    ("response", "text", "formed"),
    [
        ("So:\n```python\nx = 1\n```", "x = 1", True),
        ("```python\nx = 1\n```\n\n", "x = 1", True),
        ("```python\nx = 1\n```\nand\n```py\nx = 2\n```", "x = 2", True),
        ("```python\nx = 1\n```\nas said", "x = 1", False),
        ("```python\nx = 1", "x = 1", False),
        ("<think>\n```python\nx = 1\n```\n</think>\nno", "", False),
        ("I think:\nimport os\nx = 1", "import os\nx = 1", False),
        ("```", "", False),
        ("", "", False),
    ],
)
def test_where_the_program_is(response: str, text: str, formed: bool) -> None:
    assert program_in(response) == (text, formed)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (("task.tests=tests",), r"task\.tests = 'tests': is not a column of row 1 of split 'test'.*test_list"),
        (("task.tests=task_id",), r"task\.tests = 'task_id': must be a column of texts or of lists of texts"),
        (("task.tests=challenge_test_list", "task.signature=false"), r"must hold at least one test; row 1 "),
        (("task.setup=nothing",), r"task\.setup = 'nothing': is not a column"),
        (
            ("task.answer=text",),
            r"task\.answer = 'text': must define what the tests call; row 1 .*task\.signature=false",
        ),
        (("task.question=prompt",), r"task\.question = 'prompt': is not a column of row 1 "),
        (
            ("task.checker=numeric",),
            r"task\.checker = 'numeric': is not an answer checker of this task \(choices: code\)",
        ),
    ],
)
def test_code_that_cannot_be_read_is_named(others: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _ = task("mbpp", "mbpp", *others).families


def test_the_sanitized_half_of_mbpp_reads_too(tmp_path: Path, isolated: list[str]) -> None:
    rows = [
        {
            "source_file": "made.json",
            "task_id": i,
            "prompt": f"Write a function to add {i}.",
            "code": f"def add(x):\n    return x + {i}",
            "test_imports": ["import math"],
            "test_list": [f"assert add(math.floor(0.5)) == {i}"],
        }
        for i in range(6)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    local = ("task.heldout_split=", f"task.path={tmp_path / 'rows.jsonl'}")
    made = task("mbpp", "mbpp", *local, "task.question=prompt", "task.setup=test_imports")
    item = made.items("train", "all", 1, 0)[0]
    assert made.verify(item, item.reference) == (True, True)
