"""``moatbench run`` and ``moatbench sweep``."""

from __future__ import annotations

from experiments.cli.arguments import Asked
from experiments.compose import compose_cells, compose_one, experiment_names
from lm.timing import collecting, timed


def main(asked: Asked) -> int:
    """Compose everything, then run it."""
    with collecting():
        with timed("planning"):
            cells = [compose_one(asked.words)] if asked.command == "run" else compose_cells(asked.words)
            from experiments.cli.execute import carry_out
        options = asked.options
        name = options.name or "+".join(experiment_names(asked.words)) or asked.command
        dry, words = getattr(options, "dry_run", False), (asked.command, *asked.words)
        return carry_out(cells, name, options.workers, dry, options.profile, words)
