"""A report from the cells of a sweep: built once, written in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from configs.errors import MoatBenchError
from experiments.measure.cell_result import CellResult, by_configuration
from experiments.measure.row import column_name
from experiments.measure.summary import Summary, against_best, estimated, summarise
from experiments.report import csv, latex, markdown, terminal
from experiments.report.claims_table import claims_table
from experiments.report.evidence_table import evidence_table, findings_table
from experiments.report.file_names import require_name
from experiments.report.finding import Finding, Judge
from experiments.report.frontier_table import frontier_table
from experiments.report.honest_table import honest_table
from experiments.report.judge_table import judge_table, judges_agree_table
from experiments.report.main_table import main_table
from experiments.report.matched_table import Comparison, comparisons, matched_table
from experiments.report.names import told_apart
from experiments.report.pairs_table import pairs_table
from experiments.report.pass_table import pass_table
from experiments.report.quality_table import quality_table
from experiments.report.reference import FIRST, Reference
from experiments.report.sentences import sentences
from experiments.report.structure import Table
from experiments.report.table_records import json_value, table_records
from experiments.report.worst_table import worst_table
from experiments.store.maintenance.lineage import joined


@dataclass(frozen=True)
class Report:
    """What was found and where it was written.

    Args:
        name: of the report.
        tables: main table first, then those whose comparisons the cells allow.
        words: what the tables show, a sentence each.
        files: paths by kind: md, csv, tex, page (a document around the fragment tex), png, pdf, json; and the frontier's
            ``frontier png`` and ``frontier pdf``, where cells were calibrated.
        findings: by name of the claim, of those that the cells let be judged.
    """

    name: str
    tables: tuple[Table, ...]
    words: tuple[str, ...]
    files: dict[str, Path]
    findings: Mapping[str, Finding] = field(default_factory=dict)

    def terminal(self, console: Console) -> None:
        """Print tables, then words; readable from 100 columns on. A note that several tables have is printed once."""
        said: set[str] = set(self.words)
        for table in self.tables:
            terminal.render(table, console, said)
            said.update(table.notes)
        for sentence in self.words:
            console.print(Text(sentence))


def write_report(
    results: Sequence[CellResult],
    out: Path,
    name: str,
    reference: Reference = FIRST,
    claims: Sequence[Judge] = (),
) -> Report:
    """Aggregate over seeds and write NAME.md, .csv, .tex, NAME_page.tex, .png, .pdf and .json.

    The same rows give the same bytes in md, csv, tex and json, in whatever order they come.

    Args:
        results: one per cell and seed; seeds of a configuration may be missing.
        out: folder, created if need be.
        name: stem of the files.
        reference: the defense that others are compared with at equal honest accuracy.
        claims: to be judged, in order.

    Raises:
        ConfigError: the reference has to be in the table, and is not.
        MoatBenchError: no results, or two cells that nothing tells apart.
        OSError: the folder cannot be written.
    """
    if not results:
        raise MoatBenchError("a report needs at least one result")
    summaries, found, tables, words, judged = contents(results, reference, claims)
    require_name("name", name)
    out.mkdir(parents=True, exist_ok=True)
    files = {kind: out / f"{name}.{kind}" for kind in ("md", "csv", "tex", "png", "pdf", "json")}
    files["page"] = out / f"{name}_page.tex"
    title = f"MoatBench: {name}"
    texts = {
        "md": markdown.render(tables, words, title),
        "csv": csv.render(summaries, found),
        "tex": latex.fragment(tables),
        "page": latex.page(files["tex"].name, title, words),
        "json": json.dumps(
            _document(name, summaries, found, tables, words) | {"claims": [claim_record(*pair) for pair in judged]},
            indent=1,
            sort_keys=True,
            allow_nan=False,
        )
        + "\n",
    }
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    _draw("plot", summaries, files["png"], files["pdf"])
    if any(table.name == "frontier" for table in tables):
        files |= {f"frontier {kind}": out / f"{name}_frontier.{kind}" for kind in ("png", "pdf")}
        _draw("frontier_plot", summaries, files["frontier png"], files["frontier pdf"])
    return Report(name, tables, words, files, {claim.name: finding for claim, finding in judged})


class Contents(NamedTuple):
    """What a report says, before any format.

    Args:
        summaries: a cell each, told apart and estimated together.
        found: defenses at equal honest accuracy.
        tables: main table first.
        words: a sentence each.
        judged: the claims that the cells let be judged.
    """

    summaries: list[Summary]
    found: list[Comparison]
    tables: tuple[Table, ...]
    words: tuple[str, ...]
    judged: list[tuple[Judge, Finding]]


def contents(results: Sequence[CellResult], reference: Reference = FIRST, claims: Sequence[Judge] = ()) -> Contents:
    """What these results say; see `write_report`."""
    summaries = summaries_of(results)
    found, used = comparisons(summaries, reference)
    judged = [(claim, finding) for claim in claims if (finding := claim.judge(summaries)) is not None]
    extra = (
        claims_table(judged),
        *(finding.table for _, finding in judged),
        frontier_table(summaries),
        matched_table(found, used),
        pairs_table(found),
        worst_table(summaries),
        quality_table(summaries),
        pass_table(summaries),
        judge_table(summaries),
        judges_agree_table(summaries),
        evidence_table(summaries),
        findings_table(summaries),
        honest_table(summaries),
    )
    tables = (main_table(summaries), *(table for table in extra if table is not None))
    words = tuple(sentences(summaries, found, [finding for _, finding in judged]))
    return Contents(summaries, found, tables, words, judged)


def summaries_of(results: Sequence[CellResult]) -> list[Summary]:
    """Results by configuration, told apart and estimated over all of them together."""
    return told_apart(estimated(against_best([summarise(group) for group in by_configuration(results)])))


def _draw(plot: str, summaries: Sequence[Summary], png: Path, pdf: Path) -> None:
    """The plot of a module; what plans and shows reports does not import matplotlib."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a name with dollar signs is no formula
        import_module(f"experiments.report.{plot}").draw(summaries, png, pdf)


