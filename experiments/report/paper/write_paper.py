"""Writes a paper's table in every format, with its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.measure.summary import Summary
from experiments.report.file_names import require_name
from experiments.report.paper import paper_text, siunitx
from experiments.report.paper.build_table import build_table
from experiments.report.paper.paper_table import PaperTable
from experiments.report.paper.table_spec import TableSpec


@dataclass(frozen=True)
class WrittenTable:
    """What was written.

    Args:
        table: itself.
        spec: by which it was made.
        files: paths by kind: md, csv, tex, page (a document around the fragment tex), png and pdf where there is a figure.
    """

    table: PaperTable
    spec: TableSpec
    files: dict[str, Path]

    def terminal(self, console: Console) -> None:
        """Print it."""
        paper_text.terminal(self.table, self.spec, console)


def write_paper(name: str, spec: TableSpec, summaries: Sequence[Summary], out: Path, stem: str) -> WrittenTable:
    """Write STEM.md, .csv, .tex, STEM_page.tex, and the figure STEM.png and .pdf.

    Args:
        name: of the table's file.
        spec: what it says.
        summaries: with estimates, told apart.
        out: folder, created if need be.
        stem: of the files.

    Raises:
        ConfigError: the stem is no name for files; what `build_table` refuses.
        MoatBenchError: no row is left.
        OSError: the folder cannot be written.
    """
    require_name("--name", stem)
    table = build_table(name, spec, summaries)
    out.mkdir(parents=True, exist_ok=True)
    files = {kind: out / f"{stem}.{kind}" for kind in ("md", "csv", "tex")} | {"page": out / f"{stem}_page.tex"}
    texts = {
        "md": paper_text.markdown(table, spec),
        "csv": paper_text.csv(table),
        "tex": siunitx.render(table, spec),
        "page": siunitx.page(files["tex"].name, spec.width == "double"),
    }
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    from experiments.report.paper.paper_figure import draw  # matplotlib takes a second to import

    drawn = {kind: out / f"{stem}.{kind}" for kind in ("png", "pdf")}
    return WrittenTable(table, spec, files | (drawn if draw(table, spec, drawn["png"], drawn["pdf"]) else {}))
