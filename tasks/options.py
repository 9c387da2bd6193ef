"""Options of multiple-choice rows, in the shapes in which datasets keep them. Knows no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from configs.errors import ConfigError, require
from tasks.checkers import choice_letter
from tasks.dataset_rows import Row, text_of

LETTERS = tuple(ascii_uppercase)
ANSWERS = ("label", "index", "text")
"""How an answer may name its option."""


class Options(NamedTuple):
    """The options of one question, in their order.

    Args:
        texts: what they say.
        labels: what the dataset calls them, letters where it does not say.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def listed(self) -> str:
        """A line each, with letters from A on whatever the dataset calls them."""
        return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, self.texts, strict=False))


def options_of(row: Row, columns: Sequence[str], at: str) -> Options:
    """The options of a row.

    Args:
        row: of a dataset.
        columns: one column with a list of texts, a list of ``{text, label}``, ``{text: [...], label: [...]}`` or
            ``{label: text}``; or several columns, one an option, whose names are then the labels.
        at: which row it is.

    Raises:
        ConfigError: there is no such column, it holds something else, or fewer than 2 or more than 26 options.
    """
    named = ", ".join(columns)
    for column in columns:
        if column not in row:
            raise ConfigError("task.options", column, f"is not a column of {at}", row)
    texts, labels = _read(row[columns[0]], named, at) if len(columns) == 1 else ([row[c] for c in columns], columns)
    plain = tuple(text_of({named: text}, "options", named, at) for text in texts)
    require(2 <= len(plain) <= len(LETTERS), "task.options", named, f"must hold 2 to 26 options; {at} has {len(plain)}")
    own = tuple(str(label).strip() for label in labels) if labels else LETTERS[: len(plain)]
    different = len({label.casefold() for label in own}) == len(own) == len(plain)
    require(different, "task.options", named, f"must have a label of its own for each option; {at} has {list(own)}")
    return Options(plain, own)


def answer_at(row: Row, column: str, named_by: str, first: int, options: Options, at: str) -> int:
    """Which option, from 0, a row's answer names.

    Args:
        row: of a dataset.
        column: of the answer.
        named_by: one of `ANSWERS`.
        first: index of the first option, for ``index``.
        options: of the row.
        at: which row it is.

    Raises:
        ConfigError: none of them.
    """
    said = text_of(row, "answer", column, at)
    if named_by == "index":
        found = [int(said) - first] if said.lstrip("-").isdigit() else []
        known = f"{first} to {first + len(options.texts) - 1}"
    else:
        names = options.labels if named_by == "label" else options.texts
        letter = choice_letter(said) if named_by == "label" else None
        found = [i for i, name in enumerate(names) if name.casefold() == said.casefold()]
        found = found or [i for i, name in enumerate(names) if letter and name.casefold() == letter.casefold()]
        known = ", ".join(name[:40] for name in names)
    if len(found) != 1 or not 0 <= found[0] < len(options.texts):
        other = ", ".join(f"task.answer_as={kind}" for kind in ANSWERS if kind != named_by)
        reason = f"must name one option by its {named_by} ({known}); {at} has {said[:40]!r} (otherwise: {other})"
        raise ConfigError("task.answer", column, reason)
    return found[0]


def _read(value: Any, column: str, at: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Texts and labels of one cell; no labels where it has none."""
    if isinstance(value, Mapping):
        if "text" in value and "label" in value:
            return value["text"], value["label"]
        kept = {label: text for label, text in value.items() if text is not None}
        return list(kept.values()), list(kept)
    if isinstance(value, list):
        if value and all(isinstance(one, Mapping) and "text" in one and "label" in one for one in value):
            return [one["text"] for one in value], [one["label"] for one in value]
        return value, ()
    shapes = "a list of texts, a list of {text, label}, {text: [...], label: [...]} or {label: text}"
    raise ConfigError("task.options", column, f"must hold {shapes}; {at} has a {type(value).__name__}")
