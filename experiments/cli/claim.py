"""``moatbench claim``: run the grid of a claim and say what its cells show of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import ConfigError
from experiments.cli.arguments import CommandLine
from experiments.cli.settling import calibrated
from experiments.compose.compose import Composed, compose_sweep
from experiments.compose.grids import CLAIM
from experiments.compose.hydra_session import session
from experiments.report.file_names import stem
from lm.timing import collecting, timed

if TYPE_CHECKING:
    from rich.console import Console

    from experiments.claims.base import Claim
    from experiments.claims.reporting import Reporting
    from experiments.engine.graph import Wanted
    from experiments.report.finding import Finding
    from experiments.store.entry import Entry
    from experiments.store.stage import Stage
    from experiments.store.store import Store


def main(asked: CommandLine) -> int:
    """Compose the claim's grid, run what is not stored, and print verdict and sentence."""
    name, words = named(asked.words)
    with collecting():
        with timed("planning"):
            sweep = compose_sweep((f"+{CLAIM}={name}", *words))
            from experiments.claims.reporting import claim_of, reporting_of
            from experiments.cli.execute import Cells, carry_out
            from experiments.cli.plan import repetitions

            claim = claim_of(name, words)
            reporting = reporting_of(sweep.cells[0].plain, words)
        for remark in repetitions(sweep):
            print(f"moatbench: {remark}", file=sys.stderr)
        options, command = asked.options, (asked.command, *asked.words)
        cells, code = calibrated(sweep.cells, options.workers, options.dry_run, command)
        if not cells:  # a calibration failed; or of a plan, all of whose cells wait
            return code
        kind = Measured(claim) if _measured(claim, cells[0]) is not None else Judged(claim, Cells(), reporting)
        file = stem(options.name, [name], CLAIM)
        return carry_out(cells, file, options.workers, options.dry_run, options.profile, command, kind)


def named(words: Sequence[str]) -> tuple[str, list[str]]:
    """The claim's name, and the overrides.

    Raises:
        ConfigError: no name, or several.
    """
    plain, overrides = ([w for w in words if ("=" in w) == given] for given in (False, True))
    if len(plain) != 1:
        with session(overrides) as hydra:
            known = hydra.files([o for o in overrides if o.startswith("hydra.")]).options(CLAIM)
        raise ConfigError(CLAIM, " ".join(plain), "name one claim: moatbench claim NAME", known)
    return plain[0], overrides


def _measured(claim: Claim, cell: Composed) -> Stage | None:
    from experiments.cell_from import cell_from

    return claim.measurement(cell_from(cell.plain))


@dataclass(frozen=True)
class Said:
    """What a claim's command shows: the verdict first.

    Args:
        claim: that was judged.
        finding: None where the cells do not let it be judged.
        files: that were written.
    """

    claim: Claim
    finding: Finding | None
    files: Mapping[str, Path]

    def terminal(self, console: Console) -> None:
        """Print verdict, prediction, sentence and evidence."""
        from rich.text import Text

        from experiments.report import terminal
        from experiments.report.claims_table import evidence_table

        title = f"{self.claim.label} {self.claim.name}".strip()
        verdict = "cannot be judged by these cells" if self.finding is None else self.finding.verdict
        console.print(Text(f"{title}: {verdict}", style="bold"))
        console.print(Text(f"Predicted: {self.claim.statement} ({self.claim.source})"))
        if self.finding is None:
            return
        if self.finding.sentence:
            console.print(Text(f"Found: {self.finding.sentence}"))
        for table in filter(None, (evidence_table(self.finding), self.finding.table)):
            terminal.render(table, console)


class Judged:
    """Cells whose rows let a claim be judged, as `experiments.cli.execute.Kind` wants them.

    Args:
        claim: that is asked for.
        cells: how rows are run and shown.
        reporting: of the report that is written too; the claim takes the place of the one of its name there.
    """

    def __init__(self, claim: Claim, cells: Any, reporting: Reporting) -> None:
        self.claim, self.cells = claim, cells
        others = tuple(claim if one.name == claim.name else one for one in reporting.claims)
        self.reporting = reporting._replace(claims=others)
        self.wanted, self.facts, self.foresee = cells.wanted, cells.facts, cells.foresee

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Said:
        """See `Kind.report`."""
        from experiments.cli.stored_rows import results_of
        from experiments.report import write_report

        written = write_report(results_of(entries, cells), folder, name, *self.reporting)
        return Said(self.claim, written.findings.get(self.claim.name), written.files)


class Measured:
    """Cells of which a claim measures something of its own.

    Args:
        claim: that is asked for.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """See `Kind.wanted`."""
        from experiments.cell_from import cell_from
        from experiments.compose.interning import Interning
        from experiments.engine.graph import Wanted

        interning = Interning()
        stages = [(self.claim.measurement(cell_from(cell.plain, interning)), cell.label) for cell in cells]
        return [Wanted(stage, label) for stage, label in stages if stage is not None]

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """See `Kind.facts`: there is no row to show."""
        return {}

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """See `Kind.foresee`: noise floors are of rows."""
        return []

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Said:
        """See `Kind.report`: NAME.json and NAME.md."""
        from experiments.report import markdown
        from experiments.report.claims_table import claims_table, evidence_table
        from experiments.report.write import claim_record

        finding = self.claim.judge_tables([entry.table("measured") for entry in entries])
        if finding is None:
            return Said(self.claim, None, {})
        folder.mkdir(parents=True, exist_ok=True)
        files = {kind: folder / f"{name}.{kind}" for kind in ("json", "md")}
        record = json.dumps(claim_record(self.claim, finding), indent=1, sort_keys=True, allow_nan=False)
        files["json"].write_text(record + "\n", encoding="utf-8")
        tables = filter(None, (claims_table([(self.claim, finding)]), evidence_table(finding), finding.table))
        text = markdown.render(list(tables), [finding.sentence], f"MoatBench: {name}")
        files["md"].write_text(text, encoding="utf-8")
        return Said(self.claim, finding, files)
