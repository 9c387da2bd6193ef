"""The strongest attack found on each defense: what it moves on held-out items, and how much more than a passive one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import blank, difference
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.names import seeds_caveat, seeds_text
from experiments.report.spelling import Value, interval, share
from experiments.report.structure import Column, Table

NO_PASSIVE = "no passive attack was searched"
SAME = Estimate(0.0, reason="a passive attack is the strongest")

NOTE = (
    "Transfer on held-out items (pooled) [95 % interval] of the attack that was the best on other items, of the provider's "
    "split, over all seeds: the choice has not seen these. It has seen the same students, so a student that was lucky stays "
    "in. All attacks have the same budgets of queries, data and own compute, on the same interface. Beyond passive: more "
    "than the best attack that does not answer to the defense, chosen in the same way, seed by seed and item by item; 0 "
    "where that is the strongest."
)
KINDS_NOTE = (
    "Before refining: attacks that end with distillation. All: those too that go on without the teacher, such as "
    "reinforcement learning."
)
SEARCH_NOTE = (
    "Successive halving: all in the first seed, the better half in two, then four, until all seeds are used; the best "
    "passive and the best adaptive attack, before and after refining, stay until the end. Accuracy on selection items: "
    "strict, greedy, mean over families and over the seeds of the last round."
)


class ChosenAttack(NamedTuple):
    """What a search found on one defense.

    Args:
        defense: its label.
        what: which attacks: before refining, or all.
        attack: the strongest.
        strongest: its cells.
        passive: name of the best passive attack; None where there is none.
        resting: its cells.
    """

    defense: str
    what: str
    attack: str
    strongest: Summary
    passive: str | None
    resting: Summary | None


class Searched(NamedTuple):
    """How far one candidate came.

    Args:
        defense: on which.
        attack: its name.
        seeds: in how many it was measured; 0 where it was not.
        score: accuracy there; None where it was not.
        why: why it was left out; "" where it was not.
    """

    defense: str
    attack: str
    seeds: int
    score: float | None
    why: str = ""


def strongest_table(found: Sequence[ChosenAttack]) -> Table:
    """A row per defense and kind of attacks. Estimates of the summaries come from all of them together."""
    gaps = estimates(
        [
            difference(one.strongest.headline("transfer", POOLED), one.resting.headline("transfer", POOLED))
            if one.resting is not None and one.passive != one.attack
            else blank(NO_PASSIVE)
            for one in found
        ]
    )
    rows: list[dict[str, Value]] = [
        {
            "defense": one.defense,
            "what": one.what,
            "attack": one.attack,
            "transfer": one.strongest.headline_estimate("transfer", POOLED),
            "passive": one.passive or "",
            "resting": None if one.resting is None else one.resting.headline_estimate("transfer", POOLED),
            "gap": SAME if one.passive == one.attack else gap,
        }
        for one, gap in zip(found, gaps, strict=True)
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        Column("what", "attacks", "text", 0),
        Column("attack", "strongest", "text"),
        Column("transfer", "transfer"),
        Column("passive", "best passive", "text"),
        Column("resting", "its transfer"),
        Column("gap", "beyond passive"),
    )
    summaries = [one.strongest for one in found]
    notes = (NOTE, KINDS_NOTE, _knowledge_note(found), f"Over {seeds_text(summaries)}.", seeds_caveat(summaries))
    return Table(
        "strongest", "Strongest attack found on each defense", columns, tuple(rows), tuple(filter(None, notes))
    )


def _knowledge_note(found: Sequence[ChosenAttack]) -> str:
    """Which of the attacks know more than the API's documentation; "" for none."""
    known = {one.attack: one.strongest.configuration.get("knowledge") for one in found}
    told = ", ".join(f"{attack} ({knowledge})" for attack, knowledge in known.items() if knowledge)
    if not told:
        return ""
    return (
        f"Knowledge is not equal: {told}. What a reasoner of the attacker's own would have taught without the teacher is no "
        "leak: measure it too, as the teacher of an undefended cell."
    )


def search_table(searched: Sequence[Searched]) -> Table:
    """A row per defense and candidate, those that came furthest first."""
    order = list(dict.fromkeys(one.defense for one in searched))
    ranked = sorted(searched, key=lambda one: (order.index(one.defense), -one.seeds, -(one.score or 0.0)))
    rows: list[Mapping[str, Value]] = [
        {"defense": one.defense, "attack": one.attack, "seeds": one.seeds or None, "score": one.score, "why": one.why}
        for one in ranked
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        Column("seeds", "seeds", "count"),
        Column("score", "accuracy on selection items"),
        Column("why", "left out", "text"),
    )
    return Table("search", "Attacks that were searched", columns, tuple(rows), (SEARCH_NOTE,))


def strongest_sentences(found: Sequence[ChosenAttack]) -> list[str]:
    """One for each defense and kind of attacks."""
    rows = strongest_table(found).rows
    return [_sentence(one, row["transfer"], row["gap"]) for one, row in zip(found, rows, strict=True)]


def _sentence(one: ChosenAttack, moved: Value, gap: Value) -> str:
    assert isinstance(moved, Estimate)
    assert isinstance(gap, Estimate)
    kind = "Before refining, the" if one.what != "all" else "Of all attacks, the"
    more = ""
    if gap.value is not None and one.passive != one.attack:
        more = f", {_spelt(gap)} more than {one.passive}"
    return f"{kind} strongest found on {one.defense} is {one.attack}: transfer {_spelt(moved)}{more}."


def _spelt(estimate: Estimate) -> str:
    limits = interval(estimate, "share")
    return f"{'unknown' if estimate.value is None else share(estimate.value)}{f' {limits}' if limits else ''}"
