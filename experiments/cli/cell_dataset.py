"""``moatbench dataset``: a stored cell's harvest, training sets and answers as a dataset with a card."""

from __future__ import annotations

import sys

from configs.errors import ConfigError, MoatBenchError
from experiments.cli.arguments import CommandLine
from experiments.cli.consoles import count


def main(asked: CommandLine) -> int:
    """Write the folder and say what is in it."""
    from experiments.cli.trace_row import asked_row, commands
    from experiments.publish.dataset_card import UNKNOWN
    from experiments.publish.dataset_folder import new_folder, write_dataset
    from experiments.publish.traced import trace
    from experiments.study import open_cell

    plain = [word for word in asked.words if "=" not in word]
    if not plain:
        raise ConfigError("PATH", "", "must name a folder that is not there yet, after the row")
    path = new_folder("PATH", plain[-1])
    store, row = asked_row(tuple(word for word in asked.words if word != plain[-1]))
    found = trace(store, row)
    if not found.command:
        raise MoatBenchError(f"the texts of row {found.key[:12]} cannot be read: {found.remark}")
    cell = open_cell(found.command[1:], store.root)
    written = write_dataset(cell, found, path, asked.options.licence or UNKNOWN, commands(found), asked.options.jsonl)
    print(f"{path}: {count(len(written), 'table')} and a card; load_dataset({str(path)!r}, 'answers') reads one")
    if not asked.options.licence:
        print("moatbench: the card states no licence: say one with --licence", file=sys.stderr)
    return 0
