"""Tables as LaTeX with booktabs: a fragment to \\input, and a page around it that compiles by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.text import one_line
from experiments.report.spelling import Value, interval, spell
from experiments.report.structure import Column, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "ε": r"$\epsilon$",
    "γ": r"$\gamma$",
    "σ": r"$\sigma$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "δ": r"$\delta$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "κ": r"$\kappa$",
    "ρ": r"$\rho$",
    "Δ": r"$\Delta$",
    "→": r"$\to$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
}

FIT = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}"
"""Before a table in braces: one that is wider than the text is set smaller, and no other."""
ROWS_PER_PAGE = 28
"""More rows than fit on a page go into a further float."""


def fragment(tables: Sequence[Table]) -> str:
    """One ``table`` float per block; needs the packages booktabs and graphicx."""
    return (
        "\n".join(["% Needs \\usepackage{booktabs,graphicx}.", *(part for table in tables for part in _floats(table))])
        + "\n"
    )


def page(fragment_name: str, title: str, words: Sequence[str]) -> str:
    """A document that inputs the fragment; compile it in the fragment's folder."""
    body = "\n\n".join(escape(sentence) for sentence in words)
    return (
        "\\documentclass[10pt]{article}\n\\usepackage[T1]{fontenc}\n\\usepackage[utf8]{inputenc}\n"
        "\\usepackage[a4paper,margin=18mm]{geometry}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        f"\\section*{{{escape(title)}}}\n{body}\n\\input{{{fragment_name}}}\n\\end{{document}}\n"
    )


def escape(text: str) -> str:
    """Text in which LaTeX sees no markup; characters it cannot set without further packages become ``?``."""
    return "".join(SPECIAL.get(character, character if ord(character) < 256 else "?") for character in one_line(text))


def _floats(table: Table) -> list[str]:
    blocks, parts = table.blocks(), []
    pages = [table.rows[i : i + ROWS_PER_PAGE] for i in range(0, len(table.rows), ROWS_PER_PAGE)] or [()]
    for number, (title, columns) in enumerate(blocks, start=1):
        for page_number, rows in enumerate(pages, start=1):
            last = number == len(blocks) and page_number == len(pages)
            caption = table.title + (f". {title}" if title else "") + (" (continued)." if page_number > 1 else ".")
            caption += " " + " ".join(table.notes) if last else ""
            label = f"tab:{table.name.replace('_', '-')}" + (f"-{number}" if len(blocks) > 1 else "")
            label += f"-page{page_number}" if page_number > 1 else ""
            parts.append(
                "\\begin{table}[htbp]\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3.5pt}\n"
                f"\\caption{{{escape(caption)}}}\\label{{{label}}}\n\\smallskip\n"
                f"{FIT}{{%\n{tabular(rows, columns)}}}\n\\end{{table}}"
            )
    return parts


def tabular(rows: Sequence[Mapping[str, Value]], columns: Sequence[Column]) -> str:
    """The booktabs table of the given rows and columns; intervals in a smaller size on a second line."""
    spec = "".join("l" if column.kind == "text" else "r" for column in columns)
    lines = [f"\\begin{{tabular}}{{@{{}}{spec}@{{}}}}", "\\toprule"]
    lines += [" & ".join(escape(column.title) for column in columns) + " \\\\", "\\midrule"]
    for row in rows:
        line = " & ".join(escape(spell(row.get(c.key), c.kind)) for c in columns) + " \\\\"
        lines.append("{}" + line if line.startswith(("[", "*")) else line)  # else they belong to the row end before
        limits = [interval(row.get(c.key), c.kind) for c in columns]
        if any(limits):
            small = [f"{{\\scriptsize {escape(text)}}}" if text else "" for text in limits]
            lines[-1] += "[-2.5pt]"
            lines.append(" & ".join(small) + " \\\\[2pt]")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])
