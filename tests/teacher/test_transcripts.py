"""Stored transcripts: what is looked up, what is carried over, what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from configs.identity import identity
from lm.huggingface import Pretrained
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from teacher.told_logprobs import carried, tokens_of, told_of
from teacher.transcripts import Transcripts
from tests.lm import tiny
from tests.teacher.stored import cell, rows, told, written


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "stored.jsonl", rows())


def spec(file: Path, model: Path, **fields: Any) -> Transcripts:
    return Transcripts(str(file), Pretrained(str(model)), **fields)


def test_stored_responses_come_back_in_the_students_tokens(file: Path, model: Path) -> None:
    lm = spec(file, model, working="thoughts").load(None, {}, 0)  # type: ignore[arg-type]
    prompts = lm.encode_prompts(["What is 4 + 4?", "What is 2 + 2?"])
    got = lm.generate(prompts, Sampling(max_tokens=200), np.arange(2))
    assert lm.decode(got.tokens)[1] == "<think>\n2 + 2 = 4. So the total is 4.\n</think>\n\nAnswer: 4"
    assert got.finished.all()
    assert [row[-1] for row in got.tokens] == [lm.tokenizer.eos_token_id] * 2
    trace = lm.decode(got.tokens.keep(got.channel == Channel.TRACE))
    assert trace[0].startswith("<think>\n4 + 4 = 8")
    assert trace[0].endswith("</think>")
    seen = lm.decode(got.tokens.keep(got.channel == Channel.ANSWER))
    assert seen[0] == "\n\nAnswer: 8"  # on a line of its own, whatever a defense hides of the working
    assert np.isnan(got.logprob).all()
    assert got.top_ids is None


def test_each_draw_of_a_prompt_is_another_stored_response(file: Path, model: Path) -> None:
    lm = spec(file, model).load(None, {}, 0)  # type: ignore[arg-type]
    prompt = lm.encode_prompts(["What is 3 + 3?"]).take(np.zeros(3, np.int64))
    got = lm.decode(lm.generate(prompt, Sampling(), np.array([7, 9, 7])).tokens)
    assert got == ["Answer: 6", "Answer: 7", "Answer: 6"]  # one seed, one draw
    with pytest.raises(ConfigError, match=r"hold 2 response\(s\) to .*What is 3 \+ 3.*one more is asked for"):
        lm.generate(prompt, Sampling(), np.arange(3))


def test_responses_are_cut_as_an_api_would(file: Path, model: Path) -> None:
    lm = spec(file, model).load(None, {}, 0)  # type: ignore[arg-type]
    prompts = lm.encode_prompts(["What is 3 + 3?", "What is 4 + 4?", "What is 5 + 5?"])
    whole = lm.generate(prompts, Sampling(), np.arange(3))
    cut = lm.generate(prompts, Sampling(max_tokens=np.array([3, 64, 1])), np.arange(3))
    assert cut.tokens.lengths.tolist() == [3, whole.tokens.lengths[1], 1]
    assert cut.finished.tolist() == [False, True, False]
    assert cut.tokens[0].tolist() == whole.tokens[0][:3].tolist()
    assert cut.tokens[1].tolist() == whole.tokens[1].tolist()
    assert len(cut.channel) == len(cut.logprob) == int(cut.tokens.lengths.sum())


def test_what_was_cut_when_it_was_stored_does_not_end(tmp_path: Path, model: Path) -> None:
    made = rows(2, 1)
    made[1]["finish_reason"] = "length"
    lm = spec(written(tmp_path / "s.jsonl", made), model, finish="finish_reason").load(None, {}, 0)  # type: ignore[arg-type]
    got = lm.generate(lm.encode_prompts(["What is 0 + 0?", "What is 1 + 1?"]), Sampling(), np.arange(2))
    assert got.finished.tolist() == [True, False]
    assert [row[-1] == lm.tokenizer.eos_token_id for row in got.tokens] == [True, False]


def test_what_takes_a_model_is_refused_when_it_is_asked(file: Path, model: Path) -> None:
    lm = spec(file, model).load(None, {}, 0)  # type: ignore[arg-type]
    prompts, seeds = lm.encode_prompts(["What is 3 + 3?"]), np.arange(1)
    with pytest.raises(ConfigError, match="a decoding defense takes a model"):
        lm.generate(prompts, Sampling(), seeds, [lambda ids, scores: scores])
    with pytest.raises(ConfigError, match="a prefill takes a model"):
        lm.generate(prompts, Sampling(), seeds, prefill=Ragged.of([[1]]))
    with pytest.raises(ConfigError, match="scores of a completion"):
        lm.generate(prompts, Sampling(), seeds, forced=Ragged.of([[1]]))
    with pytest.raises(ConfigError, match="a logit bias takes"):
        lm.generate(prompts, Sampling(logit_bias={3: 1.0}), seeds)
    with pytest.raises(ConfigError, match="2 logprobs a token, where 0 are stored"):
        lm.generate(prompts, Sampling(top_logprobs=2), seeds)
    with pytest.raises(ConfigError, match="to score texts"):
        lm.score(prompts, prompts)
    with pytest.raises(ConfigError, match=r"hold no response to .*What else"):
        lm.generate(lm.encode_prompts(["What else?"]), Sampling(), seeds)


def test_logprobs_are_carried_over_where_tokens_agree(tmp_path: Path, model: Path) -> None:
    made = rows(4, 1)
    tokenizer = tiny.tokenizer()
    for row in made:
        pieces = tokenizer.batch_decode([[t] for t in tokenizer(row["response"])["input_ids"]])
        row["logprobs"] = {"content": told(row["response"], pieces)}
    made[2]["logprobs"] = None
    lm = spec(written(tmp_path / "s.jsonl", made), model, working="thoughts", logprobs="logprobs").load(None, {}, 0)  # type: ignore[arg-type]
    got = lm.generate(
        lm.encode_prompts([row["prompt"] for row in made]), Sampling(max_tokens=200, top_logprobs=2), np.arange(4)
    )
    assert got.top_ids is not None
    assert got.top_logprobs is not None
    known = ~np.isnan(got.logprob)
    of_row = np.bincount(got.tokens.row_of_value, known, 4)
    said = [len(tokenizer(row["response"])["input_ids"]) for row in made]
    assert of_row.tolist() == [said[0], said[1], 0, said[3]]  # not the working, not the end, not the row without any
    assert (got.channel[known] == Channel.ANSWER).all()
    at = got.tokens.value_index(np.array([0]))
    own = at[known[at]]
    assert got.logprob[own] == pytest.approx([-0.1 - 0.01 * i for i in range(len(own))])
    assert got.top_ids[own, 0].tolist() == got.tokens.values[own].tolist()
    assert (got.top_ids[~known] == -1).all()
    assert np.isneginf(got.top_logprobs[~known]).all()


def test_tokens_that_are_no_tokens_here_are_missing() -> None:
    tokenizer = tiny.tokenizer()
    row = np.array(tokenizer("Answer: 19")["input_ids"], np.int32)
    pieces = ["Answer", ":", " ", "19"]
    found = carried(told_of(told("Answer: 19", pieces)), "Answer: 19", row, tokenizer)
    own = tokenizer.batch_decode([[t] for t in row])
    assert "19" not in own  # single digits, and the space is a token of its own or of another
    agree = [text in ("Answer", ":", " ") for text in own]
    assert found.matched.tolist() == agree
    assert (~np.isnan(found.logprob)).tolist() == agree
    elsewhere = carried(told_of(told("Answer: 20", ["Answer: 20"])), "Answer: 19", row, tokenizer)
    assert not elsewhere.matched.any()
    ids, logprobs = tokens_of([[("19", -0.1), ("1", -2.0)], []], tokenizer)
    assert ids.tolist() == [[tokenizer("1")["input_ids"][0], -1], [-1, -1]]
    assert logprobs[0, 0] == -2.0


@pytest.mark.parametrize(
    "value", [[{"word": "a"}], [{"token": "a"}], [3], {"content": [{"token": "a", "logprob": None}]}]
)
def test_what_is_no_logprobs_is_refused(tmp_path: Path, model: Path, value: object) -> None:
    with pytest.raises(ValueError, match="is no list of"):
        told_of(value)
    assert told_of(None) is told_of("") is told_of({"content": []}) is None
    assert told_of(json.dumps([{"token": "a", "logprob": -1}])) is not None


def test_the_content_is_that_of_the_rows(tmp_path: Path, model: Path) -> None:
    made = rows(5)
    one = spec(written(tmp_path / "s.jsonl", made), model)
    pl.DataFrame(made).write_parquet(tmp_path / "s.parquet")
    assert spec(tmp_path / "s.parquet", model).content() == one.content() == identity(one)["content"]
    made[3]["response"] = "Answer: 0"
    assert spec(written(tmp_path / "t.jsonl", made), model).content() != one.content()


def refused(file: Path, model: Path, said: str, *others: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cell(file, model, *others)


def test_columns_are_named_where_they_are_missing(file: Path, model: Path) -> None:
    for setting in ("prompt", "response"):
        with pytest.raises(
            ConfigError, match=rf"teacher\.{setting} = 'none': is not a column of row 1 .*finish_reason"
        ):
            spec(file, model, **{setting: "none"}).content()


def test_a_cell_stands_on_stored_transcripts(file: Path, model: Path) -> None:
    made = cell(file, model, "teacher.working=thoughts", "defense=trace_hidden", "attack=answers")
    assert made.facts()["task"] == "transcripts"
    assert made.facts()["teacher"] == "stored"
    assert made.row_stage().key


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (("teacher.prompt=question",), r"task\.question = 'question': is not a column of row 1 .*prompt"),
        (("teacher.working=reasoning",), r"teacher\.working = 'reasoning': is not a column of row 1 .*leave"),
        (("teacher.logprobs=answer",), r"teacher\.logprobs = 'answer': in row 3 .*is no list of"),
        (("task.answer=reference",), r"task\.answer = 'reference': is not a column of row 1 "),
        (("budget.data=40", "budget.queries=40"), r"budget\.data = 40: takes 40 prompts .*which has \d+"),
        (
            ("task.template='{question} Think.'",),
            r"teacher\.path = .*holds no response to (\d+) of \1 prompts .*task=transcripts",
        ),
        (("max_tokens=3",), r"^max_tokens = 3: cuts 60 of 60 stored responses"),
        (
            ("attack=resample", "budget.queries=9", "budget.data=3"),
            r"attack\.harvest.*asks a prompt up to \d times, and 2 ",
        ),
        (("attack=self_instruct",), r"attack\.harvest = 'self_instruct': asks texts of the attacker's own"),
        (("attack=elicit",), r"attack\.harvest = 'elicit_trace': asks texts of the attacker's own"),
        (("attack=prefill", "api=full"), r"attack\.harvest = 'prefill': needs prefill|api\.top_logprobs"),
        (("attack=gkd", "api=scoring"), r"attack\.harvest = 'on_policy': needs prompt_scoring"),
        (("attack=logprobs", "api=logprobs"), r"api\.top_logprobs = 5: sells more than the 0 stored for a token"),
        (("defense=kgw",), r"defense\.kgw = 'KGW': acts while the teacher samples \(decode\).*finished text works"),
        (("defense=temperature",), r"defense\.temperature = .*acts while the teacher samples"),
        (("defense=dataset_inference",), r"defense\.dataset_inference = 'DatasetInference': runs the teacher"),
        (("defense=mad", "api=logprobs"), r"defense\.mad = 'all logprobs of a token': are read, and 0 are stored"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    file: Path, model: Path, others: tuple[str, ...], said: str
) -> None:
    refused(file, model, said, *others)


def test_logprobs_of_another_tokenizer_are_refused(tmp_path: Path, model: Path) -> None:
    made = [{**row, "logprobs": told(row["response"], list(row["response"]))} for row in rows(30, 1)]
    for row in made:
        text = row["response"]
        row["logprobs"] = told(text, [text[:4], text[4:7], text[7:]])
    file = written(tmp_path / "s.jsonl", made)
    refused(
        file, model, r"teacher\.logprobs = 'logprobs': are of tokens of which 0 of 90 ", "teacher.logprobs=logprobs"
    )
