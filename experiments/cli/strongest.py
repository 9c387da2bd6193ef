"""The held-out rows of the attacks that searches chose, as `experiments.cli.execute` runs and reports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import MoatBenchError
from experiments.adversary.contest import Chosen, Contest, Standing
from experiments.cli.stored_rows import wanted_rows
from experiments.compose.compose import Composed
from experiments.engine.graph import Wanted
from experiments.measure.cell_result import CellResult
from experiments.measure.summary import Summary, estimated, summarise
from experiments.report import Report
from experiments.report.strongest_table import (
    ChosenAttack,
    Searched,
    search_table,
    strongest_sentences,
    strongest_table,
)
from experiments.report.write_tables import write_tables
from experiments.stages.row import result_of
from experiments.store.entry import Entry
from experiments.store.maintenance.lineage import Lineages
from experiments.store.store import Store


class Strongest:
    """What finished searches chose; an `experiments.cli.execute.Kind`.

    Args:
        contests: one for each defense.
        store: where their scores are.
        failed: by defense and candidate, why it could not be measured.
    """

    def __init__(self, contests: Sequence[Contest], store: Store, failed: Mapping[str, Mapping[str, str]]) -> None:
        self.failed, self.store = failed, store
        self.searches: list[tuple[Contest, Standing, list[Chosen]]] = []
        for contest in contests:
            standing = contest.standing(store, failed[contest.defense])
            self.searches.append((contest, standing, contest.chosen(standing)))

    def names(self) -> list[tuple[Contest, str]]:
        """The candidates whose rows are needed, each once."""
        found: dict[tuple[str, str], Contest] = {}
        for contest, _, chosen in self.searches:
            for one in chosen:
                for name in filter(None, (one.strongest, one.passive)):
                    found.setdefault((contest.defense, name), contest)
        return [(contest, name) for (_, name), contest in found.items()]

    def cells(self) -> list[Composed]:
        """Their cells, in all seeds."""
        return [contest.candidates[name].at(seed) for contest, name in self.names() for seed in contest.seeds]

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """See `Kind.wanted`."""
        return wanted_rows(cells)

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """See `Kind.facts`."""
        return entry.table("row").row(0, named=True)

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """See `Kind.foresee`: a plan of a search is its own."""
        return []

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Report:
        """See `Kind.report`: NAME.md, .csv, .tex, NAME_page.tex and .json.

        Raises:
            MoatBenchError: no defense has its rows.
        """
        lineages = Lineages(self.store.root)
        results = {entry.key: result_of(entry, lineages) for entry in entries}
        rows = [results.get(row.stage.key) for row in wanted_rows(self.cells())]
        own: dict[tuple[str, str], list[CellResult]] = {}
        at = 0
        for contest, candidate in self.names():
            seeds = rows[at : at + len(contest.seeds)]
            at += len(contest.seeds)
            own[contest.defense, candidate] = [result for result in seeds if result is not None]
        known = [place for place, found in own.items() if found]
        summaries = dict(zip(known, estimated([summarise(own[place]) for place in known]), strict=True))
        found = [
            ChosenAttack(
                contest.defense, one.what, one.strongest, strongest, one.passive, _of(summaries, contest, one.passive)
            )
            for contest, _, chosen in self.searches
            for one in chosen
            if (strongest := summaries.get((contest.defense, one.strongest))) is not None
        ]
        if not found:
            raise MoatBenchError("none of the chosen attacks has a row")
        tables = (strongest_table(found), search_table(self._searched()))
        return write_tables(tables, strongest_sentences(found), folder, name, [one.strongest.lineage for one in found])

    def _searched(self) -> list[Searched]:
        found = []
        for contest, standing, _ in self.searches:
            failed = self.failed[contest.defense]
            for name in contest.candidates:
                last = standing.known.get(name)
                seeds, score = (0, None) if last is None else (last.seeds, last.score)
                found.append(Searched(contest.defense, name, seeds, score, failed.get(name, "")))
            found += [Searched(contest.defense, name, 0, None, why) for name, why in contest.left_out.items()]
        return found


def _of(summaries: Mapping[tuple[str, str], Summary], contest: Contest, name: str | None) -> Summary | None:
    return None if name is None else summaries.get((contest.defense, name))
