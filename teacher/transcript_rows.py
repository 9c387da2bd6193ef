"""Rows of stored transcripts: what was asked, what came back. Knows neither tokens nor tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from configs.errors import ConfigError, require
from tasks.dataset_rows import Row, load_rows, text_of
from teacher.told_logprobs import TokenLogprobs, told_of


class Transcript(NamedTuple):
    """One response.

    Args:
        prompt: what was asked.
        response: the visible answer.
        working: what came before it, "" for nothing.
        finished: False where it was cut off.
        told: logprobs of the response's tokens; None where there are none.
    """

    prompt: str
    response: str
    working: str
    finished: bool
    told: TokenLogprobs | None

    def parts(self, open: str, close: str, opening: str) -> tuple[str, str]:
        """Working, between these tags, and visible answer with the white space before it. The first tag is left out where
        the chat template's ``opening`` has it; without working, the first part is empty."""
        if not self.working:
            return "", self.response
        before = "" if not open or opening.rstrip().endswith(open) else f"{open}\n"
        return (
            (f"{before}{self.working}\n{close}", f"\n\n{self.response}")
            if close
            else (self.working, f"\n{self.response}")
        )


def read_transcripts(
    path: str, config: str, revision: str, split: str, columns: Mapping[str, str]
) -> tuple[Transcript, ...]:
    """All rows.

    Args:
        path: see `tasks.dataset_rows.load_rows`, and so for the next three.
        config: of the dataset.
        revision: of the dataset.
        split: of the dataset.
        columns: by name of the setting (``prompt``, ``response``, ``working``, ``logprobs``, ``finish``), the column; "" for
            none, but of the first two.

    Raises:
        ConfigError: there are none, or one has no prompt or response, or a named column is missing or holds something else.
    """
    rows = load_rows(path, config, revision, split, "teacher")
    found = tuple(_transcript(row, columns, f"row {at + 1} of split {split!r}") for at, row in enumerate(rows))
    require(bool(found), "teacher.path", path, "has no rows")
    return found


def _transcript(row: Row, columns: Mapping[str, str], at: str) -> Transcript:
    for setting, column in columns.items():
        if column and column not in row:
            reason = f"is not a column of {at}; leave teacher.{setting} empty where there is none"
            raise ConfigError(f"teacher.{setting}", column, reason, row)
    prompt, response = (text_of(row, name, columns[name], at, "teacher") for name in ("prompt", "response"))
    working = row[columns["working"]] if columns["working"] else ""
    if not (working is None or isinstance(working, str)):
        raise ConfigError("teacher.working", columns["working"], f"must be a column of texts; {at} has {working!r:.40}")
    ended = row[columns["finish"]] if columns["finish"] else True
    try:
        told = told_of(row[columns["logprobs"]]) if columns["logprobs"] else None
    except ValueError as error:
        raise ConfigError("teacher.logprobs", columns["logprobs"], f"in {at}: {error}") from error
    return Transcript(prompt, response, (working or "").strip(), ended not in (False, "length", "max_tokens"), told)
