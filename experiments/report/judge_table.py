"""What judges say, beside how far they can be believed: their agreement with the task's own program and with each other."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.agreement import Agreement
from experiments.measure.estimate import Estimate
from experiments.measure.judged import PROGRAM, JudgedPair
from experiments.measure.summary import Summary
from experiments.report.grouping import threat_text
from experiments.report.spelling import Value, share
from experiments.report.structure import Column, Table

TEXTS = {
    "released": "released",
    "clean": "released, undefended",
    "student": "student",
    "undefended": "student, undefended",
}
"""By role, whose texts they are."""
UNSHOWN = "agreement not shown"
NO_PROGRAM = "no verdict to compare with"
NOTES = (
    "Rating: mean on the judge's own scale. On scale: how much of what the model would reply is a rating at all, 1 for "
    "ratings by people. Kappa: Cohen's, of the judge's verdict (rating passes or not) with that of the task's program, over "
    "the texts of all seeds, with a 95 % interval (Bayesian bootstrap); 0 is what chance gives. Texts: that both judged. "
    "Length: rank correlation of ratings with the number of tokens; a judge far from 0 may rate length. One text is rated "
    "at a time, so no order of texts can sway the judge.",
    f"{UNSHOWN[0].upper()}{UNSHOWN[1:]}: the interval of kappa includes 0 or lies below it; such ratings are no evidence. "
    "Judged texts are untrusted: what a text says about itself can move a judge.",
)


def judge_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a defense, attack, judge and kind of texts; None where nobody judges."""
    rows: list[dict[str, Value]] = []
    said: list[str] = []
    for s in summaries:
        for texts, judge in s.lengths:
            pair = s.agreements.get(JudgedPair(texts, judge, PROGRAM))
            rows.append(
                {
                    **_named(s, summaries, texts),
                    "judge": judge,
                    "rating": s.estimate(f"rating_{texts}", judge),
                    "mass": s.estimate(f"mass_{texts}", judge).value,
                    "length": s.lengths[texts, judge],
                    **_agreed(pair),
                }
            )
            if pair is not None:
                said.append(f"{judge} with the program ({_where(s, texts)}): {_spelled(pair)}.")
    if not rows:
        return None
    columns = (
        *_identifying(rows, "judge"),
        Column("rating", "rating"),
        Column("mass", "on scale"),
        Column("length", "length"),
        *AGREEMENT,
    )
    return Table("judges", "What judges say", columns, tuple(rows), (*NOTES, *said))


def judges_agree_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a defense, attack, kind of texts and pair of judges; None where no two judge the same."""
    rows = [
        {**_named(s, summaries, pair.texts), "judge": f"{pair.judge}, {pair.other}", **_agreed(found)}
        for s in summaries
        for pair, found in s.agreements.items()
        if pair.other != PROGRAM
    ]
    if not rows:
        return None
    note = "Cohen's kappa of the verdicts of two judges, each by its own scale, over the texts that both rated."
    columns = (*_identifying(rows, "judges"), *AGREEMENT)
    return Table("judges_agree", "How far judges agree with each other", columns, tuple(rows), (note,))


AGREEMENT = (
    Column("kappa", "kappa"),
    Column("same", "same verdict"),
    Column("n", "texts", "count"),
    Column("flag", "caution", "text"),
)


def _agreed(found: Agreement | None) -> dict[str, Value]:
    if found is None:
        return {"kappa": None, "same": None, "n": None, "flag": NO_PROGRAM}
    kappa = Estimate(found.kappa, found.low, found.high)
    return {"kappa": kappa, "same": found.same, "n": found.n, "flag": "" if found.shown else UNSHOWN}


def _spelled(found: Agreement) -> str:
    if not found.n:
        return "no text was judged by both"
    limits = "" if found.low is None or found.high is None else f" [{share(found.low)}, {share(found.high)}]"
    kappa = "undefined, both say the same of all" if found.kappa is None else share(found.kappa)
    flag = "" if found.shown else f"; {UNSHOWN}"
    return f"kappa {kappa}{limits}, {found.n} texts{flag}"


def _where(s: Summary, texts: str) -> str:
    return f"{s.defense}, {s.attack}, {TEXTS.get(texts, texts)}"


def _named(s: Summary, summaries: Sequence[Summary], texts: str) -> dict[str, Value]:
    return {
        "defense": s.defense,
        "attack": s.attack,
        "threat": threat_text(s, summaries),
        "texts": TEXTS.get(texts, texts),
    }


def _identifying(rows: Sequence[dict[str, Value]], judge: str) -> tuple[Column, ...]:
    several = len({str(row["threat"]) for row in rows}) > 1
    return (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if several else []),
        Column("judge", judge, "text", 0),
        Column("texts", "texts of", "text", 0),
    )
