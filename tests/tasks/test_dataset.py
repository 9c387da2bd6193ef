import json
from pathlib import Path

import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.stages.models import identity
from tasks.base import Split
from tasks.dataset import DatasetTask
from tasks.normalised import normalised
from tasks.splits import SPLITS, split_of


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def rows(n: int = 200) -> list[dict[str, object]]:
    made = [
        {"q": f"What is {i} + 1?", "a": f"{i} and one\n#### {i + 1}", "kind": "ab"[i % 2], "hops": i % 3}
        for i in range(n)
    ]
    return [*made, {**made[0], "q": "what is  0 + 1?"}]


def task(path: Path, **fields: object) -> DatasetTask:
    return DatasetTask(str(path), question="q", answer="a", answer_after="####", checker="numeric", **fields)  # type: ignore[arg-type]


@pytest.fixture(params=["json", "jsonl", "parquet", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / f"rows.{request.param}"
    if request.param == "json":
        file.write_text(json.dumps(rows()))
    elif request.param == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows())))
    elif request.param == "parquet":
        pl.DataFrame(rows()).write_parquet(file)
    else:
        file.mkdir()
        pl.DataFrame(rows()).write_parquet(file / "train.parquet")
    return file


def test_splits_are_disjoint_and_complete(path: Path) -> None:
    made = task(path, family="kind", level="hops", harder_above=1)
    assert made.families == ("a", "b")
    found = {s: [i for f in made.families for i in made.items(s, f, made.size(s, f), 0)] for s in SPLITS}
    ids = [item.id for items in found.values() for item in items]
    assert len(ids) == len(set(ids)) == 200
    assert {i.level for i in found["harder"]} == {2}
    assert {i.level for i in found["train"]} == {0, 1}
    item = found["train"][0]
    assert item.answer == str(int(item.prompt.split()[2]) + 1)
    assert made.verify(item, item.reference) == (True, True)
    assert made.verify(item, f"It is {item.answer} I think.") == (False, True)
    assert made.verify(item, "Answer: -5") == (False, False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows(50)))
    return file


def test_seeds(small: Path) -> None:
    made = task(small)
    split: Split = "train"
    assert made.items(split, "all", 10, 1) == task(small).items(split, "all", 10, 1)
    assert made.items(split, "all", 10, 1) != made.items(split, "all", 10, 2)


def test_own_heldout_split_is_dropped_elsewhere(tmp_path: Path) -> None:
    pl.DataFrame(rows(40)).write_parquet(tmp_path / "train.parquet")
    pl.DataFrame(rows(10)).write_parquet(tmp_path / "test.parquet")
    made = task(tmp_path, heldout_split="test")
    assert made.size("heldout", "all") == 10
    assert sum(made.size(split, "all") for split in SPLITS) == 40


