"""A report on campaigns: measured once, written in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from rich.console import Console
from rich.text import Text

from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.measure.key import Measured
from experiments.campaign.measure.policy_summary import PolicySummary, TransferRecord, summarise
from experiments.campaign.report import cost_plot, csv, graph_plot, harvest_plot, roc_plot
from experiments.campaign.report.detection_tables import detection_tables
from experiments.campaign.report.naming import ordered
from experiments.campaign.report.page.write_campaign_page import campaign_page
from experiments.campaign.report.ranking import ranking
from experiments.campaign.report.sentences import sentences
from experiments.campaign.report.tables import policy_table
from experiments.campaign.report.threshold_table import render_thresholds
from experiments.report import latex, markdown, terminal
from experiments.report.file_names import require_name
from experiments.report.structure import Table
from experiments.report.table_records import json_value, table_records
from experiments.store.maintenance.lineage import joined

PLOTS = {"harvest": harvest_plot.draw, "roc": roc_plot.draw, "cost": cost_plot.draw, "graph": graph_plot.draw}


@dataclass(frozen=True)
class CampaignReport:
    """What was found and where it was written.

    Args:
        name: of the report.
        tables: the policies first, then those for which there was anything to show.
        words: what the tables show, a sentence each.
        files: paths by kind: md, csv, tex, page (a document around the fragment tex), json, html, thresholds (CSV, where
            there are detectors), and PLOT_png and PLOT_pdf of each plot (harvest, roc, cost, graph).
    """

    name: str
    tables: tuple[Table, ...]
    words: tuple[str, ...]
    files: dict[str, Path]

    def terminal(self, console: Console) -> None:
        """Print tables, then words; readable from 100 columns on. A note that several tables have is printed once."""
        said: set[str] = set(self.words)
        for table in self.tables:
            terminal.render(table, console, said)
            said.update(table.notes)
        for sentence in self.words:
            console.print(Text(sentence))


def write_campaign_report(
    results: Sequence[CampaignResult],
    transfer: Mapping[tuple[str, int], Sequence[TransferRecord]],
    note: str,
    out: Path,
    name: str,
    made: str = "",
) -> CampaignReport:
    """Measure, join seeds and write NAME.md, .csv, .tex, .json, .html, NAME_page.tex, NAME_thresholds.csv, and NAME_PLOT.png
    and .pdf of each plot.

    The same results in the same order give the same bytes.

    Args:
        results: of one preset, each policy and seed once; policies are shown in this order, the undefended one first.
        transfer: what the harvest of a policy and seed moves to a student; may be empty.
        note: how exchanges of the campaign stand for queries of the laboratory; printed wherever transfer is.
        out: folder, created if need be.
        name: stem of the files.
        made: how the campaigns were made, a sentence for the page; "" says nothing.

    Raises:
        ConfigError: no results, several presets, a policy and seed twice, or a table without a column it must have.
        OSError: the folder cannot be written.
    """
    summaries = ordered(summarise(results, transfer))
    tables, words = tables_and_words(summaries, note)
    title = f"Campaign {summaries[0].results[0].preset}: {name}"
    require_name("name", name)
    out.mkdir(parents=True, exist_ok=True)
    files = {kind: out / f"{name}.{kind}" for kind in ("md", "csv", "tex", "json")}
    files["page"] = out / f"{name}_page.tex"
    texts = {
        "md": markdown.render(tables, words, title),
        "csv": csv.render(summaries),
        "tex": latex.fragment(tables),
        "page": latex.page(files["tex"].name, title, words),
        "json": json.dumps(_document(name, summaries, tables, words), indent=1, sort_keys=True, allow_nan=False) + "\n",
    }
    files["html"] = out / f"{name}.html"
    texts["html"] = campaign_page(summaries, tables, words, name, made)
    if any(s.names("detector") for s in summaries):
        files["thresholds"] = out / f"{name}_thresholds.csv"
        texts["thresholds"] = render_thresholds(summaries)
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    for plot, draw in PLOTS.items():
        png, pdf = (out / f"{name}_{plot}.{ending}" for ending in ("png", "pdf"))
        files |= {f"{plot}_png": png, f"{plot}_pdf": pdf}
        with rc_context({"text.parse_math": False}):  # a name with dollar signs is no formula
            draw(summaries, png, pdf)
    return CampaignReport(name, tables, words, files)


def tables_and_words(summaries: Sequence[PolicySummary], note: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """All that a report on campaigns says, before any format: the policies first, then their ranking, then detection.

    Args:
        summaries: of one preset, in the order in which they are shown.
        note: how exchanges of the campaign stand for queries of the laboratory.
    """
    ranked, advice = ranking(summaries)
    several = (ranked,) if len(summaries) > 1 else ()
    words = tuple(sentence for sentence in (*sentences(summaries, note), advice) if sentence)
    return (policy_table(summaries, note), *several, *detection_tables(summaries)), words


def _document(
    name: str, summaries: Sequence[PolicySummary], tables: Sequence[Table], words: Sequence[str]
) -> dict[str, Any]:
    made = joined(result.lineage for s in summaries for result in s.results)
    return {
        "name": name,
        "preset": summaries[0].results[0].preset,
        "words": list(words),
        "origins": [origin.record() for origin in made.origins],
        "policies": [
            {
                "policy": s.policy,
                "seeds": list(s.seeds),
                "made": joined(result.lineage for result in s.results).record(),
                "measures": _measures(s.measured),
                "transfer": [_transfer(record) for record in s.transfer],
                "by_seed": [
                    {
                        "seed": seed,
                        "facts": json.loads(json.dumps(dict(s.results[i].facts), default=str)),
                        "measures": _measures(s.by_seed[i]),
                        "transfer": [_transfer(record) for record in s.transfer_by_seed[i]],
                    }
                    for i, seed in enumerate(s.seeds)
                ],
            }
            for s in summaries
        ],
        "tables": table_records(tables),
    }


def _measures(measured: Measured) -> list[dict[str, Any]]:
    return [
        {"measure": key.measure} | ({"part": key.part, "of": key.of} if key.part else {}) | json_value(estimate)
        for key, estimate in measured.items()
    ]


def _transfer(record: TransferRecord) -> dict[str, Any]:
    return record._asdict() | {"transfer": json_value(record.transfer)}
