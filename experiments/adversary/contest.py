"""The search for the strongest attack on one defense, as far as the store knows.

Nothing is kept of a search but the scores of students, which are stages: going over them again finds how far it is. The
choice is made on items of the provider's split, which no attacker is given and no final score uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from experiments.adversary.candidates import Candidate
from experiments.adversary.halving import kept, rounds
from experiments.cell_from import cell_from
from experiments.compose.interning import Interning
from experiments.stages.selected_scores import SelectionStage
from experiments.store.entry import Entry
from experiments.store.stage import Stage
from experiments.store.store import Store


class Compared(NamedTuple):
    """What is known of one candidate: its accuracy on selection items over so many seeds."""

    seeds: int
    score: float


class Standing(NamedTuple):
    """How far a search is.

    Args:
        seeds: of the round that is on.
        left: names of the candidates in it.
        missing: what has to be measured before it can be decided, with its candidate; () where the search is over.
        known: of each candidate, what the last round that it was in says; the round that is on is not in it.
    """

    seeds: int
    left: tuple[str, ...]
    missing: tuple[tuple[SelectionStage, str], ...]
    known: Mapping[str, Compared]


class Chosen(NamedTuple):
    """The strongest of the candidates of one kind.

    Args:
        what: which kind: before refining, or all.
        strongest: its name.
        passive: the best that does not answer to the defense; None where there is none.
    """

    what: str
    strongest: str
    passive: str | None


BEFORE, ALL_ATTACKS = "before refining", "all"


@dataclass(frozen=True)
class Contest:
    """A search.

    Args:
        defense: its label.
        candidates: by name, in order.
        left_out: by name, why an attack is no candidate.
        seeds: all; a round takes the first of them.
        interning: shares what cells have in common.
    """

    defense: str
    candidates: Mapping[str, Candidate]
    left_out: Mapping[str, str]
    seeds: tuple[int, ...]
    interning: Interning = field(default_factory=Interning, repr=False, compare=False)

    def stage(self, name: str, seed: int) -> SelectionStage:
        """What measures a candidate in one seed."""
        return cell_from(self.candidates[name].at(seed).plain, self.interning).selection_stage()

    def standing(self, store: Store, failed: Mapping[str, str]) -> Standing:
        """Go over the rounds as far as they are stored.

        Args:
            store: where scores are.
            failed: candidates that cannot be measured, with the reason.
        """
        left = [name for name in self.candidates if name not in failed]
        known: dict[str, Compared] = {}
        every = rounds(len(self.seeds))
        for count in every:
            stages = {name: [self.stage(name, seed) for seed in self.seeds[:count]] for name in left}
            missing = [(stage, name) for name, own in stages.items() for stage in own if not store.has(stage)]
            if missing:
                return Standing(count, tuple(left), tuple(missing), known)
            scores = {name: _mean(own, store.get) for name, own in stages.items()}
            known |= {name: Compared(count, score) for name, score in scores.items()}
            if count < every[-1]:
                left = kept(scores, {name: self.candidates[name].league for name in left})
        return Standing(every[-1], tuple(left), (), known)

    def chosen(self, standing: Standing) -> list[Chosen]:
        """What a finished search found: by accuracy on selection items over all seeds."""
        found = []
        for what in (BEFORE, ALL_ATTACKS):
            own = [name for name in standing.left if what == ALL_ATTACKS or not self.candidates[name].refines]
            passive = [name for name in own if not self.candidates[name].adaptive]
            if own:
                best = max(own, key=lambda name: standing.known[name].score)  # the first of equal ones
                rest = max(passive, key=lambda name: standing.known[name].score) if passive else None
                found.append(Chosen(what, best, rest))
        return found

    def most_students(self) -> list[tuple[int, int]]:
        """Seeds of each round, and how many candidates it has at least if nothing fails: those that halving leaves."""
        found, left = [], len(self.candidates)
        for count in rounds(len(self.seeds)):
            found.append((count, left))
            left = (left + 1) // 2
        return found


def _mean(stages: list[SelectionStage], read: Callable[[Stage], Entry | None]) -> float:
    """Strict greedy accuracy, mean over families, then over seeds."""
    return sum(_accuracy(read(stage)) for stage in stages) / len(stages)


def _accuracy(entry: Entry | None) -> float:
    assert entry is not None, "a stage that is stored"
    items = entry.table("items").filter(pl.col("decoding") == "greedy")
    families = items.group_by("family").agg(pl.col("strict").cast(pl.Float64).mean()).sort("family")
    return float(families["strict"].to_numpy().mean())
