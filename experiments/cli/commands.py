"""The subcommands of ``moatbench``, in the order of its help. Imports nothing heavy."""

from __future__ import annotations

from experiments.cli.commands_keeps import KEEPS
from experiments.cli.commands_reads import READS
from experiments.cli.commands_runs import RUNS

COMMANDS = {**RUNS, **READS, **KEEPS}
