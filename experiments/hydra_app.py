"""The same cells under plain Hydra, for its multirun launchers: ``python -m experiments.hydra_app --multirun seed=0,1``.

Each job is one cell; what the store has is not done again, so jobs may overlap, be killed and be repeated.
"""

from __future__ import annotations

import multiprocessing
import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from configs.errors import ConfigError, MoatBenchError
from experiments.compose import EXPERIMENT, Composed
from experiments.search_path import admit


@hydra.main(version_base="1.3", config_path="pkg://configs", config_name="cell")  # type: ignore[untyped-decorator]
def main(config: DictConfig) -> None:
    """Run the cell that Hydra composed."""
    from hydra.core.hydra_config import HydraConfig

    from experiments.cli.execute import carry_out

    # joblib's processes have a start method of their own by default, and workers that they start would not know it
    multiprocessing.set_start_method("spawn", force=True)
    try:
        if EXPERIMENT in config:
            raise ConfigError(EXPERIMENT, "", "is a union of grids, which Hydra cannot sweep: use moatbench sweep")
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        overrides = tuple(HydraConfig.get().overrides.task)
        admit(HydraConfig.get().overrides.hydra)
        code = carry_out([Composed(overrides, {str(k): v for k, v in plain.items()}, " ".join(overrides))], "hydra")
    except MoatBenchError as error:
        print(f"moatbench: {error}", file=sys.stderr)
        code = int(getattr(error, "exit_code", 2))
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
