"""Which numbers of two sides agree within their intervals, which do not, and what differs in how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from experiments.measure.estimate import Estimate, critical
from experiments.measure.spread import MOST
from experiments.measure.verdict import HolmVerdict, verdicts
from experiments.publish.stated import COUNTED, Made, Place, StatedNumber, StatedNumbers

RULE = (
    "Rule: two numbers agree when the 95 % interval of their difference holds 0. Its ends are those of the two intervals "
    "added in quadrature (Zou & Donner 2008), each turned into a standard error by its own t distribution, or the normal "
    "one where no degrees of freedom are stated; the degrees of freedom of the difference are Welch's. All comparisons are "
    "corrected together (Holm): of two runs that differ by nothing but seeds, at most 5 % show any difference. A rounded "
    "number may be off by half of its last digit. Of numbers without any interval the rule says nothing."
)


@dataclass(frozen=True)
class ComparedNumber:
    """One number that both sides state.

    Args:
        place: what it is of.
        first: as the one states it.
        second: as the other does.
        verdict: on the difference, first less second; None where neither has an interval.
    """

    place: Place
    first: StatedNumber
    second: StatedNumber
    verdict: HolmVerdict | None

    @property
    def same(self) -> bool:
        """Whether both state the same digits."""
        return abs(self.first.value - self.second.value) <= max(self.first.rounding, self.second.rounding) or (
            f"{self.first.value:.9g}" == f"{self.second.value:.9g}"
        )

    @property
    def agrees(self) -> bool:
        """Whether they agree by `RULE`."""
        return self.same or (self.verdict is not None and not (self.verdict.p is not None and self.verdict.p <= 0.05))


@dataclass(frozen=True)
class NumberComparison:
    """All of it.

    Args:
        found: what both state, in the order of the first.
        only_first: how many numbers only the first states.
        only_second: the same of the second.
        differs: by what, what the first and the second say of how they were made, where both do and it is not the same.
        unstated: for the first and the second, what only the other says of how it was made.
        notes: what to know when reading.
    """

    found: tuple[ComparedNumber, ...]
    only_first: int
    only_second: int
    differs: Mapping[str, tuple[str, str]]
    unstated: tuple[tuple[str, ...], tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def apart(self) -> list[ComparedNumber]:
        """Those that do not agree, the surest first."""
        return sorted((one for one in self.found if not one.agrees and one.verdict is not None), key=_surety)

    @property
    def unequal(self) -> list[ComparedNumber]:
        """Those that state no interval and are not equal."""
        return [one for one in self.found if one.verdict is None and not one.same]


def compare(first: StatedNumbers, second: StatedNumbers) -> NumberComparison:
    """Compare what both sides state. Both have to be of one form."""
    assert first.form == second.form, (first.form, second.form)
    others = {frozenset(place): number for place, number in second.numbers.items()}
    shared = [(p, n, others[frozenset(p)]) for p, n in first.numbers.items() if frozenset(p) in others]
    differences = [difference(a, b) for _, a, b in shared]
    judged = iter(verdicts([estimate for estimate in differences if estimate is not None]))
    found = tuple(
        ComparedNumber(place, a, b, None if estimate is None else next(judged))
        for (place, a, b), estimate in zip(shared, differences, strict=True)
    )
    return NumberComparison(
        found,
        len(first.numbers) - len(found),
        len(second.numbers) - len(found),
        *_differs(first.made, second.made),
        tuple(_notes(first, second, found)),
    )


def difference(first: StatedNumber, second: StatedNumber) -> Estimate | None:
    """The first less the second, with a standard error; None where neither has an interval.

    The side of each interval that counts is the one towards the other number.
    """
    gap = first.value - second.value
    sides = [(first, "low" if gap > 0 else "high"), (second, "high" if gap > 0 else "low")]
    limits = [getattr(number, side) for number, side in sides]
    if all(limit is None for limit in limits):
        return None
    errors, freedoms = [], []
    for (number, _), limit in zip(sides, limits, strict=True):
        half = 0.0 if limit is None else abs(limit - number.value)
        errors.append(half / critical(number.freedom))
        freedoms.append(number.freedom or MOST)
        # limits are rounded as values are; a number rounded by r is off by r/√3 (uniform)
        errors.append(number.rounding / sqrt(3))
        freedoms.append(MOST)
    variance = sum(error**2 for error in errors)
    if not variance:
        return Estimate(gap, gap, gap, error=0.0, freedom=MOST)
    parts = sum(error**4 / freedom for error, freedom in zip(errors, freedoms, strict=True))
    freedom = min(variance**2 / parts, MOST) if parts else MOST
    half = critical(freedom) * sqrt(variance)
    return Estimate(gap, gap - half, gap + half, error=sqrt(variance), freedom=freedom)


def _surety(one: ComparedNumber) -> tuple[float, float]:
    p = 0.0 if one.verdict is None or one.verdict.p is None else one.verdict.p
    return p, -abs(one.first.value - one.second.value)


def _differs(first: Made, second: Made) -> tuple[dict[str, tuple[str, str]], tuple[tuple[str, ...], tuple[str, ...]]]:
    """What both state and is not the same; what the first does not state, and what the second does not."""
    pairs = {
        "revision": (" ".join(first.revisions), " ".join(second.revisions)),
        "processor": ("; ".join(first.cpus), "; ".join(second.cpus)),
        "lock": (" ".join(first.locks), " ".join(second.locks)),
    }
    if COUNTED not in first.seeds + second.seeds:
        pairs["seeds"] = (first.seeds, second.seeds)
    for name in sorted({*first.versions, *second.versions}):
        pairs[name] = (" ".join(first.versions.get(name, ())), " ".join(second.versions.get(name, ())))
    differs = {name: (a, b) for name, (a, b) in pairs.items() if a and b and a != b}
    return differs, (
        tuple(name for name, (a, b) in pairs.items() if b and not a),
        tuple(name for name, (a, b) in pairs.items() if a and not b),
    )


def _notes(first: StatedNumbers, second: StatedNumbers, found: Sequence[ComparedNumber]) -> list[str]:
    notes = [RULE]
    same_rows = sum(bool(one.first.rows) and one.first.rows == one.second.rows for one in found)
    ours, theirs = ({*side.made.seeds.split(", ")} - {""} for side in (first, second))
    if COUNTED in first.made.seeds + second.made.seeds and same_rows < len(found):
        notes.append(
            "Which seeds were used is not stated by both. If they are the same, as is usual, their difference varies less "
            "than the rule says and fewer differences are found than there are."
        )
    elif ours & theirs:
        notes.append(
            f"Both use the seeds {', '.join(sorted(ours & theirs))}: what they draw is the same, so that their difference "
            "varies less than the rule says and fewer differences are found than there are."
        )
    if same_rows:
        notes.append(
            f"{same_rows:,} of these numbers are computed from rows with the same keys: the same cells and seeds."
        )
    if any(
        one.verdict is not None and not one.same and None in (one.first.freedom, one.second.freedom) for one in found
    ):
        notes.append(
            "Some numbers state no degrees of freedom: the normal distribution stands in, which with few seeds finds some "
            "differences too many."
        )
    return notes
