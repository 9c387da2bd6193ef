"""A solved game as tables and words."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.dominance import Dominated
from experiments.report.equilibrium import Equilibrium
from experiments.report.names import family_name
from experiments.report.spelling import Value, enumeration, interval, share
from experiments.report.structure import Column, Table

BLOCK = 4
"""Attacks side by side where a page is narrow."""
RARE = 0.005
"""A method played less often is not named in words."""
MIXTURE = "attacker's mixture"
SHOWN, BY_VALUES = "by intervals", "by the values only"


def payoff_table(game: Equilibrium, price: float, family: str) -> Table:
    """A row per defense, a column per attack; the mixtures at its margins."""
    attacks = game.payoffs.attacks
    blocks = range(0, len(attacks), BLOCK)
    columns = (
        Column("defense", "defense", "text", 0),
        Column("played", "played", "share", 0),
        *(Column(f"attack {i}", name, "share", 1 + i // BLOCK) for i, name in enumerate(attacks)),
    )
    rows: list[dict[str, Value]] = [
        {"defense": name, "played": game.provider[r].value} | {f"attack {c}": e for c, e in enumerate(game.losses[r])}
        for r, name in enumerate(game.payoffs.defenses)
    ]
    rows.append({"defense": MIXTURE} | {f"attack {c}": e.value for c, e in enumerate(game.attacker)})
    title = "Loss of the provider by defense and attack"
    return Table(
        "game",
        title + (f" ({game.payoffs.setting})" if game.payoffs.setting else ""),
        columns,
        tuple(rows),
        (_loss_note(price, family), *game.payoffs.left_out, *_seed_note(game)),
        tuple("" for _ in blocks),
    )


def method_table(game: Equilibrium) -> Table:
    """A row per method of each side: how often it is played, what it meets, what beats it."""
    sides = (
        ("provider", game.payoffs.defenses, game.provider, game.against[0], game.defenses),
        ("attacker", game.payoffs.attacks, game.attacker, game.against[1], game.attacks),
    )
    rows: list[dict[str, Value]] = []
    for side, names, played, against, beaten in sides:
        by = {one.method: one for one in beaten}
        rows += [
            {
                "side": side,
                "method": name,
                "played": played[i],
                "against": against[i],
                "dominated": names[by[i].by] if i in by else "",
                "how": _how(by.get(i)),
            }
            for i, name in enumerate(names)
        ]
    columns = (
        Column("side", "side", "text", 0),
        Column("method", "method", "text", 0),
        Column("played", "played"),
        Column("against", "loss against the other's mixture"),
        Column("dominated", "dominated by", "text"),
        Column("how", "shown", "text"),
    )
    notes = (
        "Played: probability in the minimax mixture [95 % of the mixtures of the redrawn matrices]; where several mixtures "
        "do equally well, it is one of them. Loss against the other's mixture: every method that is played has the value of "
        "the game there.",
        "Dominated: another method of the same side is strictly better against everything that the other side has. By "
        "intervals: the 95 % interval of the paired difference says so against each of these; by the values only: it does "
        "not say so everywhere.",
    )
    title = "Minimax mixtures" + (f" ({game.payoffs.setting})" if game.payoffs.setting else "")
    return Table("mixtures", title, columns, tuple(rows), notes)


def sentence(game: Equilibrium) -> str:
    """The value, the mixtures, and what mixing is worth."""
    where = f" ({game.payoffs.setting})" if game.payoffs.setting else ""
    limits = interval(game.value, "share")
    pure = game.alone
    best, strongest = game.payoffs.defenses[pure.row], game.payoffs.attacks[pure.column]
    return (
        f"The value of the game{where} is {share(game.value.value or 0.0)}{f' {limits}' if limits else ''}: the provider "
        f"plays {_mixture(game, 0)}, the attacker {_mixture(game, 1)}. Without mixing, {best} loses {share(pure.minmax)} at "
        f"most and {strongest} gains {share(pure.maxmin)} at least."
    )


def _mixture(game: Equilibrium, side: int) -> str:
    names, played = ((game.payoffs.defenses, game.provider), (game.payoffs.attacks, game.attacker))[side]
    known = sorted(((e.value or 0.0, name) for name, e in zip(names, played, strict=True)), key=lambda pair: -pair[0])
    parts = [f"{name} ({round(100 * value)} %)" for value, name in known if value >= RARE]
    return enumeration(parts)


def _how(one: Dominated | None) -> str:
    return "" if one is None else SHOWN if one.shown else BY_VALUES


def _loss_note(price: float, family: str) -> str:
    return (
        f"Loss = transfer ({family_name(family)}) + {price:g} × drop of honest accuracy [95 % interval]. The provider wants "
        "it small, the attacker large. Of a defense the drop is the mean over the attacks: it moves no choice of the "
        "attacker's, who gains the transfer."
    )


def _seed_note(game: Equilibrium) -> Sequence[str]:
    seeds = len(game.payoffs.seeds)
    if seeds == 1:
        return ("With 1 seed the intervals cover held-out items only, not teachers or training runs.",)
    return (f"Over {seeds} seeds that every pair has.",)
