"""The same cells under plain Hydra, for its multirun launchers: ``python -m experiments.cli.hydra_app --multirun seed=0,1``.

Each job is one cell; what the store has is not done again, so jobs may overlap, be killed and be repeated. The jobs of a
multirun make one table and one report together, which the last to end leaves whole. ``hydra.job.name=NAME``
names both, so that the next multirun does not replace them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from pathlib import Path

import hydra
from hydra.types import RunMode
from omegaconf import DictConfig

from configs.errors import ConfigError
from experiments.cli import guarded
from experiments.compose.compose import Composed
from experiments.compose.grids import EXPERIMENT
from experiments.compose.resolved import resolved
from experiments.compose.search_path import admit


@hydra.main(version_base="1.3", config_path="pkg://configs", config_name="cell")  # type: ignore[untyped-decorator]
def main(config: DictConfig) -> None:
    """Run the cell that Hydra composed."""
    # joblib's processes have a start method of their own by default, and workers that they start would not know it
    multiprocessing.set_start_method("spawn", force=True)
    code = guarded(lambda: _run(config))
    if code:
        sys.exit(code)


def _run(config: DictConfig) -> int:
    from hydra.core.hydra_config import HydraConfig

    from experiments.claims.reporting import reporting_of
    from experiments.cli.execute import Cells, carry_out

    if EXPERIMENT in config:
        raise ConfigError(
            EXPERIMENT, "", "is a union of grids, which Hydra cannot sweep: use moatbench sweep (docs/experiments.md)"
        )
    overrides = tuple(HydraConfig.get().overrides.task)
    admit(HydraConfig.get().overrides.hydra)
    cell = Composed(overrides, resolved(config), " ".join(overrides))
    kind = Cells(reporting=reporting_of(cell.plain, HydraConfig.get().overrides.hydra))
    return carry_out([cell], _name(HydraConfig.get()), run=_multirun(HydraConfig.get()), kind=kind)


def _name(settings: DictConfig) -> str:
    """Of table and report: ``hydra.job.name`` where one was chosen."""
    return "hydra" if settings.job.name in ("hydra_app", "moatbench") else str(settings.job.name)


def _multirun(settings: DictConfig) -> str:
    """What the jobs of a multirun have in common, and no other: the folder of the sweep. "" for a job of its own."""
    if settings.mode != RunMode.MULTIRUN:
        return ""
    return hashlib.sha256(str(Path(settings.sweep.dir).resolve()).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
