"""The texts of a cell item by item, as a page and a terminal show them: who says what, what changed, how it was graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import polars as pl

from configs.text import one_line, printable
from experiments.measure.cell_result import CellResult, defense_names
from experiments.report.differences import Piece, differences
from experiments.report.names import family_name

T = TypeVar("T")
Sign = Literal["ins", "del"]
NOT_ASKED = "Not among the stored answers: the attack asked other prompts here."
REFUSED = "Refused: this request was never answered."
LONGEST_NAME = 40
"""Letters of an item's id that are shown; the prompt says the rest."""

OWN_TEXT = "text of the attacker's own"


class Side(NamedTuple):
    """What one of them says.

    Args:
        title: who.
        said: working and answer, each in pieces; no text at all where there is a ``remark``.
        sign: what its changed pieces are: gone, or new.
        right: by the strict grader; None where nothing is judged.
        lenient: by the lenient grader, the same.
        remark: why there is no text.
    """

    title: str
    said: tuple[tuple[str, tuple[Piece, ...]], ...] = ()
    sign: Sign = "ins"
    right: bool | None = None
    lenient: bool | None = None
    remark: str = ""


class ToldItem(NamedTuple):
    """One item.

    Args:
        name: its id, or the beginning of a long one.
        family: of the task, "" for a text of the attacker's own.
        prompt: as it was asked.
        facts: a few words each.
        sides: who says what to it.
    """

    name: str
    family: str
    prompt: str
    facts: tuple[str, ...]
    sides: tuple[Side, ...]

    @property
    def changed(self) -> bool:
        """Whether sides that are held against each other differ, or one of them was refused."""
        return any(side.remark or any(p.changed for _, part in side.said for p in part) for side in self.sides)


def told_items(result: CellResult, most: int | None = None) -> dict[str, list[ToldItem]]:
    """``harvest``: prompts of the attacker with the teacher's answers before the defense and as released; ``heldout``: items
    with the student's answers, those of its twin without the defense, and the teacher's.

    Args:
        result: of one cell and seed; nothing is told of one without transcripts.
        most: items of each family; None for all that are stored.
    """
    table = result.transcripts
    if table is None:
        return {"harvest": [], "heldout": []}
    defended = bool(defense_names(result.cell))
    roles: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in table.filter(pl.col("prompt").is_not_null()).to_dicts():
        # attackers may ask the same item in words of their own, so it is the prompt that says what belongs together
        roles.setdefault((row["kind"], row["role"]), {}).setdefault(row["prompt"], row)
    student, bare = roles.get(("harvest", "student"), {}), roles.get(("harvest", "undefended"), {})
    asked = first_of_families([(str(row["family"]), prompt) for prompt, row in {**bare, **student}.items()], most)
    harvest = [_harvested(prompt, student.get(prompt), bare.get(prompt), defended) for prompt in asked]
    scored = {role: roles.get(("heldout", role), {}) for role in ("student", "undefended", "teacher")}
    titles = {"student": "student" + " behind the defense" * defended, "teacher": "teacher"}
    if defended:
        titles = {"student": titles["student"], "undefended": "its twin without the defense", "teacher": "teacher"}
    items = first_of_families([(str(row["family"]), prompt) for prompt, row in scored["student"].items()], most)
    return {"harvest": harvest, "heldout": [_answered(prompt, scored, titles) for prompt in items]}


def _harvested(
    prompt: str, after: Mapping[str, Any] | None, before: Mapping[str, Any] | None, defended: bool
) -> ToldItem:
    row = after or before or {}
    if not defended:
        return _item(prompt, row, (_side("teacher", row, None, "ins"),))
    sides = (
        _side("before the defense", before, after, "del"),
        _side("as the API released it", after, before, "ins"),
    )
    return _item(prompt, row, sides)


def _answered(
    prompt: str, scored: Mapping[str, Mapping[str, Mapping[str, Any]]], titles: Mapping[str, str]
) -> ToldItem:
    rows = {role: scored[role].get(prompt) for role in titles}
    sides = tuple(_side(title, rows[role], None, "ins") for role, title in titles.items() if rows[role] is not None)
    return _item(prompt, rows["student"] or {}, sides)


def _item(prompt: str, row: Mapping[str, Any], sides: tuple[Side, ...]) -> ToldItem:
    family = str(row.get("family") or "")
    facts = [family_name(family) if family else OWN_TEXT]
    facts += [f"reference answer: {one_line(str(row['reference']))}"] if row.get("reference") is not None else []
    facts += ["cut by the provider"] if row.get("cut") else []
    facts += ["did not end by itself"] if row.get("finished") is False else []
    name = one_line(str(row.get("item")))
    name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return ToldItem(name, family, printable(prompt), tuple(facts), sides)


def _side(title: str, own: Mapping[str, Any] | None, other: Mapping[str, Any] | None, sign: Sign) -> Side:
    if own is None:
        return Side(title, sign=sign, remark=NOT_ASKED)
    if own["refused"]:
        return Side(title, sign=sign, remark=REFUSED)
    against = other is not None and not other["refused"]
    parts = []
    for part in ("trace", "answer"):
        text = printable(str(own[part] or ""))
        beside = printable(str((other or {}).get(part) or "")) if against else text
        pieces = differences(beside, text)[1] if sign == "ins" else differences(text, beside)[0]
        parts.append(({"trace": "working", "answer": "answer"}[part], pieces))
    return Side(title, tuple(parts), sign, own["strict"], own["lenient"])


def first_of_families(told: Sequence[tuple[str, T]], most: int | None) -> list[T]:
    """Of pairs of a family and something, what at most so many of each family are with; all of it for None."""
    seen: dict[str, int] = {}
    found = []
    for family, own in told:
        seen[family] = seen.get(family, 0) + 1
        if most is None or seen[family] <= most:
            found.append(own)
    return found
