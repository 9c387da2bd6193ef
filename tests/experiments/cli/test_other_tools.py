"""Models of a cell for other tools: a folder that transformers loads, and lm-evaluation-harness where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.errors import ConfigError
from experiments.cli import export_student, lm_eval
from experiments.cli.arguments import read
from lm.huggingface import Pretrained
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from tests.lm import tiny


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Of random weights, trained a little away from the folder that it came from."""
    made = Pretrained(str(tiny.save(tmp_path_factory.mktemp("model"))), device="cpu").open()
    with torch.no_grad():
        made.model.get_output_embeddings().weight[7] += 0.5
    return made


def cell(lm: LanguageModel, spec: object) -> Any:
    return SimpleNamespace(model=lambda name: SimpleNamespace(lm=lm), spec=lambda name: spec)


def test_what_is_written_is_the_model(lm: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "students" / "mine"
    folder.parent.mkdir()
    export_student.write(lm, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    text = "What is 12 + 7?"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, lm.model(ids).logits)
    assert tokenizer.chat_template == lm.tokenizer.chat_template
    assert (
        Pretrained(str(folder), device="cpu").open().encode_prompts([text])[0].tolist()
        == lm.encode_prompts([text])[0].tolist()
    )


def test_mini_models_are_no_models_of_transformers(lm: LanguageModel) -> None:
    assert export_student.pretrained_of(cell(lm, Pretrained("anywhere")), "student") is lm
    with pytest.raises(ConfigError, match=r"--model = 'student': is a object here; only models of transformers"):
        export_student.pretrained_of(cell(lm, object()), "student")


def test_the_folder_is_named_and_new(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must name a folder"):
        export_student.main(read(["export-student"]))
    with pytest.raises(ConfigError, match="is there already"):
        export_student.main(read(["export-student", "--to", str(tmp_path)]))


def test_the_harness_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval, "PACKAGE", "no_such_harness")
    with pytest.raises(ConfigError, match=r"is not installed: pip install 'lm-eval\[hf\]"):
        lm_eval.main(read(["lm-eval", "--tasks", "gsm8k"]))


def test_numbers_are_told_from_names_and_errors() -> None:
    found = {
        "results": {
            "sums": {"alias": "sums", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.25, "name": "sums"},
            "words": {"exact_match,strict": 1.0, "exact_match_stderr,strict": "N/A", "sample_len": 4},
        }
    }
    assert lm_eval.scores_of(found) == [
        ("sums", "acc,none", 0.5, 0.1),
        ("sums", "acc_norm,none", 0.25, None),
        ("words", "exact_match,strict", 1.0, None),
    ]


TASK = """
task: local_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}} ="
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list: [{{metric: acc}}]
metadata: {{version: 1}}
"""


@pytest.mark.lm
def test_the_harness_and_we_score_alike(lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"question": f"{i} + 1", "choices": [str(i), str(i + 1), str(7 * i)], "label": 1} for i in range(2, 12)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "sums.yaml").write_text(TASK.format(file=tmp_path / "sums.jsonl"))
    with pytest.raises(ConfigError, match="'local_sum': is not a task that the harness knows"):
        lm_eval.evaluated(lm, ["local_sum"], include=str(tmp_path))
    found = lm_eval.evaluated(lm, ["local_sums"], include=str(tmp_path))
    right = 0
    for row in rows:
        before, after = lm.encode([f"{row['question']} ="] * 3), lm.encode([f" {choice}" for choice in row["choices"]])
        sums = Ragged(lm.score(before, after).logprob, after.offsets)  # type: ignore[arg-type]
        right += int(np.argmax([one.sum() for one in sums])) == row["label"]
    (score,) = lm_eval.scores_of(found)
    assert (score.task, score.metric) == ("local_sums", "acc,none")
    assert score.value == pytest.approx(right / len(rows))
    assert found["n-samples"]["local_sums"]["effective"] == len(rows)
