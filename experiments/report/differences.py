"""What changed between two texts, word by word: each text in pieces that the other has, and pieces that it has not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

WORDS, LINES = re.compile(r"\s*\S+|\s+"), re.compile(r"[^\n]*\n|[^\n]+")
MOST = 4_000_000
"""Pairs of words that are compared; of longer texts, whole lines are."""


class Piece(NamedTuple):
    """A stretch of a text: whether the other text lacks it, and itself."""

    changed: bool
    text: str


@lru_cache(maxsize=4096)  # both sides of an item are made of it, and many cells say the same
def differences(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces; joined again they are the texts. Blanks between words are no change.

    >>> differences("add 3 then 4", "add 3 then 5")[1]
    (Piece(changed=False, text='add 3 then '), Piece(changed=True, text='5'))
    """
    if before == after:
        same = (Piece(False, before),) if before else ()
        return same, same
    old, new = WORDS.findall(before), WORDS.findall(after)
    if len(old) * len(new) > MOST:
        old, new = LINES.findall(before), LINES.findall(after)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    matcher = SequenceMatcher(None, [word.strip() for word in old], [word.strip() for word in new], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, words in zip(sides, (old[a:b], new[c:d]), strict=True):
            if words:
                side += _trimmed(kind != "equal", "".join(words))
    return _joined(sides[0]), _joined(sides[1])


def _trimmed(changed: bool, text: str) -> list[Piece]:
    """A changed phrase without the blanks around it."""
    core = text.strip()
    if not changed or not core:
        return [Piece(False, text)]
    lead, _, trail = text.partition(core)
    return [part for part in (Piece(False, lead), Piece(True, core), Piece(False, trail)) if part.text]


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The same with neighbours of one kind as one."""
    found: list[Piece] = []
    for own in pieces:
        if found and found[-1].changed == own.changed:
            found[-1] = Piece(own.changed, found[-1].text + own.text)
        else:
            found.append(own)
    return tuple(found)
