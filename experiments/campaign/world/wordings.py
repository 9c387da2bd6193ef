"""The grammar that prompts are written in: pieces of wording, put together and filled, the same on every machine.

A form such as ``"{opening} {request} @problem"`` names pieces in braces, which belong to the wording, and fillings after
an at sign, which are what it is about. Two prompts are of one template when only their fillings differ. Knows nothing of
what the groups of prompts are for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from configs.errors import ConfigError

_PIECE = re.compile(r"\{([a-z_]+)\}")
_FILLING = re.compile(r"@([a-z_]+)")
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
"""Left where a piece is empty; indented code stays."""
_TRIES = 200
"""Draws in a row that may give what is there already before a group counts as exhausted."""


class Prompt(NamedTuple):
    """One text.

    Args:
        text: as it is sent.
        wording: the text with its fillings left open.
    """

    text: str
    wording: str


def draws(*purpose: str) -> Iterator[int]:
    """Endless numbers below 2⁶⁴ that depend on the purpose alone: no generator of a library, whose numbers may change."""
    count = 0
    while True:
        digest = hashlib.sha256("/".join((*purpose, str(count))).encode()).digest()
        yield from (int.from_bytes(digest[at : at + 8], "big") for at in range(0, 32, 8))
        count += 1


class Deck:
    """Numbers below ``size``, each once before any comes again, in an order that the purpose determines."""

    def __init__(self, size: int, *purpose: str) -> None:
        self._left: list[int] = []
        self._size = size
        self._draws = draws(*purpose)

    def draw(self, avoid: Collection[int] = ()) -> int:
        """The next number that is not to be avoided; any, where all are."""
        wanted = [place for place, number in enumerate(self._left) if number not in avoid]
        if not wanted:
            self._left = sorted(range(self._size), key=lambda _: next(self._draws)) + self._left
            wanted = [place for place, number in enumerate(self._left) if number not in avoid]
        return self._left.pop(wanted[-1] if wanted else -1)


@dataclass
class Grammar:
    """One group of prompts.

    Args:
        name: of the group; other names give other draws.
        forms: patterns of its texts.
        pieces: name -> choices of a piece of wording.
        fillings: name -> choices of a filling; a choice may hold fillings itself.
        literal: names of fillings whose choices are taken as they are.
        together: filling -> another whose choices belong to its own, row by row.
    """

    name: str
    forms: Sequence[str]
    pieces: Mapping[str, Sequence[str]]
    fillings: Mapping[str, Sequence[str]]
    literal: frozenset[str] = frozenset()
    together: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for texts, pattern, known, what in (
            (self.forms, _PIECE, self.pieces, "piece"),
            ((*self.forms, *self._written()), _FILLING, self.fillings, "filling"),
        ):
            for name in {name for text in texts for name in pattern.findall(text)}:
                if not known.get(name):
                    raise ConfigError(f"prompts.{self.name}", name, f"is no {what} that has choices", known)
        for name, other in self.together.items():
            sizes = len(self.fillings.get(name, ())), len(self.fillings.get(other, ()))
            if sizes[0] != sizes[1]:
                raise ConfigError(
                    f"prompts.{self.name}", name, f"goes with {other} and must have as many choices: {sizes}"
                )
        self._decks: dict[str, Deck] = {}

    def _written(self) -> Iterator[str]:
        """Every choice that fillings are looked for in."""
        for choices in self.pieces.values():
            yield from choices
        for name, choices in self.fillings.items():
            if name not in self.literal:
                yield from choices

    def varied(self, size: int) -> list[Prompt]:
        """``size`` different texts, of as many wordings as come up."""
        found: dict[str, Prompt] = {}
        for _ in self._attempts(found, size):
            prompt = self._filled(self._worded())
            found.setdefault(prompt.text, prompt)
        return list(found.values())

    def paraphrases(self, size: int, fillings: Sequence[Sequence[int]] = ()) -> list[Prompt]:
        """``size`` different wordings, each with one filling except the first: ``[[4, 8], [16, 3]]`` gives the first four
        wordings eight different fillings each and the next sixteen three."""
        worded: dict[str, None] = {}
        for _ in self._attempts(worded, size):
            worded.setdefault(self._worded())
        counts = [count for wordings, count in fillings for _ in range(wordings)]
        found: dict[str, Prompt] = {}
        for number, wording in enumerate(worded):
            target = len(found) + (counts[number] if number < len(counts) else 1)
            for _ in self._attempts(found, target):
                prompt = self._filled(wording)
                found.setdefault(prompt.text, prompt)
        return list(found.values())

    def _attempts(self, found: Mapping[str, Any], size: int) -> Iterator[None]:
        """Goes on until ``found`` has ``size`` entries."""
        idle = 0
        while len(found) < size:
            before = len(found)
            yield
            idle = 0 if len(found) > before else idle + 1
            if idle > _TRIES:
                raise ConfigError(
                    f"prompts.{self.name}.size", size, f"is more than its forms give (about {len(found)})"
                )

    def _worded(self) -> str:
        """One wording, fillings left open."""
        form = self.forms[self._deck("form", len(self.forms)).draw()]
        text = _PIECE.sub(lambda found: self._piece(found[1]), form)
        return _GAP.sub(" ", text).replace(" \n", "\n").strip()

    def _piece(self, name: str) -> str:
        choices = self.pieces[name]
        return choices[self._deck(f"piece/{name}", len(choices)).draw()]

    def _filled(self, wording: str) -> Prompt:
        """The wording with every filling put in."""
        return Prompt(self._fill(wording, {}), wording)

    def _fill(self, text: str, subjects: dict[str, tuple[list[int], set[str]]]) -> str:
        """``subjects``: filling -> rows that this text has of its choices, and the names the last was used for."""

        def choose(found: re.Match[str]) -> str:
            name = found[1]
            kind = self.together.get(name, name)
            rows, had = subjects.setdefault(kind, ([], set()))
            if not rows or name in had:
                rows.append(self._deck(f"filling/{kind}", len(self.fillings[kind])).draw(rows))
                had.clear()
            had.add(name)
            choice = self.fillings[name][rows[-1]]
            return choice if name in self.literal else self._fill(choice, subjects)

        return _FILLING.sub(choose, text)

    def _deck(self, name: str, size: int) -> Deck:
        if name not in self._decks:
            self._decks[name] = Deck(size, self.name, name)
        return self._decks[name]
