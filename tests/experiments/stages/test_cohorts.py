"""Real cells whose students are fitted and scored in groups give the rows of cells done one by one."""

from pathlib import Path

import torch

from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store
from tests.experiments.test_cell import rows_of


class Groups(SilentDisplay):
    """Keeps the sizes of groups."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def started(self, keys):
        self.sizes.append(len(keys))


def run(root: Path, cohort: int) -> tuple[Store, list[int]]:
    store, groups = Store(root), Groups()
    rows = rows_of("defense=none,trace_hidden", "attack=imitate", "seed=0")
    outcome = LocalEngine(workers=0, cohort=cohort).run(plan([Wanted(r, "x") for r in rows], store), store, groups)
    assert not outcome.failures, outcome.failures
    return store, groups.sizes


def test_students_in_groups_are_the_students_done_one_by_one(tmp_path):
    rows = rows_of("defense=none,trace_hidden", "attack=imitate", "seed=0")
    alone, singles = run(tmp_path / "alone", 1)
    together, groups = run(tmp_path / "together", 8)
    assert max(singles) == 1
    assert max(groups) >= len({row.student.key for row in rows})
    for row in rows:
        a, b = alone.get(row.student), together.get(row.student)
        assert a is not None
        assert b is not None
        mine, theirs = a.tensors("weights"), b.tensors("weights")
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        one, other = alone.get(row), together.get(row)
        assert one is not None
        assert other is not None
        assert one.table("row").equals(other.table("row"))
        assert one.table("items").equals(other.table("items"))
