"""``moatbench campaign``: simulate campaigns under policies, join them to measured transfer, report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import ConfigError, MoatBenchError, require
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import Composed, compose_sweep
from experiments.compose.grids import experiment_names
from experiments.report.file_names import stem
from lm.timing import collecting, timed

if TYPE_CHECKING:
    from experiments.campaign.report.write import CampaignReport
    from experiments.engine.graph import Wanted
    from experiments.store.entry import Entry
    from experiments.store.store import Store

ROOT = "campaign"
POLICIES = "policy=none,limits,accounts,linking,full"
"""Compared where the command line names no policy."""
WATCHING = "policy=accounts,linking"
"""Whose detectors are shown a log where the command line names no policy."""


def main(asked: CommandLine) -> int:
    """Compose everything, then simulate what is not stored yet."""
    names = experiment_names(asked.words)
    given = any(word.lstrip("+").startswith("policy=") for word in asked.words)
    policies = WATCHING if asked.options.logs else POLICIES
    words = asked.words if given or names else (policies, *asked.words)
    with collecting():
        with timed("planning"):
            sweep = compose_sweep(words, ROOT)
            from experiments.cli.execute import carry_out
            from experiments.cli.plan import repetitions
        for remark in repetitions(sweep):
            print(f"moatbench: {remark}", file=sys.stderr)
        options = asked.options
        if options.logs or options.write_logs:
            require(
                not (options.logs and options.write_logs), "--logs", options.logs, "and --write-logs exclude each other"
            )
            from experiments.cli.campaign_logs import judge_log, write_log

            return (judge_log if options.logs else write_log)(asked, sweep.cells)
        require(options.reference is None, "--reference", options.reference, "needs --logs")
        presets = list(dict.fromkeys(str(cell.plain["campaign"]["name"]) for cell in sweep.cells))
        name = stem(options.name, names, "+".join(presets))
        command = (asked.command, *asked.words)
        return carry_out(
            sweep.cells, name, options.workers, options.dry_run, options.profile, command, kind=Campaigns()
        )


class Campaigns:
    """Campaigns, as `experiments.cli.execute.Kind` wants them."""

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """See `Kind.wanted`."""
        from experiments.campaign.from_config import stage_from
        from experiments.engine.graph import Wanted

        found = []
        for cell in cells:
            try:
                found.append(Wanted(stage_from(cell.plain), cell.label))
            except ConfigError as error:
                if len(cells) == 1:
                    raise
                raise MoatBenchError(f"{error}\n  in {cell.label}") from error
        return found

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """See `Kind.facts`."""
        facts = entry.meta["facts"]
        harvest = entry.table("harvest")
        usable = int(harvest["usable"].sum()) if harvest.height else 0
        return {**{name: facts[name] for name in ("preset", "policy", "seed", "events", "seconds")}, "usable": usable}

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """See `Kind.foresee`: campaigns have no noise floor."""
        return []

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> CampaignReport:
        """See `Kind.report`."""
        from experiments.campaign.campaign_stage import CampaignStage
        from experiments.campaign.joined import report
        from experiments.publish.made import made_of
        from experiments.store.layout import Ref

        rows = [Ref(CampaignStage.name, entry.key) for entry in entries]
        seeds = {entry.meta["facts"]["seed"] for entry in entries}
        made = made_of(entries[0].path.parent.parent, rows, len(seeds))
        return report(entries, cells[0].plain, folder, name, made)
