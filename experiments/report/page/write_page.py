"""A report as one HTML file: the same numbers as all other formats, with filters, plots and transcripts.

What is said of cells stands in the page as tables, which can be read and printed without the script; the script filters,
sorts, points at cells in plots, compares pairs and shows transcripts. `experiments.report.page.frame` says how text of
others is kept from being markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from configs.text import one_line
from experiments.measure.cell_result import CellResult, by_configuration
from experiments.measure.guards import tripped
from experiments.measure.panel import ALL
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.claims_table import evidence_table
from experiments.report.file_names import require_name
from experiments.report.finding import WHAT_VERDICTS_MEAN, Finding, Judge
from experiments.report.frontier_table import lines
from experiments.report.grouping import by_threat, threat_text
from experiments.report.honest_table import honest_table
from experiments.report.names import family_name, seeds_text
from experiments.report.page.any_pair import any_pair
from experiments.report.page.filters import Filter, axes_of, filters_of
from experiments.report.page.frame import ROOM, page_of
from experiments.report.page.frontier_vectors import frontier_svg
from experiments.report.page.losses_by_family import losses_table
from experiments.report.page.pareto_vectors import looks, pareto_svg
from experiments.report.page.shown_table import shown_table
from experiments.report.page.spelled import words
from experiments.report.page.tiles import tiles, worst_in_words
from experiments.report.page.told_page import told_page
from experiments.report.plot import MAX_ROWS
from experiments.report.reference import FIRST, Reference
from experiments.report.write import Contents, contents

ELSEWHERE = ("main", "claims", "quality", "honest_load", "matched", "pairs")
"""Tables that have a place of their own on the page, or another form."""


def write_page(
    results: Sequence[CellResult],
    out: Path,
    name: str,
    reference: Reference = FIRST,
    claims: Sequence[Judge] = (),
    made: str = "",
    about: str = "",
    methods: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Path:
    """Write NAME.html; see `experiments.report.write.write_report` for what it takes and raises. The same rows give the same
    bytes, in whatever order they come.

    Args:
        made: how the rows were made, a sentence; "" says nothing.
        about: what the experiment is, a sentence.
        methods: what a ``defense`` or an ``attack`` is, by group and name; those of the page are told.
    """
    require_name("name", name)
    page = render(contents(results, reference, claims), results, name, made, about, methods)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.html"
    path.write_text(page, encoding="utf-8")
    return path


def render(
    held: Contents,
    results: Sequence[CellResult],
    name: str,
    made: str = "",
    about: str = "",
    methods: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """The page as text; see `write_page`."""
    held = held._replace(summaries=[_of_one_line(s) for s in held.summaries])
    summaries = held.summaries
    labels = {s.defense: "+".join(s.names) or "none" for s in summaries}
    filters = filters_of(summaries)
    tables = {table.name: table for table in held.tables}
    told = told_page(by_configuration(results))
    honest = [
        t for t in (tables.get("quality"), losses_table(summaries), honest_table(summaries, every_kind=True)) if t
    ]
    return page_of(
        ROOM,
        "page",
        title=f"MoatBench: {name}",
        name=name,
        tiles=tiles(summaries, [finding.verdict for _, finding in held.judged]),
        words=[*filter(None, [worst_in_words(summaries)]), *held.words],
        about=f"{about[:1].upper()}{about[1:]}",
        methods=_told_methods(summaries, methods),
        facts=_facts(summaries, results),
        made=made,
        filters=filters,
        figures=_figures(summaries, filters),
        main=shown_table(tables["main"], labels, range(len(summaries))),
        setting=tables["main"].title.partition(" (")[2].removesuffix(")"),
        claims=[_claim(judge, finding) for judge, finding in held.judged],
        verdicts=WHAT_VERDICTS_MEAN,
        guards=_guards(summaries),
        matched=shown_table(tables["matched"], labels) if "matched" in tables else None,
        honest=[shown_table(table, labels) for table in honest],
        more=[shown_table(table, labels) for table in held.tables if table.name not in ELSEWHERE],
        data={
            "cells": [_cell(s, summaries) for s in summaries],
            "pairs": any_pair(summaries),
            "transcripts": told,
        },
    )


def _told_methods(summaries: Sequence[Summary], known: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Those of the cells of which there is something to say, defenses first, in the order of the cells."""
    defenses = dict.fromkeys(name for s in summaries for name in s.names)
    attacks = dict.fromkeys(str(s.configuration.get("attack") or s.attack) for s in summaries)
    asked = [("defense", name) for name in defenses] + [("attack", name) for name in attacks]
    return [(one_line(name), one_line(said)) for group, name in asked if (said := known.get(group, {}).get(name))]


