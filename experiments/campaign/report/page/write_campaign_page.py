"""A report on campaigns as one HTML file: the same numbers as its other formats, with filters and plots.

`experiments.report.page.frame` says what every page has, and how names are kept from being markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context

from configs.text import one_line
from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import detector_name, in_percent, per, policy_name
from experiments.campaign.report.page import time_vectors as over_time
from experiments.campaign.report.page.harm_vectors import harm_svg, kinds_svg
from experiments.campaign.report.page.policy_cells import PolicyCells
from experiments.campaign.report.page.trade_vectors import SIDES, trade_svg
from experiments.campaign.report.ranking import harvest_of, recommendation, rests_on
from experiments.measure.estimate import Estimate
from experiments.report.page.filters import Filter
from experiments.report.page.frame import page_of
from experiments.report.page.shown_table import shown_table
from experiments.report.page.tiles import Tile
from experiments.report.spelling import Kind, interval, spell
from experiments.report.structure import Table

PAGE_ROOM = "experiments.campaign.report.page"


def campaign_page(
    summaries: Sequence[PolicySummary], tables: Sequence[Table], words: Sequence[str], name: str, made: str = ""
) -> str:
    """The page as text; the same campaigns give the same bytes.

    Args:
        summaries: of one preset, in the order of the report.
        tables: of the report.
        words: of the report.
        name: of the report.
        made: how the campaigns were made, a sentence; "" says nothing.
    """
    cells = PolicyCells(summaries)
    advice = recommendation(summaries)
    held = {table.name: table for table in tables}
    detectors = list(dict.fromkeys(n for s in summaries for n in s.names("detector") if n != ANY))
    with rc_context({"text.parse_math": False}):  # a name with dollar signs is no formula
        sections = _sections(cells, held, detectors)
    used = {table["name"] for section in sections for table in section["tables"]} | {"ranking", "honest_kinds"}
    return page_of(
        PAGE_ROOM,
        "campaign_page",
        title=f"MoatBench campaign: {one_line(name)}",
        name=name,
        facts=_facts(summaries),
        made=made,
        policies=len(summaries),
        tiles=_tiles(summaries),
        advice=advice,
        rests_on=rests_on(summaries),
        ranking=_shown(held["ranking"], cells) if "ranking" in held else None,
        filters=[
            _filter("policy", [policy_name(s.policy) for s in summaries]),
            *([_filter("detector", [detector_name(d) for d in detectors])] if detectors else []),
        ],
        words=[sentence for sentence in words if sentence != advice],
        sections=sections,
        more=[_shown(table, cells) for table in tables if table.name not in used],
        data={"cells": cells.told},
    )


def _sections(cells: PolicyCells, held: dict[str, Table], detectors: list[str]) -> list[dict[str, Any]]:
    summaries = cells.summaries
    trade = [
        _figure(policy_name(s.policy), side.title.partition("  ")[0], trade_svg(cells, i, side, detectors))
        for i, s in enumerate(summaries)
        for side in SIDES
        if s.names("detector")
    ]
    return [
        _section(
            "harvest", "Harvest", "Harvest, price and harm",
            "Each mark or line is a policy, over its seeds. Point at one, or choose a plot and use the arrow keys. The band "
            "is the front of policies that none beats in both.",
            [
                _figure("Harm", "against harvest", harm_svg(summaries)),
                _over_time(cells, over_time.usable, "usable exchanges so far", "count"),
                _over_time(cells, over_time.price, "US dollars per usable exchange so far", "dollars"),
            ],
            [], cells,
        ),
        _section(
            "trade", "Thresholds", "What other thresholds would trade",
            "A line is a detector as its threshold moves, read off the highest score of each account: thin each seed, thick "
            "their mean at the dots, which tell their numbers. A square is the threshold in force. The harvest that passes "
            "is that of accounts that never come over the threshold.",
            trade, [held.get("thresholds")], cells, "No detector was run.",
        ),
        _section(
            "work", "Time to contain", "Time to contain an operation",
            "Days and usable exchanges from an operation's first exchange until its accounts are gone or its harvest stops.",
            [_over_time(cells, over_time.gone, "attackers' accounts banned or lost", "share")],
            [held.get("containment")], cells, "Nobody attacks.",
        ),
        _section(
            "reviewers", "Reviewers", "Work of reviewers",
            "Groups of accounts that detectors link wait for a reviewer, the largest first, and are given up after a while.",
            [
                _over_time(cells, over_time.reviewed, "groups reviewed a day", "count", stepped=True),
                _over_time(cells, over_time.queued, "groups waiting, at most", "count"),
            ],
            [held.get("reviews"), held.get("groups")], cells, "No detector found groups.",
        ),
        _section(
            "kinds", "False alarms", "False alarms by kind of honest account",
            "Hard negatives are honest accounts that use the API much as an attacker does.",
            [_figure("Alarms", "by kind of honest account", kinds_svg(summaries))],
            [held.get("alarms"), *_kinds(held)], cells, "Nothing happened to any honest account.",
        ),
        _section(
            "attackers", "Operations", "Operations and providers", "Who attacked, and where.", [],
            [held.get("operations"), held.get("providers")], cells, "Nobody attacks.",
        ),
    ]  # fmt: skip


def _section(
    at: str, link: str, title: str, lead: str, figures: Sequence[dict[str, Any] | None],
    tables: Sequence[Table | None], cells: PolicyCells, none: str = "There is nothing to show.",
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": at,
        "link": link,
        "title": title,
        "lead": lead,
        "figures": [own for own in figures if own],
        "tables": [_shown(table, cells) for table in tables if table is not None],
        "none": none,
    }


def _kinds(held: dict[str, Table]) -> list[Table]:
    """Hard negatives, and all others, in a table each."""
    if "honest_kinds" not in held:
        return []
    whole = held["honest_kinds"]
    split = (("yes", "hard_kinds", "Hard negatives"), ("no", "other_kinds", "Other honest accounts"))
    columns = tuple(column for column in whole.columns if column.key != "hard")
    found = [
        replace(whole, name=name, title=title, columns=columns,
                rows=tuple(row for row in whole.rows if row["hard"] == value))
        for value, name, title in split
    ]  # fmt: skip
    return [table for table in found if table.rows]


def _shown(table: Table, cells: PolicyCells) -> dict[str, Any]:
    return shown_table(table, {}, cells.rows(table.rows))


def _over_time(
    cells: PolicyCells, frame: over_time.Frame, title: str, kind: str, *, stepped: bool = False
) -> dict[str, Any] | None:
    drawn = over_time.time_svg(cells.summaries, frame, title, kind, stepped=stepped)
    return _figure(title[0].upper() + title[1:], "", drawn)


def _figure(kind: str, name: str, drawn: str | None) -> dict[str, Any] | None:
    if drawn is None:
        return None
    shown = Markup(drawn)  # noqa: S704  # matplotlib and ElementTree escaped
    return {"kind": one_line(kind), "family": None, "name": name, "where": "", "svg": shown}


def _filter(key: str, names: Sequence[str]) -> Filter:
    return Filter(key, key, tuple((one_line(n), one_line(n)) for n in dict.fromkeys(names)))


def _facts(summaries: Sequence[PolicySummary]) -> list[str]:
    result = summaries[0].results[0]
    operations = {name for s in summaries for name in s.names("operation")}
    seeds = sorted({len(s.seeds) for s in summaries})
    counts = [(len(summaries), "policy", "policies"), (len(operations), "operation", "operations")]
    told = [f"{number:,} {one if number == 1 else many}" for number, one, many in counts]
    many = " to ".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
    days = f"{float(result.facts.get('days', 0)):g} days"
    return [f"preset {one_line(result.preset)}", days, *told, f"{many} seed{'' if seeds[-1] == 1 else 's'} a policy"]


def _tiles(summaries: Sequence[PolicySummary]) -> list[Tile]:
    """Of the policy that lets the least through: harvest, price and harm; and the harvest of the first beside it."""
    known = [s for s in summaries if harvest_of(s).value is not None]
    if not known:
        return []
    best = min(known, key=lambda s: harvest_of(s).value or 0.0)
    name = policy_name(best.policy)
    found = [_tile("Least of the plan harvested, %", in_percent(harvest_of(best)), "number", name)]
    if known[0] is not best:
        other = policy_name(known[0].policy)
        found.append(_tile("Of the plan harvested, to compare, %", in_percent(harvest_of(known[0])), "number", other))
    found += [
        _tile("Price of a usable exchange", best.of("dollars_per_usable"), "dollars", name),
        _tile("Honest accounts lost or banned, of 100,000", per(best.of("honest_gone_share"), 1e5, 3), "count", name),
    ]
    return found


def _tile(what: str, e: Estimate, kind: Kind, remark: str) -> Tile:
    return Tile(what, spell(e, kind), interval(e, kind), remark)
