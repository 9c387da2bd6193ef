"""The datasets that configs/task names, each on a few rows of our own with the very columns of the set on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from tests.tasks.local_sets import DATA, every, task


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def test_gsm8k() -> None:
    made = task("gsm8k", "gsm8k")
    assert made.label == "gsm8k"
    assert [made.size("heldout", "all"), len(every(made))] == [5, 17]
    first = next(item for item in every(made) if item.prompt.startswith("Ana fills 3 bags with 2 apples"))
    assert first.answer == "5"
    assert first.reference.startswith("Ana has 3 * 2")
    assert all(made.verify(item, item.reference) == (True, True) for item in every(made))
    assert made.verify(first, "I take 5.0 of them") == (False, True)
    assert made.verify(first, "Answer: 6") == (False, False)
    thousands = next(item for item in every(made) if item.answer == "1,027")
    assert made.verify(thousands, "Answer: $1027") == (True, True)


def test_math500() -> None:
    made = task("math500", "math500.jsonl")
    assert made.label == "math500"
    assert {item.level for item in made.items("harder", "all", made.size("harder", "all"), 0)} == {5}
    items = {item.prompt.partition("\n")[0]: item for item in every(made)}
    assert len(items) == 12
    half = items["Write $0.5$ as a common fraction."]
    assert half.reference == "$\\boxed{\\frac{1}{2}}$.\nAnswer: \\frac{1}{2}"
    pytest.importorskip("math_verify")
    assert made.verify(half, "It is\nAnswer: $2/4$") == (True, True)
    assert made.verify(half, "So it is \\boxed{0.5}.") == (False, True)
    assert made.verify(half, "Answer: \\frac{1}{3}") == (False, False)
    assert all(made.verify(item, item.reference) == (True, True) for item in items.values())


def test_arc() -> None:
    made = task("multiple_choice", "arc")
    items = {item.prompt.partition("\n")[0]: item for item in every(made)}
    assert len(items) == 8
    assert made.size("heldout", "all") == 2
    metal = items["Which of these is a metal?"]  # whose labels are 1 to 4
    assert metal.answer == "D"
    assert metal.prompt.splitlines()[1:5] == ["A. wood", "B. glass", "C. wool", "D. iron"]
    assert made.verify(metal, "Iron is one.\nAnswer: D") == (True, True)
    assert made.verify(metal, "Answer: (d)") == (True, True)
    assert made.verify(metal, "Answer: A") == (False, False)
    three = items["Which planet is nearest to the Sun?"]
    assert three.prompt.splitlines()[1:4] == ["A. Mercury", "B. Venus", "C. Mars"]


def test_mmlu_has_the_same_items_as_arc() -> None:
    changed = (
        "task.split=train",
        "task.heldout_split=",
        "task.answer=answer",
        "task.answer_as=index",
        "task.family=subject",
    )
    made = task("multiple_choice", "mmlu.jsonl", *changed)
    assert made.families == ("biology", "physics")
    asked = {item.prompt: item.answer for item in every(made)}
    assert asked == {item.prompt: item.answer for item in every(task("multiple_choice", "arc"))}


SHAPES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"choices": ["red", "blue", "4"], "answer": "B"}, ()),
    ({"choices": {"text": ["red", "blue", "4"], "label": ["x", "y", "z"]}, "answer": "y"}, ()),
    ({"choices": [{"text": t, "label": n} for t, n in (("red", "1"), ("blue", "2"), ("4", "3"))], "answer": "2"}, ()),
    ({"choices": {"A": "red", "B": "blue", "C": "4"}, "answer": "(B)"}, ()),
    ({"choices": ["red", "blue", "4"], "answer": 1}, ("task.answer_as=index",)),
    ({"choices": ["red", "blue", "4"], "answer": 2}, ("task.answer_as=index", "task.first_index=1")),
    ({"choices": ["red", "blue", "4"], "answer": " Blue"}, ("task.answer_as=text",)),
    ({"A": "red", "B": "blue", "C": 4, "answer": "B"}, ("task.options=[A,B,C]",)),
    ({"opa": "red", "opb": "blue", "opc": "4", "answer": 1}, ("task.options=[opa,opb,opc]", "task.answer_as=index")),
]


def write(path: Path, row: dict[str, object], count: int = 8) -> Path:
    path.write_text("\n".join(json.dumps({"question": f"Which is {i}?", **row}) for i in range(count)))
    return path


@pytest.mark.parametrize(("row", "others"), SHAPES)
def test_options_have_many_shapes(tmp_path: Path, row: dict[str, object], others: tuple[str, ...]) -> None:
    file = write(tmp_path / "rows.jsonl", row)
    local = ("task.heldout_split=", "task.answer=answer", f"task.path={file}")
    made = task("multiple_choice", "arc", *local, *others)
    assert len(every(made)) == 8
    for item in every(made):
        assert item.prompt.splitlines()[1:4] == ["A. red", "B. blue", "C. 4"]
        assert item.answer == "B"


@pytest.mark.parametrize(
    ("row", "others", "message"),
    [
        (
            {"choices": ["red"], "answer": "A"},
            (),
            r"task\.options = 'choices': must hold 2 to 26 options; row 1 .* has 1",
        ),
        ({"choices": ["red", ""], "answer": "A"}, (), r"task\.options = 'choices': is empty in row 1 "),
        ({"choices": "red, blue", "answer": "A"}, (), r"task\.options = 'choices': must hold a list of texts"),
        (
            {"choices": ["red", "blue"], "answer": "C"},
            (),
            r"must name one option by its label \(A, B\); row 1 .* has 'C'",
        ),
        ({"choices": ["red", "blue"], "answer": 1}, (), r"has '1' \(otherwise: task\.answer_as=index"),
        (
            {"choices": ["red", "blue"], "answer": 2},
            ("task.answer_as=index",),
            r"by its index \(0 to 1\); row 1 .* has '2'",
        ),
        ({"choices": ["red", "red"], "answer": "red"}, ("task.answer_as=text",), r"must name one option by its text"),
        (
            {"options": ["red", "blue"], "answer": "A"},
            (),
            r"task\.options = 'choices': is not a column of row 1 .*options",
        ),
        ({"choices": ["red", "blue"], "key": "A"}, (), r"task\.answer = 'answer': is not a column of row 1 .*key"),
    ],
)
def test_options_that_cannot_be_read_are_named(
    tmp_path: Path, row: dict[str, object], others: tuple[str, ...], message: str
) -> None:
    file = write(tmp_path / "rows.jsonl", row)
    local = ("task.heldout_split=", "task.answer=answer", f"task.path={file}")
    with pytest.raises(ConfigError, match=message):
        _ = task("multiple_choice", "arc", *local, *others).families


@pytest.mark.parametrize(
    ("choice", "path"), [("gsm8k", "gsm8k"), ("math500", "math500.jsonl"), ("multiple_choice", "arc")]
)
def test_a_cell_is_refused_before_anything_runs(choice: str, path: str) -> None:
    words = [f"task={choice}", f"task.path={DATA / path}", "task.config=", "teacher=hf", "student=hf", "budget=lm"]
    with pytest.raises(ConfigError, match=r"task\.question = 'prompt': is not a column of row 1 of split 't"):
        cell_from(compose_one([*words, "task.question=prompt"]).config)
    small = ["budget.queries=2", "budget.data=2"]
    assert cell_from(compose_one([*words, *small]).config).facts()["task"] == choice
