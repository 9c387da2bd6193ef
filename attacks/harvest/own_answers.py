"""Answers of the attacker's own student that are sent to the API to be scored: how they are drawn, and as training rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.client import Client, Harvested
from attacks.examples import to_examples
from configs.errors import require
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.examples import Examples
    from lm.language_model import LanguageModel
    from lm.ragged import Ragged


def own_answers(
    model: LanguageModel, items: NDArray[np.int64], client: Client, temperature: float, rng: np.random.Generator
) -> Ragged:
    """What the student says to these prompts; tools that they may call are run for it as they are for the teacher."""
    most, tools = int(np.max(client.params.max_tokens)), client.prompts.tools
    return model.generate(
        model.encode_prompts([client.prompts.texts[int(i)] for i in items]),
        Sampling(temperature=temperature, max_tokens=most),
        rng.integers(2**62, size=len(items), dtype=np.int64),
        tools=None if tools is None else lambda at, said: tools(items[at], said),
    ).tokens


def own_rows(harvested: Harvested, client: Client, student: LanguageModel) -> Examples:
    """Training rows in the student's chat template; its tokens are the teacher's."""
    rows = to_examples(harvested, client.prompts.tokens)
    return replace(rows, prompts=student.encode_prompts([client.prompts.texts[int(i)] for i in rows.item]))


def require_shared(student: LanguageModel, client: Client, texts: list[str], harvest: str) -> None:
    """Refuse a student whose tokens are not the teacher's: as many of them, the same ends, and the same ids for these texts.

    Raises:
        ConfigError: they differ; names the harvest.
    """
    own, teacher = student.encode(texts), client.codec.encode(texts)
    same = (
        student.vocabulary == client.vocabulary
        and np.array_equal(student.ends, client.codec.ends)
        and np.array_equal(own.offsets, teacher.offsets)
        and np.array_equal(own.values, teacher.values)
    )
    reason = "has the teacher score the student's tokens, but teacher and student have different tokenizers"
    require(same, "attack.harvest", harvest, reason)