def _of_one_line(s: Summary) -> Summary:
    """With labels that a plot, an attribute and a table can hold: rows may come from elsewhere."""
    return replace(s, defense=one_line(s.defense), attack=one_line(s.attack))


def _facts(summaries: Sequence[Summary], results: Sequence[CellResult]) -> list[str]:
    defenses = {"+".join(s.names) for s in summaries if s.names}
    counts = [
        (len(results), "cell", "cells"),
        (len(summaries), "configuration", "configurations"),
        (len(defenses), "defense", "defenses"),
        (len({s.attack for s in summaries}), "attack", "attacks"),
    ]
    return [f"{number:,} {one if number == 1 else many}" for number, one, many in counts] + [seeds_text(summaries)]


def _cell(s: Summary, summaries: Sequence[Summary]) -> dict[str, Any]:
    """What the script needs of a cell: what it can be chosen by, and what is said where it is pointed at."""
    families = [POOLED, *(f for f in s.families if f != POOLED)]
    return {
        "label": s.defense,
        "defense": "+".join(s.names) or "none",
        "attack": s.attack,
        "axes": axes_of(s, summaries),
        "says": {
            family: [
                ["transfer", words(s.headline_estimate("transfer", family), "share")],
                ["student", words(s.headline_estimate("S_def", family), "share")],
                ["without the defense", words(s.headline_estimate("S_undef", family), "share")],
                [
                    "honest accuracy",
                    words(s.estimate("T_def", ALL if family == POOLED else family, "", "strict"), "share"),
                ],
                ["seeds", str(len(s.seeds))],
            ]
            for family in families
        },
        "guards": len(tripped(s)),
    }


def _claim(judge: Judge, finding: Finding) -> dict[str, Any]:
    return {
        "name": f"{judge.label} {judge.name}".strip().replace("_", " "),
        "statement": judge.statement,
        "verdict": finding.verdict,
        "sentence": finding.sentence,
        "source": judge.source,
        "evidence": shown_table(evidence_table(finding), {}),
    }


def _guards(summaries: Sequence[Summary]) -> list[tuple[str, list[tuple[str, list[int]]]]]:
    """By guard, what was found, and the cells in which it was."""
    found: dict[str, dict[str, list[int]]] = {}
    for i, s in enumerate(summaries):
        for guard, what in tripped(s):
            found.setdefault(guard, {}).setdefault(what, []).append(i)
    return [(guard.replace("_", " "), list(cases.items())) for guard, cases in found.items()]


def _figures(summaries: Sequence[Summary], filters: Sequence[Filter]) -> list[dict[str, Any]]:
    """Plots by kind, threat model or attack, and family. Of many threat models the fullest are drawn."""
    from matplotlib import rc_context

    number, look = {id(s): i for i, s in enumerate(summaries)}, looks(summaries)
    families = [value for f in filters if f.key == "family" for value, _ in f.choices]
    groups = by_threat(summaries)[:MAX_ROWS]
    settings = list(dict.fromkeys(line.setting for line in lines(summaries)))[:MAX_ROWS]
    found: list[dict[str, Any]] = []
    with rc_context({"text.parse_math": False}):  # a name with dollar signs is no formula
        for family in families:
            name = "all families" if family == POOLED else family_name(family)
            for group in groups:
                where = threat_text(group[0], summaries)
                drawn = pareto_svg(group, [number[id(s)] for s in group], family, look, where)
                found.append({"kind": "Pareto", "family": family, "name": name, "where": where, "svg": drawn})
            for setting in settings:
                drawn = frontier_svg(summaries, setting, family)
                found.append({"kind": "Frontier", "family": family, "name": name, "where": setting, "svg": drawn})
    return [{**one, "svg": Markup(one["svg"])} for one in found if one["svg"]]  # noqa: S704  # matplotlib and ElementTree escaped
