"""Lets the models of a cell refuse what they cannot do, before anything runs: those of teacher and student, and those that
parts name in their fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from configs.identity import Part, parts_in
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec, field_of
from tasks.base import Task
from tasks.text_judge import TextJudge


def named_models(parts: Mapping[str, Part]) -> Iterator[tuple[str, Pretrained]]:
    """Models that fields of these parts name, and the field that each is in; parts by the field that they are in."""
    for place, part in parts.items():
        for own in fields(part):  # type: ignore[arg-type]
            for found in parts_in(getattr(part, own.name)):
                if isinstance(found, Pretrained):
                    yield f"{place}.{own.name}", found


def check_judges(parts: Mapping[str, Part]) -> None:
    """Have judges look at themselves, before anything runs.

    Args:
        parts: by the field that they are in; those that are judges or have one as a field are looked at.

    Raises:
        ConfigError: see `tasks.text_judge.TextJudge.check`.
    """
    for place, part in parts.items():
        own = {f"{place}.{own.name}": getattr(part, own.name) for own in fields(part)}  # type: ignore[arg-type]
        for where, judge in {place: part, **own}.items():
            if isinstance(judge, TextJudge):
                with field_of(judge, where):
                    judge.check()


def check_models(models: Iterable[tuple[str, ModelSpec | Pretrained]], task: Task, max_tokens: int) -> None:
    """Have each model look at what it will be asked. Models have fields of the same names: say whose field it is.

    Args:
        models: with the field that each is in.
        task: whose prompts are asked.
        max_tokens: of a response.

    Raises:
        ConfigError: see `ModelSpec.check`; the field is within the model's own.
    """
    for place, model in models:
        with field_of(model, place):
            model.check(task, max_tokens)
