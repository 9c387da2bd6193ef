"""All claims at once: their cells in one plan, each judged by its own, as `experiments.cli.execute` wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cell_from import cell_from
from experiments.claims.base import Claim
from experiments.cli.execute import Cells
from experiments.cli.stored_rows import results_of, wanted_rows
from experiments.compose.compose import Composed
from experiments.compose.interning import Interning
from experiments.engine.graph import Wanted
from experiments.report import Report
from experiments.report.finding import Finding
from experiments.report.validation_table import validation_tables, validation_words
from experiments.report.write import summaries_of
from experiments.report.write_tables import write_tables
from experiments.stages.row import RowStage
from experiments.store.entry import Entry
from experiments.store.layout import Ref
from experiments.store.maintenance.lineage import Lineages, joined
from experiments.store.store import Store


@dataclass(frozen=True)
class ClaimCells:
    """What one claim is judged by.

    Args:
        claim: to be judged.
        cells: of its grid.
        stages: the last stage of each: its row, or what the claim measures of its own.
    """

    claim: Claim
    cells: tuple[Composed, ...]
    stages: tuple[Wanted, ...]

    @property
    def measured(self) -> bool:
        """Whether the claim measures something that rows know nothing of."""
        return not all(isinstance(one.stage, RowStage) for one in self.stages)

    def finding(self, entries: Mapping[str, Entry]) -> Finding | None:
        """What is stored of its cells says; None where one is missing.

        Args:
            entries: by key of their stages.
        """
        own = {one.stage.key: entries.get(one.stage.key) for one in self.stages}
        known = [entry for entry in own.values() if entry is not None]
        if not known or len(known) < len(own):
            return None
        if self.measured:
            return self.claim.judge_tables([entry.table("measured") for entry in known])
        return self.claim.judge(summaries_of(results_of(known, self.cells, self.stages)))


def cells_of_claim(claim: Claim, cells: Sequence[Composed], interning: Interning) -> ClaimCells:
    """What a claim is judged by; raises `ConfigError` for a cell that cannot be."""
    own = [claim.measurement(cell_from(cell.plain, interning)) for cell in cells]
    measured = [Wanted(stage, cell.label) for stage, cell in zip(own, cells, strict=True) if stage is not None]
    return ClaimCells(claim, tuple(cells), tuple(measured or wanted_rows(cells)))


class Validation:
    """An `experiments.cli.execute.Kind`. Cells that several claims ask for are run once.

    Args:
        asked: the claims, in order.
    """

    def __init__(self, asked: Sequence[ClaimCells]) -> None:
        self.asked = asked
        self._unique: dict[str, tuple[Composed, Wanted]] = {}
        for one in asked:
            for cell, wanted in zip(one.cells, one.stages, strict=True):
                self._unique.setdefault(wanted.stage.key, (cell, wanted))

    def cells(self) -> list[Composed]:
        """A cell for each stage that is wanted."""
        return [cell for cell, _ in self._unique.values()]

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """See `Kind.wanted`."""
        return [wanted for _, wanted in self._unique.values()]

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """See `Kind.facts`; what claims measure of their own has no row."""
        _, wanted = self._unique[str(entry.manifest["key"])]
        return entry.table("row").row(0, named=True) if isinstance(wanted.stage, RowStage) else {}

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """See `Kind.foresee`: of what is judged by rows."""
        return Cells().foresee(rows, cells, store)

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Report:
        """See `Kind.report`: NAME.md, .csv, .tex, NAME_page.tex and .json."""
        by_key = {str(entry.manifest["key"]): entry for entry in entries}
        judged = [(one.claim, one.finding(by_key)) for one in self.asked]
        lineages = Lineages(entries[0].path.parent.parent) if entries else None
        made = [
            joined(
                lineages.of(Ref(one.stage.name, one.stage.key))
                for one in asked.stages
                if lineages is not None and one.stage.key in by_key
            )
            for asked in self.asked
        ]
        return write_tables(validation_tables(judged), validation_words(judged), folder, name, made)
