"""Result rows as committed beside the documentation: of a page's tables, or of the CSV beside it, which has more digits and
the keys. Knows nothing of ranks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import MoatBenchError
from experiments.compose.compose import compose_one
from experiments.publish.page_numbers import PageTable, made_of_page, number_in, page_tables
from experiments.publish.stated import Made, StatedNumber

AXES = ("task", "teacher", "student", "interface", "queries", "data", "accounts")
"""What has to be equal for two rows to be compared."""
TITLE = re.compile(r"(?:Transfer by defense and attack|Strongest attack found on each defense)(?: \((.*)\))?")
SEARCHED = "Attacks that were searched"
COLUMNS = {"api": "interface"}
"""Names of axes in a CSV that pages spell out."""

Threat = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class BoardRow:
    """One defense under one attack, as somebody committed it.

    Args:
        page: stem of the page's name.
        threat: values of `AXES`.
        defense: label, with its strength.
        attack: label.
        transfer: pooled over families.
        honest: accuracy of honest users; None where the page does not state it.
        trace: share of the working that they were shown; None where not stated.
        seeds: how many.
        made: how.
        searched: names of the attacks of which this one was found to be the strongest; () where it was asked for.
        keys: of rows, where a CSV states them.
    """

    page: str
    threat: Threat
    defense: str
    attack: str
    transfer: StatedNumber
    honest: StatedNumber | None
    trace: float | None
    seeds: int
    made: Made
    searched: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The defense without its strength."""
        return bare(self.defense)


@dataclass(frozen=True)
class CommittedRows:
    """What was found.

    Args:
        rows: of all pages.
        printed: pages whose rows are those of their tables, as no CSV is beside them.
        without: pages without such rows.
    """

    rows: tuple[BoardRow, ...]
    printed: tuple[str, ...] = field(default=())
    without: tuple[str, ...] = field(default=())


def bare(label: str) -> str:
    """Names in a label, without what is in brackets: ``kgw(delta=2) + top_k`` is ``kgw + top_k``."""
    while (found := re.sub(r"\s*\([^()]*\)", "", label)) != label:
        label = found
    return label


def committed_rows(folder: Path) -> CommittedRows:
    """The rows of all pages in a folder."""
    rows, printed, without = list[BoardRow](), list[str](), list[str]()
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        made, beside = made_of_page(text), path.with_suffix(".csv")
        if not made.seeds:
            continue  # no page of results
        found = list(_of_csv(path.stem, beside.read_text(encoding="utf-8"), made)) if beside.is_file() else []
        if not found:
            found = list(_of_page(path.stem, text, made))
            printed += [path.stem] if found else []
        without += [] if found else [path.stem]
        rows += found
    return CommittedRows(tuple(rows), tuple(printed), tuple(without))


def _of_page(page: str, text: str, made: Made) -> Iterator[BoardRow]:
    tables = list(page_tables(text))
    searched: dict[str, list[str]] = {}
    for table in tables:
        for row in table.records() if table.title == SEARCHED else ():
            if number_in(row.get("seeds", "")) is not None:
                searched.setdefault(row["defense"], []).append(bare(row["attack"]))
    for table in tables:
        title = TITLE.fullmatch(table.title)
        if title is None:
            continue
        if "strongest" in table.columns:
            yield from _strongest(page, table, made, searched)
        else:
            yield from _main(page, table, title[1] or "", made)


def _main(page: str, table: PageTable, said: str, made: Made) -> Iterator[BoardRow]:
    constant = dict(part.split(" ", 1) for part in said.split(", ") if " " in part)
    for row in table.records():
        transfer = number_in(row.get("pooled", ""))
        threat = _threat({**constant, **row})
        if transfer is not None and threat is not None:
            trace = number_in(row.get("trace seen", ""))
            honest = number_in(row.get("honest accuracy", ""))
            seen = None if trace is None else trace.value
            yield BoardRow(page, threat, row["defense"], row["attack"], transfer, honest, seen, _seeds(made), made)


def _strongest(page: str, table: PageTable, made: Made, searched: Mapping[str, list[str]]) -> Iterator[BoardRow]:
    threat = _threat_of_command(made.command)
    asked = [word.partition("=")[2] for word in made.command.split() if word.startswith("attack=")]
    named = [name for names in asked for name in names.split(",")]  # a long table of all that were searched is left out
    for row in table.records():
        transfer = number_in(row["transfer"])
        if row["attacks"] == "all" and transfer is not None and threat is not None:
            names = tuple(dict.fromkeys(searched.get(row["defense"], named)))
            yield BoardRow(
                page, threat, row["defense"], row["strongest"], transfer, None, None, _seeds(made), made, names
            )


def _of_csv(page: str, text: str, made: Made) -> Iterator[BoardRow]:
    """Rows of a CSV that ``docs/pages.py`` put beside a page."""
    cells: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for line in csv.DictReader(io.StringIO(text)):
        renamed = {COLUMNS.get(name, name): value for name, value in line.items() if value is not None}
        if _threat(renamed) is None or "measure" not in renamed:
            continue
        place = (*(renamed[axis] for axis in AXES), renamed["defense"], renamed["attack"])
        cells.setdefault(place, {}).setdefault(f"{renamed['measure']}/{renamed.get('family', '')}", renamed)
    for found in cells.values():
        transfer = found.get("transfer/pooled")
        if transfer is None or (number := _number(transfer)) is None:
            continue
        threat = _threat(transfer)
        assert threat is not None
        honest, trace = found.get("T_def/all"), found.get("trace_kept/all")
        seen = None if trace is None else _number(trace)
        yield BoardRow(
            page,
            threat,
            transfer["defense"],
            transfer["attack"],
            number,
            None if honest is None else _number(honest),
            None if seen is None else seen.value,
            int(transfer["seeds"]) if transfer.get("seeds", "").isdigit() else _seeds(made),
            made,
            keys=tuple(transfer.get("rows", "").split()),
        )


def _number(line: Mapping[str, str]) -> StatedNumber | None:
    try:
        low, high = (float(line[side]) if line.get(side) else None for side in ("low", "high"))
        return StatedNumber(float(line["value"]), low, high)
    except (LookupError, ValueError):
        return None


def _threat(said: Mapping[str, str]) -> Threat | None:
    if not all(said.get(axis) for axis in AXES):
        return None
    return tuple((axis, said[axis].replace(",", "")) for axis in AXES)


def _threat_of_command(command: str) -> Threat | None:
    """Of a search, whose page says its threat model in its command alone."""
    groups = ("task", "teacher", "student", "api", "budget")
    words = [word for word in command.split() if word.partition("=")[0].partition(".")[0] in groups]
    try:
        plain = compose_one(words).plain
        chosen = dict(word.split("=", 1) for word in words)
        said = {name: chosen.get(name, "mini") for name in ("task", "teacher", "student")}
        budget = {name: str(plain["budget"][name]) for name in ("queries", "data", "accounts")}
        return _threat({**said, "interface": str(plain["api"]["name"]), **budget})
    except (MoatBenchError, LookupError, TypeError):
        return None


def _seeds(made: Made) -> int:
    found = re.match(r"\d+", made.seeds)
    return int(found[0]) if found else 0
