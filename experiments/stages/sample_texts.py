"""A few texts of a cell for people to read: what the API answered to the attacker, what students answer to held-out items.

Why texts, and not what is stored anyway: the tokens of a harvest are stored whole, but it takes the model's own tokenizer to
read them, and a model of somebody's own may have any; what students answer is stored nowhere, and to draw it again takes the
student. So the stages that have model and text at hand keep a sample as text, which costs them nothing to speak of (some ten
kilobytes), and the row copies it: a report needs rows alone, and so does an archive of them.

What the teacher answered before the defense is not stored again: it is what the same attack got from the undefended API,
whose harvest every row has among its inputs.

The size of the sample, `Measure.transcripts`, is in no key, since no number depends on it. A row keeps the texts that it
was stored with; rows older than this have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lm.ragged import Ragged
from lm.types import Channel
from tasks.base import Item, Task

if TYPE_CHECKING:
    from attacks.client import Harvested
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel

TEXTS = "texts"
"""Name of the table in entries of stages."""

SCHEMA = {
    "item": pl.String,
    "family": pl.String,
    "prompt": pl.String,
    "reference": pl.String,
    "trace": pl.String,
    "answer": pl.String,
    "strict": pl.Boolean,
    "lenient": pl.Boolean,
    "finished": pl.Boolean,
    "cut": pl.Boolean,
    "refused": pl.Boolean,
}
"""Columns: the item's id, its family ("" for a text of the attacker's own), the question, the reference answer (null for a
text of the attacker's own); the working (tool calls and their results included) and the answer, apart; the task's verdicts
(null where there is nothing to judge); whether the response ended by itself, whether the provider visibly cut it, whether
the request was never answered, so that there is no text."""


def first_of_each(families: Sequence[str], most: int) -> NDArray[np.bool_]:
    """(R,) whether each row is one of the first ``most`` of its family."""
    seen: dict[str, int] = {}
    kept = np.zeros(len(families), np.bool_)
    for row, family in enumerate(families):
        seen[family] = seen.get(family, 0) + 1
        kept[row] = seen[family] <= most
    return kept


def parts_of(lm: LanguageModel, tokens: Ragged, channel: NDArray[np.uint8]) -> tuple[list[str], list[str]]:
    """Working and answer of each response as text."""
    answer = channel == Channel.ANSWER
    return lm.decode(tokens.keep(~answer)), lm.decode(tokens.keep(answer))


def answered_texts(items: Sequence[Item], table: pl.DataFrame) -> pl.DataFrame:
    """Of a table of scores, the rows whose texts were kept, as `SCHEMA` has them.

    Args:
        items: of every row.
        table: of the same rows, with ``trace`` and ``answer``, null where they were not kept.
    """
    rows = np.flatnonzero(table["trace"].is_not_null().to_numpy()).tolist()
    told = table[rows]
    return pl.DataFrame(
        {
            "item": told["item"],
            "family": told["family"],
            "prompt": [items[row].prompt for row in rows],
            "reference": [items[row].answer for row in rows],
            **{name: told[name] for name in ("trace", "answer", "strict", "lenient", "finished")},
            "cut": [False] * len(rows),
            "refused": [False] * len(rows),
        },
        schema=SCHEMA,
    )


def harvested_texts(
    task: Task,
    items: Sequence[Item],
    prompts: Sequence[str],
    lm: LanguageModel,
    harvested: Harvested,
    refused: NDArray[np.int64],
    most: int,
) -> pl.DataFrame:
    """The first response to each of the first prompts that were asked, by their place in the pool.

    Args:
        task: judges.
        items: the pool; prompts beyond it are texts of the attacker's own.
        prompts: every prompt that was asked, the pool first.
        lm: the model behind the API.
        harvested: what was answered.
        refused: prompts of requests that were never answered.
        most: of each family, and of texts of the attacker's own.
    """
    answered, first = np.unique(harvested.item, return_index=True)
    response = dict(zip(answered.tolist(), first.tolist(), strict=True))
    asked = sorted({*response, *refused.tolist()} - {-1})
    families = [items[row].family if row < len(items) else "" for row in asked]
    kept = [row for row, keep in zip(asked, first_of_each(families, most), strict=True) if keep]
    rows = np.array([response[row] for row in kept if row in response], np.int64)
    taken = harvested.responses.take(rows)
    traces, answers = parts_of(lm, taken.tokens, taken.channel)
    said = iter(zip(lm.decode(taken.tokens), traces, answers, taken.finished.tolist(), taken.cut.tolist(), strict=True))
    found = []
    for row in kept:
        item = items[row] if row < len(items) else None
        line: dict[str, object] = {
            "item": str(row) if item is None else item.id,
            "family": "" if item is None else item.family,
            "prompt": prompts[row],
            "reference": None if item is None else item.answer,
            "refused": row not in response,
        }
        if row in response:
            text, trace, answer, finished, cut = next(said)
            line |= {"trace": trace, "answer": answer, "finished": finished, "cut": cut}
            if item is not None:
                verdict = task.verify(item, text)
                line |= {"strict": verdict.strict, "lenient": verdict.lenient}
        found.append(line)
    return pl.DataFrame(found, schema=SCHEMA)


def kept_texts(entry: Entry) -> pl.DataFrame | None:
    """The sample that a stage stored; None where it stored none."""
    return entry.table(TEXTS) if f"{TEXTS}.parquet" in entry.manifest["files"] else None
