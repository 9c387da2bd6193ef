"""``moatbench show``: a resolved cell or campaign as YAML, and its stages as comments below; of an experiment what its file
says, and what its cells are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from experiments.calibration.settle import settle
from experiments.cli.arguments import CommandLine
from experiments.cli.roots import root_of
from experiments.compose.compose import ROOT, compose_cells, compose_one
from experiments.compose.grids import notes_of

if TYPE_CHECKING:
    from experiments.store.stage import Stage
    from experiments.store.store import Store


def main(asked: CommandLine) -> int:
    """Print the YAML, which can be read back, and one comment line for each stage; of an experiment its notes, and one line
    for each cell."""
    root = root_of(asked.words) or ROOT
    if notes := notes_of(asked.words):
        labels = [cell.label for cell in compose_cells(asked.words, root)]
        print("\n".join([*(line for told in notes.values() for line in told.lines()), "", "# cells", *labels]))
        return 0
    one = compose_one(asked.words, root)
    if root == ROOT:
        one = next(iter(settle([one]).cells), one)
    print(OmegaConf.to_yaml(one.config), end="")
    from experiments.cli.campaign import Campaigns
    from experiments.cli.execute import Cells, Kind
    from experiments.cli.stored_rows import store_of

    kind: Kind = Cells() if root == ROOT else Campaigns()
    (last,) = kind.wanted([one])
    store, found = store_of([one]), dict[str, str]()
    _walk(last.stage, store, found)
    print("\n# stages: key, stored or not, name")
    for line in found.values():
        print(line)
    return 0


def _walk(stage: Stage, store: Store, found: dict[str, str]) -> None:
    if stage.key in found:
        return
    for needed in stage.inputs().values():
        _walk(needed, store, found)
    found[stage.key] = f"# {stage.key}  {'stored' if store.has(stage) else 'to do '}  {stage.name}"
