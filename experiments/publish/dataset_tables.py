"""What a stored cell holds in words, as tables for others to learn from or look at: harvest, training sets, answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, get_args

import polars as pl
import polars.selectors as cs

from configs.errors import MoatBenchError
from experiments.study import Attacker

if TYPE_CHECKING:
    from experiments.study import OpenCell

SPLITS = {"student": "defended", "undefended": "undefended", "self": "without_teacher"}
"""Whose data -> the split that has them."""
TEACHER = "teacher"
INTEGERS = ("request", "item", "output_tokens", "tokens", "learnt", "level")
HARVEST = {
    "request": "number of the request; several responses may answer one",
    "item": "number of the prompt in the attacker's pool, then in his own texts",
    "prompt": "what was asked",
    "generated": "what the model behind the API wrote, before the interface and the defenses after decoding changed it",
    "response": "what the attacker got to read",
    "finished": "whether the response came to its end",
    "cut": "whether the provider visibly cut it",
    "output_tokens": "billed tokens",
}
TRAINING = {
    "item": "number of the prompt in the pool, -1 for none",
    "prompt": "with the student's chat template",
    "text": "what the student was trained to say",
    "tokens": "how many these are",
    "learnt": "how many of them count in the loss",
    "cut": "whether the provider visibly cut the response",
}
ANSWERS = {
    "model": "student; undefended: the same attack's without the defense; self: without the teacher; base: before any query",
    "decoding": "greedy, or sampled at the temperature of the configuration",
    "item": "name of the item",
    "family": "of the task",
    "level": "of difficulty",
    "prompt": "what was asked",
    "reference": "a right answer",
    "text": "what the model said; null where this machine draws another text than the one that was graded",
    "strict": "graded right by the strict checker",
    "lenient": "by the lenient one",
    "finished": "whether the answer came to its end",
}


class DatasetPart(NamedTuple):
    """One configuration of a dataset.

    Args:
        name: of it.
        about: in a sentence.
        columns: what each holds.
        splits: tables by name, all with these columns.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    splits: Mapping[str, pl.DataFrame]


def dataset_parts(cell: OpenCell) -> tuple[list[DatasetPart], list[str]]:
    """The tables of a cell, and remarks on what is missing in them.

    Raises:
        MoatBenchError: a stage is not stored.
    """
    remarks: list[str] = []
    whose: tuple[Attacker, ...] = get_args(Attacker)
    harvest = {SPLITS[of]: _harvest(cell, of, remarks) for of in whose}
    training = {SPLITS[of]: _typed(cell.training_set(of), TRAINING) for of in whose}
    models = [name for name in cell.last.scores if name != TEACHER]
    answers = {split: _answers(cell, models, split) for split in ("heldout", "harder")}
    lost = sum(int(table["text"].null_count()) for table in answers.values())
    if lost:
        remarks.append(f"{lost} of the graded answers are drawn otherwise by this machine: their text is null.")
    return [
        DatasetPart("harvest", "What the attacker asked and what he was answered.", HARVEST, harvest),
        DatasetPart("training", "What the student was trained on, after the attacker's cleaning.", TRAINING, training),
        DatasetPart(
            "answers",
            "What students answered to the items that they are scored on, with the grades that the row rests on.",
            ANSWERS,
            {name: table for name, table in answers.items() if table.height},
        ),
    ], remarks


def _harvest(cell: OpenCell, of: Attacker, remarks: list[str]) -> pl.DataFrame:
    got = cell.responses(of).rename({"text": "response"})
    try:
        raw = cell.generations(of)["text"]
    except MoatBenchError:
        raw = pl.Series([None] * got.height, dtype=pl.String)
        remarks.append(f"What was generated for the split {SPLITS[of]} is no longer stored: `generated` is null there.")
    return _typed(got.with_columns(generated=raw), HARVEST)


def _answers(cell: OpenCell, models: list[str], split: str) -> pl.DataFrame:
    tables = [
        cell.answers(model, split, decoding).with_columns(model=pl.lit(model), decoding=pl.lit(decoding))  # type: ignore[arg-type]
        for model in models
        for decoding in ("greedy", "sampled")
    ]
    return _typed(pl.concat(tables), ANSWERS)


def _typed(table: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """These columns, whole numbers as 64-bit integers, each of a type."""
    whole = cs.integer() | (cs.by_dtype(pl.Null) & cs.by_name(INTEGERS, require_all=False))
    chosen = table.select(list(columns)).with_columns(whole.cast(pl.Int64))
    return chosen.with_columns(cs.by_dtype(pl.Null).cast(pl.String))  # a column that is null throughout
