"""What rewritings of traces are searched with: clean traces to rewrite, and tasks that tell what students learn from them.
Knows no single rewriting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import OwnItems, Preparation
from lm.examples import Examples
from lm.types import Channel, Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class Exam(NamedTuple):
    """Tasks that students are scored on.

    Args:
        items: of the provider.
        chosen: (I,) those of them that are asked.
    """

    items: OwnItems
    chosen: NDArray[np.int64]

    @classmethod
    def on(cls, items: OwnItems, rows: Examples, count: int) -> Exam:
        """At most so many of the items, none of which the rows are about.

        Raises:
            ConfigError: there is no such item.
        """
        known = {tuple(prompt.tolist()) for prompt in rows.prompts}
        new = [i for i, prompt in enumerate(items.prompts.tokens) if tuple(prompt.tolist()) not in known]
        require(len(new) > 0, "items", count, "the provider has no task of its own that it does not train on")
        return cls(items, np.array(new[:count], np.int64))

    def accuracy(self, student: LanguageModel, teacher: LanguageModel, most: int) -> float:
        """Share that the student solves, greedily, in at most so many tokens. Tools answer in the teacher's tokens alone."""
        prompts = self.items.prompts
        tools = prompts.tools if student.vocab == teacher.vocab else None

        def run(rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
            assert tools is not None
            return tools(self.chosen[rows], generated)

        asked = student.encode_prompts([prompts.texts[i] for i in self.chosen])
        seeds = np.zeros(len(self.chosen), np.int64)
        drawn = student.generate(asked, Sampling(0.0, most), seeds, tools=None if tools is None else run)
        texts = student.decode(drawn.tokens)
        return float(np.mean([self.items.check(int(i), text) for i, text in zip(self.chosen, texts, strict=True)]))


def clean_with_trace(context: Preparation, count: int, who: str) -> Examples:
    """Those of so many clean traces that have a trace.

    Args:
        context: of the provider.
        count: clean traces that are asked for.
        who: the name of the defense.

    Raises:
        ConfigError: none has one.
    """
    clean = context.clean_traces(count)
    trace = clean.completions.row_of_value[clean.channel == Channel.TRACE]
    rows = clean.where(np.bincount(trace, minlength=len(clean)) > 0)
    require(len(rows) > 0, f"defense.{who}", "no trace", "rewrites traces, and the teacher writes none")
    return rows
