"""``moatbench report``: one HTML file of stored rows, that opens from disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.grids import experiment_names
from experiments.report.file_names import stem
from experiments.store.places import somewhere


def main(asked: CommandLine) -> int:
    """Write the page and say where it is."""
    options = asked.options
    otherwise = "all" if options.all else "report"
    name = stem(options.name or options.kept, experiment_names(asked.words), otherwise)
    from experiments.claims.reporting import reporting_of
    from experiments.cli.chosen_rows import chosen_rows
    from experiments.compose.grids import notes_of
    from experiments.publish.made import made_of
    from experiments.report.page.write_page import write_page
    from experiments.stages.row import RowStage
    from experiments.store.layout import Ref

    results, first, out, root = chosen_rows(asked.words, options)
    reporting = reporting_of(first.plain, asked.words, options.reference)
    rows = [Ref(RowStage.name, key) for result in results for key in result.lineage.rows]
    made = made_of(root, rows, len({result.seed for result in results}))
    about = " ".join(notes.description for notes in notes_of(asked.words).values() if notes.description)
    with somewhere(out) as place:
        page = write_page(results, place, name, *reporting, made=made, about=about, methods=_methods(asked.words))
        size = page.stat().st_size
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
        return 1
    print(f"written: {page} ({size / 1e6:.1f} MB; open it in a browser)")
    return 0


def _methods(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each defense and each attack is that can be chosen, by group and name."""
    from experiments.cli.choices import items
    from experiments.compose.hydra_session import session
    from experiments.compose.search_path import SEARCH_PATH

    paths = [word for word in words if word.startswith(f"{SEARCH_PATH}=")]
    with session(paths) as hydra:
        return {group: {i.name: i.line for i in items(group, hydra, paths)} for group in ("defense", "attack")}