def test_bad_values(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'math_verify'"):
        DatasetTask("x", checker="math_verif")
    with pytest.raises(ConfigError, match="template"):
        DatasetTask("x", template="hello")
    with pytest.raises(ConfigError, match="shares"):
        DatasetTask("x", shares={"train": 1.0})
    with pytest.raises(ConfigError, match="not a split"):
        DatasetTask("x", shares={"train": 1.0, "heldout": 1.0, "test": 1.0})
    with pytest.raises(ConfigError, match=r"task\.question"):
        DatasetTask(str(small)).items("train", "all", 1, 0)
    with pytest.raises(ConfigError, match="were asked for"):
        task(small).items("train", "all", 1000, 0)
    with pytest.raises(ConfigError, match="is not a family"):
        task(small).items("train", "none", 1, 0)
    (tmp_path / "rows.csv").write_text("a,b")
    with pytest.raises(ConfigError, match=r"must be a \.json"):
        task(tmp_path / "rows.csv").items("train", "all", 1, 0)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="could not be loaded"):
        task(tmp_path / "broken.parquet").items("train", "all", 1, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 2 + 2?", "What is 2 + 2 ?"),
        ("What is 2 + 2?", "what is\u00a02+2"),
        ("It's \u201cso\u201d, is it?", 'it\u2019s "so" ,is it ?'),
        ("5 \u2212 3", "5-3"),
        ("\ufeffna\u00efve", "nai\u0308ve"),
        ("\uff21\uff22\u200b c", "ab C"),
    ],
)
def test_what_does_not_change_a_question(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("3 4", "34"), ("2\u00b3", "23"), ("a+b", "a-b"), ("not so", "so")])
def test_what_changes_a_question(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_held_out_questions_are_no_training_questions_in_other_spelling(tmp_path: Path) -> None:
    """373 questions once more with a space before the question mark, in a split of their own and in the same one."""
    train = [{"q": f"How many are {i} and {i + 1}?", "a": f"#### {2 * i + 1}"} for i in range(373)]
    spaced = [{**row, "q": str(row["q"]).replace("?", " ?")} for row in train]
    pl.DataFrame(train).write_parquet(tmp_path / "train.parquet")
    pl.DataFrame(spaced).write_parquet(tmp_path / "test.parquet")
    apart = task(tmp_path, heldout_split="test")
    assert [apart.size(split, "all") for split in ("heldout", "train")] == [373, 0]
    file = tmp_path / "both.jsonl"
    file.write_text("\n".join(map(json.dumps, [*train, *spaced])))
    made = task(file)
    for seed in (0, 1, 2):
        asked = {"".join(i.prompt.split()) for i in made.items("train", "all", made.size("train", "all"), seed)}
        heldout = {"".join(i.prompt.split()) for i in made.items("heldout", "all", made.size("heldout", "all"), seed)}
        assert len(asked) > 150
        assert len(heldout) > 40
        assert not asked & heldout


def test_the_template_does_not_decide_the_split(small: Path) -> None:
    one, other = task(small), task(small, template="Q: {question}")
    assert {i.id for i in one.items("train", "all", 20, 0)} == {i.id for i in other.items("train", "all", 20, 0)}
    item = one.items("train", "all", 1, 0)[0]
    assert split_of(item.id, one.shares) == "train"
    assert one.meaning(item) == item.id


def test_a_question_is_the_same_with_its_template_and_without(small: Path) -> None:
    tested = task(small, template="Q: {question} A:")
    item = tested.items("heldout", "all", 1, 0)[0]
    question = item.prompt.removeprefix("Q: ").removesuffix(" A:")
    for prompt in (item.prompt, question, question.upper(), f"Q: {question}  A:"):
        assert tested.asks_for(prompt) == tested.asks_for(item.prompt)
    others = {tested.asks_for(other.prompt) for other in tested.items("train", "all", 30, 0)}
    assert len(others) == 30
    assert tested.asks_for(item.prompt) not in others


def test_content_follows_the_rows(tmp_path: Path) -> None:
    def content(name: str, made: list[dict[str, object]]) -> str:
        (tmp_path / name).write_text("\n".join(map(json.dumps, made)))
        return task(tmp_path / name).content()

    first = content("a.jsonl", rows(20))
    pl.DataFrame(rows(20)).write_parquet(tmp_path / "b.parquet")
    assert task(tmp_path / "b.parquet").content() == content("b.jsonl", rows(20)) == first
    assert content("a.jsonl", rows(21)) != first
    changed = rows(20)
    changed[3]["a"] = "#### 7"
    assert content("a.jsonl", changed) != first
    assert identity(task(tmp_path / "b.parquet"))["content"] == first


def test_a_folder_that_is_overwritten_is_another_task(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()

    def content(made: list[dict[str, object]]) -> str:
        pl.DataFrame(made).write_parquet(folder / "train.parquet")
        return str(identity(task(folder))["content"])

    first = content(rows(20))
    others = [{**row, "q": f"Now, {row['q']}"} for row in rows(20)]  # as many, of the same answers
    assert content(others) != first
    assert content(rows(20)) == first


def test_long_answers_are_judged_in_full(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    words = " ".join(f"w{i}" for i in range(500))
    file.write_text("\n".join(json.dumps({"q": f"say {i}", "a": f"{i} {words}"}) for i in range(20)))
    made = DatasetTask(str(file), question="q", answer="a")
    item = made.items("train", "all", 1, 0)[0]
    assert made.verify(item, item.reference) == (True, True)
    assert made.verify(item, item.reference[:-1]) == (False, False)


GOOD = [{"q": f"{i}?", "a": f"#### {i}", "kind": "a", "hops": f"Level {i % 5}"} for i in range(30)]


def test_levels_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(GOOD))
    made = task(tmp_path / "rows.json", family="kind", level="hops", harder_above=3)
    assert {i.level for i in made.items("harder", "a", made.size("harder", "a"), 0)} == {4}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"a": None}, r"task\.answer = 'a': is empty in row 8 "),
        ({"a": "  "}, r"task\.answer = 'a': is empty in row 8 "),
        ({"q": None}, r"task\.question = 'q': is empty in row 8 "),
        ({"kind": None}, r"task\.family = 'kind': is empty in row 8 "),
        ({"hops": None}, r"task\.level = 'hops': is empty in row 8 "),
        ({"hops": "Level ?"}, r"task\.level = 'hops': must have one whole number.* row 8 .*'Level \?'"),
        ({"hops": "2.5"}, r"task\.level = 'hops': must have one whole number.* row 8 "),
        ({"a": "no mark"}, r"task\.answer_after = '####': must be in each answer.* row 8 "),
        ({"a": "mark ####"}, r"task\.answer_after = '####': must be in each answer.* row 8 "),
        ({"a": "#### " + "9" * 100_000}, r"task\.answer = 'a': must hold answers of fewer than 100,000 .* row 8 "),
    ],
)
@pytest.mark.parametrize("absent", [False, True])
def test_a_bad_cell_is_named_with_column_and_row(
    tmp_path: Path, cell: dict[str, object], message: str, absent: bool
) -> None:
    if absent and None not in cell.values():
        return
    row = {k: v for k, v in {**GOOD[7], **cell}.items() if not (absent and v is None)}
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(r) for r in [*GOOD[:7], row, *GOOD[8:]]))
    with pytest.raises(ConfigError, match=message):
        _ = task(tmp_path / "rows.jsonl", family="kind", level="hops").families


