"""What a paper's caption has to say of the numbers beneath it: unit, intervals, seeds, choices, marks."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate
from experiments.measure.summary import Summary
from experiments.report.names import seeds_text
from experiments.report.paper.display_names import called
from experiments.report.paper.numerals import numeral
from experiments.report.paper.paper_table import Heading, PaperEntry
from experiments.report.paper.table_spec import DISTILLED, REFINED, WORST, TableSpec
from experiments.report.spelling import LEGEND, MARKS, enumeration

BEST = {
    "alone": "Bold: the best of its column, where it is told apart from all others.",
    "tied": "Bold: the best of its column and all that are not told apart from it.",
    "value": "Bold: the best value of its column, whether or not it is told apart from others.",
}
APART = "Told apart: the paired difference's 95 % interval excludes 0, corrected for all pairs of the column (Holm)."
LETTERS = (
    "Values of a column that share a letter are not told apart, which does not say that they are equal. "
    "{pairs} a column at most, compared by seed and item."
)
CHOSEN = {
    WORST: "the attack that moves most",
    DISTILLED: "the most successful attack that ends with distillation",
    REFINED: "the most successful attack that goes on without the teacher",
}


def explained(
    spec: TableSpec,
    cells: Sequence[Summary],
    headings: Sequence[Heading],
    rows: Sequence[Sequence[PaperEntry]],
    dropped: Sequence[tuple[Heading, list[PaperEntry]]],
    empty: Sequence[str] = (),
) -> str:
    """The sentences; "" where the file asks for none.

    Args:
        spec: the file.
        cells: behind the table.
        headings: of its columns.
        rows: its entries.
        dropped: columns that are not shown, since all rows say the same there.
        empty: names of rows that are not shown, since they have none of the numbers.
    """
    if not spec.explain:
        return ""
    entries = [entry for row in rows for entry in row]
    values = [e.value for e in entries if isinstance(e.value, Estimate)]
    limits = any(e.low is not None for e in values) and spec.intervals != "none"
    share = any(h.kind == "share" for h in headings)
    unit = "per cent" if spec.percent and share else ""
    said = ", ".join(filter(None, (unit, "95 % intervals in brackets" if limits else "", seeds_text(cells))))
    sentences = [said[:1].upper() + said[1:] + "."]
    if any(h.key.startswith("transfer") for h in headings):
        sentences.append("Transfer: share of the teacher's advantage over the base student that the student gained.")
    sentences += _attack(spec)
    sentences += _choices(spec)
    compared = any(h.better for h in headings)
    if compared and any(len(s.seeds) > 1 for s in cells):
        if spec.best != "none" and any(e.bold for e in entries):
            sentences.append(BEST[spec.best])
        elif spec.best == "alone":
            sentences.append("Nothing is bold: no value is told apart from all others of its column.")
        if spec.letters and any(e.letters for e in entries):
            most = max(sum(bool(row[i].letters) for row in rows) for i in range(len(headings)))
            sentences.append(LETTERS.format(pairs="1 pair" if most == 2 else f"{most * (most - 1) // 2:,} pairs"))
        elif spec.letters and any(e.value is not None for e in values):
            sentences.append("No letters: the columns would need too many.")
        if spec.best in ("alone", "tied") or spec.letters:
            sentences.append(APART)
    elif compared and (spec.best != "none" or spec.letters):
        sentences.append("With one seed nothing is told apart.")
    marks = [mark for mark in MARKS if any(e.mark == mark for e in values)]
    sentences += [f"{LEGEND[mark][:1]}: {LEGEND[mark][2:]}." for mark in marks]
    if any(h.key.partition("_less_")[1] for h in headings):
        bases = dict.fromkeys(called(c.less, spec).plain for c in spec.columns if c.less)
        sentences.append(f"Differences to {enumeration(list(bases))} are paired and corrected for their column (Holm).")
    same = [_same(h, e[0], spec) for h, e in dropped if e and e[0].value is not None]
    sentences += [f"The same in all rows: {enumeration(same)}."] if same else []
    sentences += [f"Not shown, without such a number: {enumeration(empty)}."] if empty else []
    return " ".join(sentences)


def _attack(spec: TableSpec) -> list[str]:
    """Which attack the numbers are of, where it is one by name."""
    if not spec.attack or spec.attack in CHOSEN:
        return []
    others = any(c.attack not in ("", spec.attack) or c.by == "attack" for c in spec.columns)
    return [f"Attack: {called(spec.attack, spec).plain}{', where a column names no other' if others else ''}."]


def _choices(spec: TableSpec) -> list[str]:
    """How attacks and strengths were chosen."""
    asked = list(dict.fromkeys(x for x in (spec.attack, *(c.attack for c in spec.columns)) if x in CHOSEN))
    found = []
    if asked:
        told = enumeration([CHOSEN[one] for one in asked])
        found.append(
            f"Attacks chosen by result: {told} (pooled transfer on the same items; intervals take it as given)."
        )
    if spec.strength == "dearest":
        found.append("Of each defense the measured strength that costs honest users the most.")
    if spec.strength == "within":
        found.append(
            "Of each defense the measured strength that costs honest users the most, up to "
            f"{100 * spec.limit:g} points of accuracy."
        )
    return found


def _same(heading: Heading, entry: PaperEntry, spec: TableSpec) -> str:
    title = " ".join(filter(None, (heading.group, heading.title))).lower()
    value = entry.value
    told = numeral(value, heading.kind, spec) if not isinstance(value, str) else value
    return f"{title} {told}"
