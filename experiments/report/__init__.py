"""Reports: one structure per table, rendered for terminal, Markdown, CSV and LaTeX, with a plot and words."""

from experiments.measure.cell_result import CellResult
from experiments.report.write import Report, write_report

__all__ = ["CellResult", "Report", "write_report"]
