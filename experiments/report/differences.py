"""What changed between two texts, word by word: each text in pieces that the other has, and pieces that it has not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

WORDS, LINES = re.compile(r"\s+|[^\s]+"), re.compile(r"[^\n]*\n|[^\n]+")
MOST = 4_000_000
"""Pairs of words that are compared; of longer texts, whole lines are."""


class Piece(NamedTuple):
    """A stretch of a text: whether the other text lacks it, and itself."""

    changed: bool
    text: str


def differences(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces; joined again they are the texts.

    >>> differences("add 3 then 4", "add 3 then 5")[1]
    [Piece(changed=False, text='add 3 then '), Piece(changed=True, text='5')]
    """
    if before == after:
        same = [Piece(False, before)] if before else []
        return same, same
    old, new = WORDS.findall(before), WORDS.findall(after)
    if len(old) * len(new) > MOST:
        old, new = LINES.findall(before), LINES.findall(after)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for side, words in zip(sides, (old[a:b], new[c:d]), strict=True):
            if words:
                side.append(Piece(kind != "equal", "".join(words)))
    return joined(sides[0]), joined(sides[1])


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same with a blank between two changed pieces taken along, so that a changed phrase is marked as one."""
    found: list[Piece] = []
    for i, piece in enumerate(pieces):
        between = 0 < i < len(pieces) - 1 and pieces[i - 1].changed and pieces[i + 1].changed
        own = piece._replace(changed=piece.changed or (between and not piece.text.strip()))
        if found and found[-1].changed == own.changed:
            found[-1] = Piece(own.changed, found[-1].text + own.text)
        else:
            found.append(own)
    return [part for piece in found for part in _trimmed(piece)]


def _trimmed(piece: Piece) -> list[Piece]:
    """A changed phrase without the blanks around it, which are no change; blanks alone may be one."""
    core = piece.text.strip()
    if not piece.changed or not core:
        return [piece]
    lead, _, trail = piece.text.partition(core)
    return [part for part in (Piece(False, lead), Piece(True, core), Piece(False, trail)) if part.text]