def claim_record(claim: Judge, finding: Finding) -> dict[str, Any]:
    """A claim and what was found, JSON-able."""
    return {
        "name": claim.name,
        "label": claim.label,
        "source": claim.source,
        "statement": claim.statement,
        "verdict": finding.verdict,
        "sentence": finding.sentence,
        "evidence": [
            {"what": g.what, "says": g.says, "estimate": json_value(g.found.estimate), "p_holm": json_value(g.found.p)}
            for g in finding.evidence
        ],
    }


def _document(
    name: str, summaries: Sequence[Summary], found: Sequence[Comparison], tables: Sequence[Table], words: Sequence[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "words": list(words),
        "cells": [
            {
                "configuration": json.loads(json.dumps(dict(s.configuration), default=str)),
                "defense": s.defense,
                "attack": s.attack,
                "seeds": list(s.seeds),
                "made": s.lineage.record(),
                "attack_outcomes": {key: json_value(value) for key, value in s.facts.items()},
                "measures": {column_name(m): json_value(e) for m, e in s.estimates.items()},
            }
            for s in summaries
        ],
        "origins": [origin.record() for origin in joined(s.lineage for s in summaries).origins],
        "matched": [
            {
                "setting": c.setting,
                "family": c.family,
                "drop": json_value(c.drop),
                "largest_common": c.common,
                "reference": c.reference,
                "student": {d: json_value(e) for d, e in c.accuracy.items()},
                "difference": {
                    second if c.reference == first else f"{first} less {second}": json_value(v.estimate)
                    | {"p_holm": json_value(v.p)}
                    for (first, second), v in c.difference.items()
                },
                "slack": {d: json_value(value) for d, value in c.slack.items() if value},
            }
            for c in found
        ],
        "tables": table_records(tables),
    }
