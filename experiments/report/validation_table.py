"""Published findings held against the lab: one row a claim with its verdict, one row a ground with its effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from experiments.report.finding import Finding, Judge, Outcome
from experiments.report.spelling import Value, enumeration
from experiments.report.structure import Column, Table

Judged = tuple[Judge, Finding | None]
"""A claim, and what its own cells say of it; None where they do not let it be judged."""

AGREEMENT: dict[Outcome | None, str] = {
    "holds": "agrees",
    "fails": "disagrees",
    "partly": "agrees in part",
    "undecided": "undecided",
    None: "not judged",
}
COUNTED = {
    "agrees": ("agrees", "agree"),
    "disagrees": ("disagrees", "disagree"),
    "agrees in part": ("agrees in part", "agree in part"),
    "undecided": ("is undecided", "are undecided"),
    "not judged": ("is not judged", "are not judged"),
}
"""What is said of one, and of several."""
WHAT_AGREEMENT_MEANS = (
    "Agrees: all of the evidence supports the claim. Disagrees: some contradicts it and none supports it. In part: some "
    "supports, some contradicts. Undecided: nothing contradicts it, and some evidence is open. Not judged: its cells are "
    "not all there. The grounds of one claim are corrected together (Holm), so that at most 5 % of validations misjudge a "
    "given claim by the luck of seeds; signs and orders are claimed, not sizes."
)


def validation_tables(judged: Sequence[Judged]) -> list[Table]:
    """The verdicts, the grounds they rest on, and the claims' own tables."""
    own = [finding.table for _, finding in judged if finding is not None and finding.table is not None]
    return [_verdicts(judged), _grounds(judged), *own]


def validation_words(judged: Sequence[Judged]) -> list[str]:
    """How many claims agree, and what was found of each."""
    found = Counter(_agreement(finding) for _, finding in judged)
    counts = [f"{found[word]} {verb[found[word] > 1]}" for word, verb in COUNTED.items() if found[word]]
    words = [f"Of {len(judged)} published findings {enumeration(counts)}."]
    return words + [f"{_called(claim)}: {f.sentence}" for claim, f in judged if f is not None and f.sentence]


def _called(claim: Judge) -> str:
    return f"{claim.label} {claim.name}".strip()


def _agreement(finding: Finding | None) -> str:
    return AGREEMENT[None if finding is None else finding.verdict]


def _verdicts(judged: Sequence[Judged]) -> Table:
    rows: list[dict[str, Value]] = [
        {
            "claim": _called(claim),
            "predicted": claim.statement,
            "source": claim.source,
            "verdict": _agreement(finding),
        }
        for claim, finding in judged
    ]
    columns = (
        Column("claim", "claim", "text", 0),
        Column("verdict", "verdict", "text"),
        Column("predicted", "predicted", "text"),
        Column("source", "source", "text"),
    )
    return Table(
        "validation", "Published findings and what the lab shows", columns, tuple(rows), (WHAT_AGREEMENT_MEANS,)
    )


def _grounds(judged: Sequence[Judged]) -> Table:
    rows: list[dict[str, Value]] = [
        {
            "claim": _called(claim),
            "what": ground.what,
            "effect": ground.found.estimate,
            "p": ground.found.p,
            "says": ground.says,
        }
        for claim, finding in judged
        if finding is not None
        for ground in finding.evidence
    ]
    columns = (
        Column("claim", "claim", "text", 0),
        Column("what", "what was measured", "text", 0),
        Column("effect", "effect"),
        Column("p", "p (Holm)", "p"),
        Column("says", "says", "text"),
    )
    note = "Effect with its interval over seeds, at the level of its Holm step: never narrower than 95 %."
    return Table("grounds", "What the verdicts rest on", columns, tuple(rows), (note,))
