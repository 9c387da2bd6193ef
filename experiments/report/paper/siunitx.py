r"""A paper's table as LaTeX that needs no editing: booktabs, numbers aligned at the decimal point by siunitx (2 or 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from experiments.measure.estimate import Estimate
from experiments.report.latex import escape
from experiments.report.paper.numerals import bracket, plain_number
from experiments.report.paper.paper_table import Heading, PaperEntry, PaperTable
from experiments.report.paper.table_spec import TableSpec
from experiments.report.spelling import MARKS

PACKAGES = r"""% \usepackage{booktabs}
% \usepackage{siunitx}
"""
NUMBERS = r"""\begin{%s}[t]
\centering\%s\setlength{\tabcolsep}{%s}
\sisetup{detect-weight=true, mode=text, table-align-text-post=false, group-separator={,}, group-minimum-digits=4}
"""
UNITS = {"dollars": r" (\$)", "seconds": " (s)"}


MANY = 6
"""From so many columns of numbers on the letters are smaller."""
ON_A_PAGE = {"below": 25, "beside": 45, "none": 45}
"""Rows, by where intervals stand; more go on in a further float."""


def render(table: PaperTable, spec: TableSpec) -> str:
    """Floats to ``\\input``, one where it fits on a page; the packages that they need stand in a comment."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.headings))]
    kinds = "".join(_kind(h, e, spec) for h, e in zip(table.headings, columns, strict=True))
    most = ON_A_PAGE[spec.intervals]
    floats = [
        _float(table, spec, kinds, range(i, min(i + most, len(table.rows)))) for i in range(0, len(table.rows), most)
    ]
    return PACKAGES + "".join(floats)


def _float(table: PaperTable, spec: TableSpec, kinds: str, shown: range) -> str:
    environment = "table*" if spec.width == "double" else "table"
    small = spec.width == "single" or sum(h.kind != "text" for h in table.headings) >= MANY
    letters = ("footnotesize", "3pt") if small else ("small", "4pt")
    caption = "(Continued.)" if shown.start else table.caption_tex
    label = table.label if not shown.start else f"{table.label}-from-{shown.start + 1}"
    same = "\\addtocounter{table}{-1}\n" if shown.start else ""  # a table that goes on keeps its number
    above = NUMBERS % (environment, *letters) + same
    lines = [above + f"\\caption{{{caption}}}", f"\\label{{{label}}}", "\\vspace{4pt}"]
    lines += [f"\\begin{{tabular}}{{@{{}}{kinds}@{{}}}}", "\\toprule", *_head(table.headings, spec), "\\midrule"]
    for i in shown:
        lines += ["\\midrule"] if i in table.rules and i > shown.start else []
        lines += _row(table.rows[i], table.headings, spec)
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", f"\\end{{{environment}}}"]) + "\n"


def page(fragment: str, double: bool) -> str:
    """A document around a fragment that compiles by itself, of the shape that the table is for."""
    columns = "twocolumn," if double else ""
    shape = "textwidth=6.75in,textheight=9in,columnsep=0.25in" if double else "textwidth=3.25in,textheight=9in"
    return (
        f"\\documentclass[{columns}10pt]{{article}}\n\\usepackage[T1]{{fontenc}}\n\\usepackage[utf8]{{inputenc}}\n"
        f"\\usepackage[{shape}]{{geometry}}\n\\usepackage{{booktabs}}\n\\usepackage{{siunitx}}\n"
        f"\\begin{{document}}\n\\input{{{fragment}}}\n\\end{{document}}\n"
    )


def _head(headings: Sequence[Heading], spec: TableSpec) -> list[str]:
    """One line of titles, or two with what groups them above."""
    lines, wide = [], 2 if spec.intervals == "beside" else 1
    if any(h.group for h in headings):
        above, rules, at = [], [], 1
        for (group, tex, _), run in groupby(
            headings, lambda h: (h.group, h.group_tex, h.group and h.key.split("_")[0])
        ):
            width = sum(wide if h.kind != "text" else 1 for h in run)
            above.append(f"\\multicolumn{{{width}}}{{c}}{{{tex}}}" if group else " & ".join([""] * width))
            rules += [f"\\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
            at += width
        lines += [" & ".join(above) + " \\\\", " ".join(rules)]
    titles = []
    for h in headings:
        title = h.tex + UNITS.get(h.kind, "")
        span = f"\\multicolumn{{2}}{{c}}{{{title}}}"
        titles.append(title if h.kind == "text" else span if wide == 2 else f"{{{title}}}")
    return [*lines, " & ".join(titles) + " \\\\"]


def _kind(heading: Heading, entries: Sequence[PaperEntry], spec: TableSpec) -> str:
    """``S`` with the places that the column's numbers take."""
    if heading.kind == "text":
        return "l"
    numbers = [_digits(e, heading, spec) for e in entries if _value(e) is not None]
    whole = max((len(n.lstrip("-").partition(".")[0]) for n in numbers), default=1)
    decimals = max((len(n.partition(".")[2]) for n in numbers), default=0)
    sign = "-" if any(n.startswith("-") for n in numbers) else ""
    most = max((len(e.letters) for e in entries), default=0)
    wide = PaperEntry(None, letters="d" * most + "i" if most else "")  # letters are of several widths
    after = max((_after(e._replace(letters="")) for e in entries), key=len, default="") + _after(wide)
    room = f", table-space-text-post={{{after}}}" if after else ""
    limits = "@{\\,}l" if spec.intervals == "beside" else ""
    return f"S[table-format={sign}{whole}.{decimals}{room}]{limits}"


def _row(row: Sequence[PaperEntry], headings: Sequence[Heading], spec: TableSpec) -> list[str]:
    """A line, and one beneath for intervals."""
    cells, limits = list[str](), list[str]()
    for entry, h in zip(row, headings, strict=True):
        told = bracket(entry.value, h.kind, spec)
        small = f"{{\\scriptsize {escape(told)}}}" if told else ""
        cells.append(_cell(entry, h, spec))
        if spec.intervals == "beside" and h.kind != "text":
            cells.append(small)
        limits.append(small)
    line = " & ".join(cells) + " \\\\"
    line = "{}" + line if line.startswith(("[", "*")) else line  # else they belong to the row end before
    if spec.intervals != "below" or not any(limits):
        return [line]
    return [line + "[-2pt]", " & ".join(limits) + " \\\\[1pt]"]


def _cell(entry: PaperEntry, heading: Heading, spec: TableSpec) -> str:
    if heading.kind == "text":
        return entry.tex or escape(str(entry.value or ""))
    if _value(entry) is None:
        return "{--}"
    after = _after(entry)
    return ("\\bfseries " if entry.bold else "") + _digits(entry, heading, spec) + (f" {{{after}}}" if after else "")


def _after(entry: PaperEntry) -> str:
    mark = MARKS.get(entry.value.mark, "") if isinstance(entry.value, Estimate) else ""
    return escape(mark) + (f"\\textsuperscript{{{entry.letters}}}" if entry.letters else "")


def _digits(entry: PaperEntry, heading: Heading, spec: TableSpec) -> str:
    value = _value(entry)
    return "" if value is None else plain_number(value, heading.kind, spec)


def _value(entry: PaperEntry) -> float | None:
    value = entry.value.value if isinstance(entry.value, Estimate) else entry.value
    return float(value) if isinstance(value, int | float) else None
