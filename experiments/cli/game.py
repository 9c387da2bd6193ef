"""``moatbench game``: defenses against attacks as a zero-sum game, from stored rows only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from configs.errors import ConfigError
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.grids import experiment_names
from experiments.measure.transfer import POOLED
from experiments.report.file_names import stem
from experiments.store.places import somewhere

COMMAND = "game"
WORDS = ("price=", "family=")
"""What of the words is no override."""
FILES = {"markdown": "md", "csv": "csv", "latex": "tex"}


def main(asked: CommandLine) -> int:
    """Solve the game, print it, and write it in all formats."""
    own, options = own_words(asked.words), asked.options
    name = options.name or (f"{options.kept}_{COMMAND}" if options.kept else None)
    name = stem(name, [f"{one}_{COMMAND}" for one in experiment_names(own.overrides)], COMMAND)
    from experiments.cli.chosen_rows import chosen_rows
    from experiments.report.write_game import write_game

    results, _, out, _ = chosen_rows(own.overrides, options)
    with somewhere(out) as place:
        report = write_game(results, place, name, own.price, own.family)
        if options.format == "terminal":
            report.terminal(consoles.results())
        else:
            print(report.files[FILES[options.format]].read_text(encoding="utf-8"), end="")
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
    return int(place != out)


class GameWords(NamedTuple):
    """What the words say.

    Args:
        overrides: of the cells.
        price: of a point of honest accuracy, in points of transfer.
        family: whose transfer and accuracy.
    """

    overrides: tuple[str, ...]
    price: float = 1.0
    family: str = POOLED


def own_words(words: Sequence[str]) -> GameWords:
    """Take ``price=`` and ``family=`` out of the words.

    Raises:
        ConfigError: a price that is no number, or below 0.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words if word.startswith(WORDS)}
    rest = tuple(word for word in words if not word.startswith(WORDS))
    text = given.get("price", "1")
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise ConfigError("price", text, "must be a number, at least 0: points of transfer for a point of accuracy")
    return GameWords(rest, price, given.get("family", POOLED))
