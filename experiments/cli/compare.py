"""``moatbench compare``: two sides that state the same numbers, and whether they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from configs.errors import ConfigError
from configs.text import printable
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine

if TYPE_CHECKING:
    from experiments.publish.compare_numbers import ComparedNumber, NumberComparison
    from experiments.publish.stated import Form, StatedNumber

SHOWN = 20
"""Numbers that are listed without --all."""
SIDES = ("A", "B")


def main(asked: CommandLine) -> int:
    """Compare, print; exit code 1 where some numbers do not agree."""
    if len(asked.words) != 2:
        got = " ".join(asked.words) or "nothing"
        raise ConfigError("compare", got, "must be two: stores, exports, tables as CSV or JSON, or pages of results")
    from experiments.publish.compare_numbers import compare
    from experiments.publish.number_sources import form_of, kept_name, numbers_in

    forms = [form_of(side, word) for side, word in zip(SIDES, asked.words, strict=True)]
    given = [form for form in forms if form is not None]
    if len(set(given)) > 1:
        page = asked.words[forms.index("page")]
        reason = (
            "is a page, which calls its numbers otherwise than a CSV or a JSON: name the page beside that file instead"
        )
        raise ConfigError(SIDES[forms.index("page")], page, reason)
    form: Form = given[0] if given else "measures"
    found = []
    for side, word, other in zip(SIDES, asked.words, reversed(asked.words), strict=True):
        own = asked.options.kept if forms[SIDES.index(side)] is None else None
        name = own or (kept_name(word, other) if form == "page" else None)
        found.append(numbers_in(side, word, form, name))
    result = compare(*found)
    _print(result, [one.label for one in found], asked.options.all)
    return int(bool(result.apart))


def _print(result: NumberComparison, labels: list[str], every: bool) -> None:
    out = consoles.results()

    def say(text: str, style: str = "") -> None:
        out.print(Text(printable(text), style=style), soft_wrap=True)

    for side, label in zip(SIDES, labels, strict=True):
        say(f"{side}: {label}")
    apart = result.apart
    same = sum(one.same for one in result.found)
    unequal = result.unequal
    agree = len(result.found) - same - len(apart) - len(unequal)
    say(
        f"\n{consoles.count(len(result.found), 'number')} stated by both: {same:,} the same, {agree:,} within their "
        f"intervals, {len(apart):,} not; {len(unequal):,} without an interval are not equal",
        "bold",
    )
    say(f"only A states {result.only_first:,} more, only B {result.only_second:,} more")
    if not result.found:
        say("They state no number in common: defenses, strengths, attacks or tables differ.")
    if apart:
        out.print(_table("not within their intervals", apart if every else apart[:SHOWN]))
        if len(apart) > SHOWN and not every:
            say(f"{len(apart) - SHOWN:,} more: --all lists them")
    if unequal and every:
        out.print(_table("not equal, and without an interval", unequal))
    if result.differs:
        table = Table(box=None, pad_edge=False, title="\nmade differently", title_justify="left", title_style="bold")
        for name in ("what", *SIDES):
            table.add_column(name, overflow="fold")
        for name, (first, second) in result.differs.items():
            table.add_row(Text(name), Text(printable(first)), Text(printable(second)))
        out.print(table)
    else:
        say("\nNothing that both state of how they were made differs.")
    for side, other, names in zip(SIDES, reversed(SIDES), result.unstated, strict=True):
        if names:
            say(f"Only {other} states {', '.join(names)}; {side} does not.")
    for note in result.notes:
        say(f"\n{note}", "dim")


def _table(title: str, apart: list[ComparedNumber]) -> Table:
    table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left", title_style="bold")
    for name in ("number", *SIDES, "A − B", "p (Holm)"):
        table.add_column(name, overflow="fold", justify="left" if name == "number" else "right")
    common = set.intersection(*(set(one.place) for one in apart)) if len(apart) > 1 else set()
    for one in apart:
        own = ", ".join(f"{name} {text}" for name, text in one.place if (name, text) not in common)
        p = "" if one.verdict is None or one.verdict.p is None else f"{one.verdict.p:.2g}"
        gap = f"{one.first.value - one.second.value:+.4g}"
        cells = (own or ", ".join(text for _, text in one.place), _spelled(one.first), _spelled(one.second), gap, p)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _spelled(number: StatedNumber) -> str:
    if number.low is None or number.high is None:
        return f"{number.value:.4g}"
    return f"{number.value:.4g} [{number.low:.4g}, {number.high:.4g}]"
