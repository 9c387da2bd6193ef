"""``moatbench campaign --logs`` and ``--write-logs``: detectors over a request log, and logs of simulated campaigns."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError, require
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import Composed
from experiments.report.file_names import stem

if TYPE_CHECKING:
    from defenses.admission.detector import Detector
    from experiments.campaign.config.campaign import Campaign


def judge_log(asked: CommandLine, cells: list[Composed]) -> int:
    """Show the log to the detectors of all policies that were asked for, and report."""
    from experiments.campaign.logs.log_reference import SIMULATED
    from experiments.campaign.logs.log_report import write_log_report
    from experiments.campaign.logs.replay import replay
    from experiments.cli.consoles import results

    options = asked.options
    campaigns = [_campaign(cell) for cell in cells]
    path = Path(options.logs)
    name = stem(options.name, (), f"log_{path.stem}")
    detectors = detectors_of(campaigns)
    if options.dry_run:
        for label, detector in detectors.items():
            print(f"{label}: reads {', '.join(detector.reads)}")
        return 0
    begun = time.perf_counter()
    found = replay(path, detectors, campaigns[0], options.reference or SIMULATED, _tell)
    seconds = time.perf_counter() - begun
    report = write_log_report(found, Path(str(cells[0].plain["out"])), name)
    report.terminal(results())
    print(f"{len(found.log) + found.log.refused:,} rows in {seconds:.0f} s", file=sys.stderr)
    for file in report.files.values():
        print(file, file=sys.stderr)
    return 0


def detectors_of(campaigns: list[Campaign]) -> dict[str, Detector]:
    """The detectors of all policies, each once; those of one name that differ are called POLICY_NAME from the second on.

    Raises:
        ConfigError: no policy has one.
    """
    found: dict[str, Detector] = {}
    for campaign in campaigns:
        for name, detector in campaign.policy.detectors.items():
            if detector in found.values():
                continue
            label = name if name not in found else f"{campaign.policy.name}_{name}"
            number = 2
            while label in found:
                label, number = f"{campaign.policy.name}_{name}_{number}", number + 1
            found[label] = detector
    policies = ", ".join(dict.fromkeys(campaign.policy.name for campaign in campaigns))
    require(bool(found), "policy", policies, "has no detector: take accounts, linking or watch")
    return found


def write_log(asked: CommandLine, cells: list[Composed]) -> int:
    """Simulate the one campaign that was asked for, and write what its providers' logs would hold."""
    from experiments.campaign.logs.export import export

    if len(cells) != 1:
        raise ConfigError("--write-logs", len(cells), "takes one campaign: name one policy and one seed")
    campaign = _campaign(cells[0])
    if asked.options.dry_run:
        return 0
    result, files = export(campaign, Path(asked.options.write_logs), int(cells[0].plain["threads"]))
    print(f"{result.facts['events']:,} requests", file=sys.stderr)
    for provider, file in files.items():
        print(f"{provider}: {file}")
    return 0


def _campaign(cell: Composed) -> Campaign:
    from experiments.campaign.from_config import stage_from

    return stage_from(cell.plain).campaign


def _tell(what: str) -> None:
    print(f"moatbench: {what}", file=sys.stderr)