def test_chat_messages_are_no_text(tmp_path: Path) -> None:
    chats = [{"q": [{"role": "user", "content": f"{i}?"}], "a": f"#### {i}"} for i in range(5)]
    (tmp_path / "rows.json").write_text(json.dumps(chats))
    with pytest.raises(ConfigError, match=r"task\.question = 'q': must be a column of texts.* row 1 .*chat messages"):
        _ = task(tmp_path / "rows.json").families


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_cut_files_are_refused(tmp_path: Path, name: str, kept: float) -> None:
    whole = tmp_path / "whole.parquet"
    pl.DataFrame(GOOD).write_parquet(whole)
    data = whole.read_bytes() if name.endswith("parquet") else "\n".join(map(json.dumps, GOOD)).encode()
    data = json.dumps(GOOD).encode() if name.endswith(".json") else data
    (tmp_path / name).write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ConfigError, match=r"task\.path"):
        _ = task(tmp_path / name).families


def test_what_the_library_would_take_for_a_pattern_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "v[1]"
    folder.mkdir()
    pl.DataFrame(GOOD).write_parquet(folder / "train.parquet")
    for place in (folder, folder / "train.parquet"):
        with pytest.raises(ConfigError, match=r"task\.path.*rename it"):
            _ = task(place).families
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ConfigError, match=r"task\.path"):
        _ = task(tmp_path / "nothing").families


def test_rows_without_any_are_refused(tmp_path: Path) -> None:
    pl.DataFrame(GOOD).clear().write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ConfigError, match=r"task\.path"):
        _ = task(tmp_path / "rows.parquet").families


def test_a_local_file_has_no_revision(small: Path) -> None:
    with pytest.raises(ConfigError, match=r"task\.revision"):
        task(small, revision="main")
