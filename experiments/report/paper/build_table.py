"""From the cells of a report and a file of ``configs/table`` to a table of a paper."""

from __future__ import annotations

from collections.abc import Sequence

from configs.errors import ConfigError, MoatBenchError
from experiments.measure.estimate import Estimate
from experiments.measure.quantity import Quantity
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report import latex
from experiments.report.names import AXES
from experiments.report.paper.captions import explained
from experiments.report.paper.display_names import Called, called, defense_called
from experiments.report.paper.marking import best_of, compared, less_than, letters_of
from experiments.report.paper.paper_cells import PlacedColumn, numbers, places, require_named
from experiments.report.paper.paper_rows import PaperRow, chosen_cells, paper_rows
from experiments.report.paper.paper_table import Heading, PaperEntry, PaperTable
from experiments.report.paper.table_spec import TableSpec


def build_table(name: str, spec: TableSpec, summaries: Sequence[Summary]) -> PaperTable:
    """The table.

    Args:
        name: of its file.
        spec: what the file says.
        summaries: with estimates, told apart.

    Raises:
        ConfigError: a name that no cell has, or a row and a column for which several cells would do.
        MoatBenchError: no row is left.
    """
    cells = chosen_cells(summaries, spec)
    require_named(cells, spec)
    rows, empty = _with_numbers(paper_rows(cells, spec), places(cells, spec), spec)
    own = frozenset(i for i, row in enumerate(rows) if spec.subject and row.name == spec.subject)
    apart = frozenset(i for i, row in enumerate(rows) if "defense" in spec.rows and row.name == spec.reference)
    columns = [_column(rows, place, spec, apart) for place in places(cells, spec)]
    columns = [
        c for c in columns if any(_said(e) for i, e in enumerate(c[1]) if i not in apart or len(apart) == len(rows))
    ]
    if spec.order == "value":
        rows, columns, own, apart = _sorted(rows, columns, own, apart)
    headings = [(h, e, spec.constant or not _constant(e)) for h, e in _naming(rows, spec)]
    kept = [(h, e) for i, (h, e, varies) in enumerate(headings) if varies or i == 0]
    dropped = [] if spec.constant else [c for c in columns[1:] if len(rows) > 1 and _constant(c[1])]
    kept += [c for c in columns if c not in dropped]
    table = tuple(tuple(entries[i] for _, entries in kept) for i in range(len(rows)))
    said = explained(spec, cells, [h for h, _ in kept], table, dropped, [_whole_name(row, spec) for row in empty])
    caption = " ".join(filter(None, (spec.caption, said)))
    caption_tex = " ".join(filter(None, (spec.caption_tex or latex.escape(spec.caption), latex.escape(said))))
    rules = frozenset(
        i for i in range(1, len(rows)) if (i in apart) != (i - 1 in apart) or (i in own) != (i - 1 in own)
    )
    label = spec.label or f"tab:{name.replace('_', '-')}"
    return PaperTable(name, caption, caption_tex, label, tuple(h for h, _ in kept), table, rules, own, apart)


Column = tuple[Heading, list[PaperEntry]]


def _with_numbers(
    rows: list[PaperRow], columns: Sequence[PlacedColumn], spec: TableSpec
) -> tuple[list[PaperRow], list[PaperRow]]:
    """The rows that have any number of those that differ with the row's attack or cost, and those that have none."""
    asked = [p for p in columns if p.shown.by_attack or p.column.drop is not None] or columns
    known = [
        any(e.value is not None for _, e, _ in own)
        for own in zip(*(numbers(rows, p, spec) for p in asked), strict=True)
    ]
    if not any(known):
        raise MoatBenchError(
            "none of the stored cells has a number that the table asks for: see table.attack, table.columns"
        )
    return [r for r, k in zip(rows, known, strict=True) if k], [r for r, k in zip(rows, known, strict=True) if not k]


def _said(entry: PaperEntry) -> bool:
    value = entry.value.value if isinstance(entry.value, Estimate) else entry.value
    return value not in (None, "")


def _whole_name(row: PaperRow, spec: TableSpec) -> str:
    return ", ".join(_name(row, part, spec).plain for part in spec.rows)


def _naming(rows: Sequence[PaperRow], spec: TableSpec) -> list[Column]:
    """The columns that name the rows."""
    found: list[Column] = []
    for part in spec.rows:
        entries = []
        for row in rows:
            name = _name(row, part, spec)
            mine = part == spec.rows[0] and spec.subject and row.name == spec.subject and spec.ours
            plain = f"{name.plain} ({spec.ours})" if mine else name.plain
            tex = f"{name.tex} ({latex.escape(spec.ours)})" if mine else name.tex
            entries.append(PaperEntry(plain, tex, key=getattr(row, part)))
        title = part.capitalize()
        found.append((Heading(title, title, "text", key=part), entries))
    for i, (axis, _) in enumerate(rows[0].axes):
        values = [row.axes[i][1] for row in rows]
        title = AXES[axis].capitalize()
        heading = Heading(title, latex.escape(title), "text", key=f"axis {axis}")
        found.append((heading, [PaperEntry(value, latex.escape(value), key=value) for value in values]))
    return found


