"""Leaderboards from committed rows: defenses by what the worst attack on them moves where they cost honest users no more
than others do, and attacks by what the best defense leaves them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from experiments.publish.leaderboard_rows import BoardRow, CommittedRows, Threat, bare, committed_rows
from experiments.publish.stated import StatedNumber
from experiments.report.markdown import escape
from experiments.report.spelling import share

CLASSES = (1.0, 5.0)
"""Points of honest accuracy that a defense may cost at most."""
ROUNDING = 0.5
"""Points by which the drop of printed accuracies may be off, which is not held against a defense."""
LEAST_ATTACKS, LEAST_SEEDS, LEAST_DEFENSES = 4, 3, 4
UNDEFENDED = "none"

HEAD = """\
# Leaderboard

Written by `python docs/generate.py` from the rows that are committed in [results](results/index.md): nothing here was
measured for this page. All on the mini world; see [its limits](mini-world.md#known-limits) before carrying a rank anywhere
else. Yours can be here: [community](../community/README.md).

**Defenses against the worst attack, at equal honest accuracy.** Of each defense the strength counts that leaves the worst
attack least while honest users lose at most so many points of accuracy against no defense. The worst attack is the one that
moved most (pooled transfer, see [measures.md](measures.md)) of all that any page tried on that strength under that threat
model; a page of searches counts with all attacks that it searched. A defense that met fewer than {attacks} attacks is not
ranked, nor is a row of fewer than {seeds} seeds. A rank is by the value alone: **where intervals overlap, the order is not
established**. ✓ marks those whose interval lies wholly below that of no defense. The interval takes the choice of
attack and strength as given, which on some pages was made on the same items. Not all defenses met the same attacks: one
that never met an attack made for it stands too well, so look at how many it met. Hiding the working costs no accuracy: one
column says how much of it honest users still see.

**Attacks against the best defense.** For each attack, the defense that leaves it least, of those that cost honest users at
most {points:g} points and that a page tried it on ({defenses} at least). An attack ranks high if no defense holds it.
"""


class Placing(NamedTuple):
    """A line of a board.

    Args:
        worst: the row that it is ranked by.
        honest: accuracy of honest users behind the defense.
        drop: points that this is below no defense.
        trace: share of the working that honest users see; None where no page states it.
        attacks: names of all that were tried.
    """

    worst: BoardRow
    honest: StatedNumber
    drop: float
    trace: float | None
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class ThreatBoard:
    """All that is known under one threat model.

    Args:
        threat: which.
        standings: of every strength of every defense whose cost is known, the undefended API included.
        open: defenses whose cost to honest users no page states.
        rows: single cells, for the attacks.
    """

    threat: Threat
    standings: tuple[Placing, ...]
    open: tuple[str, ...]
    rows: tuple[BoardRow, ...]

    @property
    def undefended(self) -> Placing | None:
        """The API without a defense."""
        return next((one for one in self.standings if one.worst.defense == UNDEFENDED), None)

    def ranked(self, points: float) -> list[Placing]:
        """Of each defense its best strength within a cost, the best first."""
        best: dict[str, Placing] = {}
        for one in self.standings:
            known = best.get(one.worst.name)
            allowed = one.drop <= points + ROUNDING and len(one.attacks) >= LEAST_ATTACKS
            if allowed and (known is None or one.worst.transfer.value < known.worst.transfer.value):
                best[one.worst.name] = one
        return sorted(best.values(), key=lambda one: (one.worst.transfer.value, one.worst.defense))

    def short(self, points: float) -> dict[str, int]:
        """Defenses within a cost that met too few attacks, with how many."""
        ranked = {one.worst.name for one in self.ranked(points)}
        found: dict[str, int] = {}
        for one in self.standings:
            if one.worst.name not in ranked and one.drop <= points + ROUNDING:
                found[one.worst.name] = max(found.get(one.worst.name, 0), len(one.attacks))
        return dict(sorted(found.items()))

    def attacks(self, points: float) -> list[tuple[BoardRow, int, BoardRow | None]]:
        """Of each attack the row of the defense that leaves it least, how many defenses it met, and its undefended row."""
        costs = {one.worst.defense: one.drop for one in self.standings}
        met: dict[str, list[BoardRow]] = {}
        for row in self.rows:
            if row.defense != UNDEFENDED and costs.get(row.defense, points + 1) <= points:
                met.setdefault(row.attack, []).append(row)
        bases = {row.attack: row for row in self.rows if row.defense == UNDEFENDED}
        found = [
            (min(rows, key=lambda row: row.transfer.value), len({row.name for row in rows}), bases.get(attack))
            for attack, rows in met.items()
            if len({row.name for row in rows}) >= LEAST_DEFENSES
        ]
        return sorted(found, key=lambda one: (-one[0].transfer.value, one[0].attack))


def boards(rows: Iterable[BoardRow]) -> list[ThreatBoard]:
    """A board for each threat model, that with most defenses first."""
    groups: dict[Threat, list[BoardRow]] = {}
    for row in rows:
        if row.seeds >= LEAST_SEEDS:
            groups.setdefault(row.threat, []).append(row)
    found = [_board(threat, own) for threat, own in groups.items()]
    return sorted(found, key=lambda board: (-len(board.standings), board.threat))


def _board(threat: Threat, rows: Sequence[BoardRow]) -> ThreatBoard:
    by_defense: dict[str, list[BoardRow]] = {}
    for row in rows:
        by_defense.setdefault(row.defense, []).append(row)
    base = _honest(by_defense.get(UNDEFENDED, ()))
    standings, unknown = list[Placing](), list[str]()
    for defense, own in by_defense.items():
        honest = _honest(own)
        if honest is None or base is None:
            unknown.append(defense)
            continue
        drop = round(100 * (base.value - honest.value), 1)
        tried = tuple(dict.fromkeys(name for row in own for name in (bare(row.attack), *row.searched)))
        trace = next((row.trace for row in own if row.trace is not None), None)
        standings.append(Placing(max(own, key=lambda row: row.transfer.value), honest, drop, trace, tried))
    singles = tuple(row for row in rows if not row.searched)
    return ThreatBoard(threat, tuple(standings), tuple(sorted(unknown)), singles)


def _honest(rows: Iterable[BoardRow]) -> StatedNumber | None:
    """The lowest that any of the rows states: a defense may treat honest users worse under one attack than another."""
    known = [row.honest for row in rows if row.honest is not None]
    return min(known, key=lambda number: number.value) if known else None


def leaderboard(folder: Path) -> str:
    """The page, in Markdown.

    Args:
        folder: of the pages of results.
    """
    found = committed_rows(folder)
    head = HEAD.format(
        attacks=LEAST_ATTACKS, seeds=LEAST_SEEDS, points=CLASSES[-1], defenses=f"{LEAST_DEFENSES} defenses"
    )
    parts = [head.rstrip()]
    shown = [board for board in boards(found.rows) if len(board.ranked(CLASSES[-1])) > LEAST_DEFENSES]
    parts += [part for board in shown for part in _section(board)]
    parts += ["## Where the rows are from", _sources(found, {board.threat for board in shown})]
    return "\n\n".join(parts) + "\n"


def _section(board: ThreatBoard) -> list[str]:
    told = ", ".join(f"{axis} {int(value):,}" if value.isdigit() else f"{axis} {value}" for axis, value in board.threat)
    parts = [f"## {escape(told[0].upper() + told[1:])}"]
    for points in CLASSES:
        ranked = board.ranked(points)
        if points > CLASSES[0] and ranked == board.ranked(CLASSES[0]):
            parts.append(f"At most {points:g} points: the same.")
            continue
        parts.append(f"### Defenses that cost at most {points:g} point{'s' if points != 1 else ''} of honest accuracy")
        parts.append(_defenses(ranked, board.undefended))
        if short := board.short(points):
            few = ", ".join(f"{escape(name)} ({number})" for name, number in short.items())
            parts.append(f"Not ranked, with the number of attacks that they met: {few}.")
    if board.open:
        unknown = ", ".join(map(escape, board.open))
        parts.append(f"Not ranked, as no page states what they cost honest users here: {unknown}.")
    if attacks := board.attacks(CLASSES[-1]):
        parts += ["### Attacks against the best defense", _attacks(attacks)]
    return parts


def _defenses(ranked: Sequence[Placing], undefended: Placing | None) -> str:
    base = None if undefended is None else undefended.worst.transfer.low
    head = (
        "",
        "defense",
        "worst attack",
        "transfer",
        "",
        "honest accuracy",
        "drop",
        "trace seen",
        "attacks",
        "seeds",
        "from",
    )
    rows = [
        (
            str(number),
            escape(one.worst.defense),
            escape(one.worst.attack),
            _spelled(one.worst.transfer),
            "✓" if base is not None and (one.worst.transfer.high or 1.0) < base else "",
            _spelled(one.honest),
            f"{one.drop:.1f}".replace("-", "−"),
            "–" if one.trace is None else share(one.trace),
            str(len(one.attacks)),
            str(one.worst.seeds),
            _from(one.worst),
        )
        for number, one in enumerate(ranked, start=1)
    ]
    return _grid(head, rows, right=(0, 3, 5, 6, 7, 8, 9))


def _attacks(found: Sequence[tuple[BoardRow, int, BoardRow | None]]) -> str:
    head = ("", "attack", "transfer", "against", "undefended", "defenses", "seeds", "from")
    rows = [
        (
            str(number),
            escape(row.attack),
            _spelled(row.transfer),
            escape(row.defense),
            "–" if base is None else _spelled(base.transfer),
            str(met),
            str(row.seeds),
            _from(row),
        )
        for number, (row, met, base) in enumerate(found, start=1)
    ]
    return _grid(head, rows, right=(0, 2, 4, 5, 6))


def _from(row: BoardRow) -> str:
    """A link to the page, its revision, and the first key where it is known."""
    revisions = row.made.revisions
    more = f" and {len(revisions) - 1} more" if len(revisions) > 1 else ""
    key = f", row `{row.keys[0]}`" if row.keys else ""
    return (
        f"[{escape(row.page)}](results/{row.page}.md) at {escape(revisions[0] if revisions else 'unknown')}{more}{key}"
    )


def _sources(found: CommittedRows, shown: Container[Threat]) -> str:
    enough = [row for row in found.rows if row.seeds >= LEAST_SEEDS]
    pages = dict.fromkeys(row.page for row in enough if row.threat in shown)
    alone = dict.fromkeys(row.page for row in enough if row.page not in pages)
    few = dict.fromkeys(row.page for row in found.rows if row.seeds < LEAST_SEEDS)
    lines = [f"- Ranked: {_linked(pages)}."]
    if alone:
        lines.append(
            f"- Under threat models for which fewer than {LEAST_DEFENSES + 1} defenses could be ranked: {_linked(alone)}."
        )
    if found.printed:
        lines.append(
            "- Without a CSV beside the page, so that printed numbers (two digits, no keys of rows) stand in: "
            f"{_linked(found.printed)}. "
            "`python docs/pages.py` writes one when the page is made again."
        )
    if few:
        lines.append(f"- Left out, of fewer than {LEAST_SEEDS} seeds: {_linked(few)}.")
    if found.without:
        lines.append(f"- Without rows of defenses under attacks: {_linked(found.without)}.")
    return "\n".join(lines)


def _linked(pages: Iterable[str]) -> str:
    return ", ".join(f"[{escape(page)}](results/{page}.md)" for page in pages)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int]) -> str:
    rule = "|" + "|".join("--:" if at in right else "---" for at in range(len(head))) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def _spelled(number: StatedNumber) -> str:
    if number.low is None or number.high is None:
        return share(number.value)
    return f"{share(number.value)} [{share(number.low)}, {share(number.high)}]"
