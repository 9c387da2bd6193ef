"""What defenses that look into students are given in tests of all of them: tasks, public rows, a log, a watermark beside."""

from __future__ import annotations

import numpy as np

from defenses.base import Answered, Deployed, Detection, OwnItems, Preparation, Serving
from defenses.decoding.kgw import KGW
from lm.types import Sampling
from teacher.api.schema import Prompts, Responses
from tests.defenses.decoding.models import model, traces

FEW = {"prompts": 5, "rows": 8}
"""Fields that say how much is looked at, where a defense has them."""


def preparation(teacher, other) -> Preparation:
    """Fitted students are other models for other rows."""

    def items(count):
        prompts = asked_of(teacher, count)
        return OwnItems(prompts, np.full(count, "f", object), lambda i, text: True)

    return Preparation(
        teacher,
        lambda: other,
        traces,
        np.random.default_rng(0),
        items=items,
        model=lambda used: other,
        fit=lambda rows, steps=None: model(seed=100 + int(rows.completions.values.sum())),
        public=traces,
    )


def detection(suspect, serving, teacher) -> Detection:
    """Of a provider that served 20 answers."""
    rows, no, prompts = np.arange(20), np.zeros(20, bool), asked_of(teacher, 20)
    drawn = teacher.generate(prompts.tokens, Sampling(max_tokens=6), rows)
    responses = Responses(rows, drawn.tokens, drawn.channel, no, no, drawn.tokens.lengths.astype(np.int32))
    return Detection(
        suspect,
        ["w1 w2", "w3"],
        serving,
        teacher.format,
        np.random.default_rng(1),
        lambda: Answered(prompts.texts, rows, responses),
        lambda name: Deployed(KGW(1.0), Serving(teacher)),
    )


def asked_of(teacher, count) -> Prompts:
    """So many prompts."""
    texts = [f"w{i % 20} w{i % 7}" for i in range(count)]
    return Prompts(texts, teacher.encode_prompts(texts))