def _name(row: PaperRow, part: str, spec: TableSpec) -> Called:
    if part == "defense":
        return defense_called(row.defense, row.cells[0].names, spec, strengths=spec.strength != "curve")
    if part == "attack":
        name, _, more = row.attack.partition(" (")
        told, rest = called(name, spec), f" ({more}" if more else ""
        return Called(told.plain + rest, told.tex + latex.escape(rest))
    return called(getattr(row, part), spec)


def _column(rows: Sequence[PaperRow], place: PlacedColumn, spec: TableSpec, apart: frozenset[int]) -> Column:
    """A column with its marks."""
    found = numbers(rows, place, spec)
    heading = _heading(place, spec)
    if place.column.show == "attack":
        told = [called(attack, spec) if attack else Called("", "") for _, _, attack in found]
        texts = [PaperEntry(t.plain, t.tex, key=attack) for t, (_, _, attack) in zip(told, found, strict=True)]
        return heading._replace(kind="text", better=""), texts
    quantities: list[Quantity] = [quantity for quantity, _, _ in found]
    if place.column.less:
        base = [i for i, row in enumerate(rows) if row.name == place.column.less]
        if len(base) != 1:
            reason = (
                f"is to be one row, and is {len(base)}: say which strength with table.strength=dearest, within or curve"
            )
            raise ConfigError("table.columns.less", place.column.less, reason, sorted({row.name for row in rows}))
        estimates: list[Estimate] = less_than(quantities, base[0])
        return heading._replace(better=""), [PaperEntry(e) for e in estimates]
    entries = [PaperEntry(estimate, quantity=quantity) for quantity, estimate, _ in found]
    ranked = {i: e.quantity for i, e in enumerate(entries) if e.quantity is not None and i not in apart}
    if not heading.better or sum(q.known for q in ranked.values()) < 2:
        return heading._replace(better=""), entries
    if spec.best == "none" and not spec.letters:
        return heading, entries
    pairs = compared(ranked, heading.better)
    bold, own = best_of(pairs, spec.best), letters_of(pairs) if spec.letters else {}
    return heading, [e._replace(bold=i in bold, letters=own.get(i, "")) for i, e in enumerate(entries)]


def _heading(place: PlacedColumn, spec: TableSpec) -> Heading:
    column = place.column
    title = column.title or place.shown.title
    title = title[:1].upper() + title[1:]
    tex = column.title_tex or latex.escape(title)
    if column.less:
        less = called(column.less, spec)
        title, tex = (column.title or f"{title} less {less.plain}"), (column.title_tex or f"{tex} less {less.tex}")
    key = column.measure + ("" if column.drop is None else f"_at_{column.drop:g}")
    key += f"_less_{column.less}" if column.less else ""
    key += "_attack" if column.show == "attack" else ""
    where = place.family if place.family not in ("", POOLED) or column.by == "family" else ""
    key += f"_{where}" if where else ""
    under = place.attack if column.by == "attack" or column.attack else ""
    key += f"_{under}" if under else ""
    kind = place.shown.kind
    if column.by:
        name = called(place.family if column.by == "family" else place.attack, spec)
        return Heading(name.plain, name.tex, kind, title, tex, key, place.better)
    return Heading(title, tex, kind, key=key, better=place.better)


def _constant(entries: Sequence[PaperEntry]) -> bool:
    """Whether all rows say the same."""
    values = {(e.value.value, e.value.low) if isinstance(e.value, Estimate) else e.value for e in entries}
    return len(values) == 1


def _sorted(
    rows: Sequence[PaperRow], columns: Sequence[Column], own: frozenset[int], apart: frozenset[int]
) -> tuple[list[PaperRow], list[Column], frozenset[int], frozenset[int]]:
    """By the first ranked column, best first; the reference stays first and the subject last."""
    heading, entries = next((c for c in columns if c[0].better), columns[0])

    def rank(i: int) -> tuple[bool, bool, bool, float]:
        value = entries[i].value
        number = value.value if isinstance(value, Estimate) else None
        least = (number or 0.0) if heading.better == "lower" else -(number or 0.0)
        return i in own, i not in apart, number is None, least

    order = sorted(range(len(rows)), key=rank)
    moved = [(h, [e[i] for i in order]) for h, e in columns]
    where = {old: new for new, old in enumerate(order)}
    return [rows[i] for i in order], moved, frozenset(where[i] for i in own), frozenset(where[i] for i in apart)
