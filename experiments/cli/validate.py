"""``moatbench validate``: hold the published findings that the project counts against the lab."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from experiments.cli.arguments import CommandLine
from experiments.cli.settling import calibrated
from experiments.compose.compose import compose_sweep
from experiments.compose.grids import CLAIM
from experiments.report.file_names import stem
from lm.timing import collecting, timed

if TYPE_CHECKING:
    from experiments.claims.base import Claim


def main(asked: CommandLine) -> int:
    """Compose the grids of all claims, run what is not stored, judge each claim by its own cells, and print one table."""
    names, words = [w for w in asked.words if "=" not in w], [w for w in asked.words if "=" in w]
    for word in words:
        if word.lstrip("+~").partition("=")[0].partition(".")[0] == CLAIM:
            raise ConfigError("validate", word, "sets a field of one claim: moatbench claim NAME " + word)
    with collecting():
        with timed("planning"):
            claims = chosen(names, words)
            sweeps = [compose_sweep((f"+{CLAIM}={claim.name}", *words)) for claim in claims]
            from experiments.calibration.settle import settle
            from experiments.cli.execute import carry_out
            from experiments.cli.plan import repetitions
            from experiments.cli.validation import Validation, cells_of_claim
            from experiments.compose.interning import Interning

        for remark in (remark for sweep in sweeps for remark in repetitions(sweep)):
            print(f"moatbench: {remark}", file=sys.stderr)
        options, command = asked.options, (asked.command, *asked.words)
        cells, code = calibrated(
            [cell for sweep in sweeps for cell in sweep.cells], options.workers, options.dry_run, command
        )
        if not cells:  # a calibration failed; or of a plan, all of whose cells wait
            return code
        interning = Interning()
        kind = Validation(
            [cells_of_claim(c, settle(s.cells).cells, interning) for c, s in zip(claims, sweeps, strict=True)]
        )
        file = stem(options.name, [], "validation")
        return carry_out(kind.cells(), file, options.workers, options.dry_run, options.profile, command, kind)


def chosen(names: Sequence[str], words: Sequence[str]) -> list[Claim]:
    """The claims of these names or labels; without any, all that have a label. In the order of their labels.

    Raises:
        ConfigError: a name that is none.
    """
    from experiments.claims.reporting import claims_of

    known = claims_of(words)
    called = {called: claim for claim in known for called in (claim.name, claim.label.lower()) if called}
    for name in names:
        if name.lower() not in called:
            raise ConfigError(CLAIM, name, f"there is no such {CLAIM}", [claim.name for claim in known])
    wanted = {called[name.lower()].name for name in names}
    return [claim for claim in known if (claim.name in wanted if names else claim.label)]
