"""Numbers of a page of results: of its tables, cell by cell, and of the line that says how it was made. Reads Markdown as
`experiments.report.markdown` and ``docs/pages.py`` write it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from experiments.publish.stated import Made, StatedNumber, StatedNumbers

CELL = re.compile(
    r"(?P<minus>[−-]?)\$?(?P<value>[\d,]*\.?\d+)[*†‡§]*"
    r"(?: \[(?P<low>[−-]?[\d,]*\.?\d+), (?P<high>[−-]?[\d,]*\.?\d+)\])?(?: s| %)?"
)
RULE = re.compile(r"\|(?:-+:?\|)+")
MADE = re.compile(r"\*(?P<days>\d{4}-\d\d-\d\d[^;]*); (?P<said>.*)\.\* ?`(?P<command>[^`]*)`")
REVISION = re.compile(r"revision ([0-9a-f+ and]+)")
SEEDS = re.compile(r"(\d+) seeds?\b")
PACKAGES = re.compile(r"packages [^(]*\((?P<versions>[^)]*)\)")
CORES = re.compile(r"\d+ cores? of ([^;]+)")


class PageTable(NamedTuple):
    """A table of a page.

    Args:
        title: of its section.
        columns: headings.
        numeric: of each column, whether it is set to the right.
        rows: cells as text, escapes taken back.
    """

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]

    def records(self) -> list[dict[str, str]]:
        """Rows by heading."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def page_tables(text: str) -> Iterator[PageTable]:
    """The tables of a page, in order. Lines that are no table are passed over."""
    title, lines, at = "", text.splitlines(), 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("#"):
            title = plain(line.lstrip("# "))
        if line.startswith("|") and at + 1 < len(lines) and RULE.fullmatch(lines[at + 1]):
            columns, rule = _cells(line), lines[at + 1].strip("|").split("|")
            at += 2
            rows = []
            while at < len(lines) and lines[at].startswith("|"):
                cells = _cells(lines[at])
                rows += [cells] if len(cells) == len(columns) else []
                at += 1
            if len(rule) == len(columns):
                yield PageTable(title, columns, tuple(part.endswith(":") for part in rule), tuple(rows))
        else:
            at += 1


def page_numbers(text: str, label: str) -> StatedNumbers:
    """Every number of every table: called by the table's title, the row's texts and the column's heading.

    Args:
        text: of the page.
        label: how the page is called in messages.
    """
    numbers: dict[tuple[tuple[str, str], ...], StatedNumber] = {}
    for table in page_tables(text):
        seen = Counter[tuple[str, ...]]()
        for row in table.rows:
            texts = tuple(cell for cell, number in zip(row, table.numeric, strict=True) if not number)
            names = [name for name, number in zip(table.columns, table.numeric, strict=True) if not number]
            seen[texts] += 1
            again = [("row", str(seen[texts]))] if seen[texts] > 1 else []
            for cell, name, number in zip(row, table.columns, table.numeric, strict=True):
                found = number_in(cell) if number else None
                if found is not None:
                    place = (("table", table.title), *zip(names, texts, strict=True), *again, ("column", name))
                    numbers[place] = found
    return StatedNumbers(label, "page", numbers, made_of_page(text))


def number_in(cell: str) -> StatedNumber | None:
    """The number of a cell, None where it holds none. What is printed is rounded: by half of its last digit at most."""
    found = CELL.fullmatch(cell.strip())
    if found is None:
        return None
    digits = len(found["value"].partition(".")[2])
    low, high = (None if found[side] is None else _float(found[side]) for side in ("low", "high"))
    return StatedNumber(_float(found["minus"] + found["value"]), low, high, rounding=0.5 * 10.0**-digits)


def made_of_page(text: str) -> Made:
    """What the line below the heading says; nothing where there is no such line."""
    found = next((match for line in text.splitlines()[:5] if (match := MADE.match(line))), None)
    if found is None:
        return Made()
    said = plain(found["said"])
    revision, seeds, packages = REVISION.search(said), SEEDS.search(said), PACKAGES.search(said)
    versions: dict[str, tuple[str, ...]] = {}
    for part in packages["versions"].split(", ") if packages else ():
        name, _, told = part.partition(" ")
        versions[name] = tuple(told.split(" and "))
    return Made(
        revisions=tuple(revision[1].strip().split(" and ")) if revision else (),
        cpus=tuple(dict.fromkeys(cpu.strip() for cpu in CORES.findall(said))),
        versions=versions,
        seeds=seeds[0] if seeds else "",
        command=found["command"],
    )


def plain(text: str) -> str:
    """Text without the escapes of `experiments.report.markdown.escape`."""
    return re.sub(r"\\(.)", r"\1", text)


def _cells(line: str) -> tuple[str, ...]:
    """Between bars that are not escaped."""
    found = re.findall(r"((?:\\.|[^\\|])*)\|", line.strip().removeprefix("|"))
    return tuple(plain(part).strip() for part in found)


def _float(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))
