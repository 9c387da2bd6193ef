from __future__ import annotations

import numpy as np

from experiments.campaign.world.columns import Columns


def test_new_rows_are_blank_and_old_ones_stay():
    columns = Columns({"count": np.int64(0), "score": np.float64(np.nan), "on": False, "rung": np.int8(3)})
    assert list(columns) == ["count", "score", "on", "rung"]
    columns.grow(2)
    columns["count"][:] += [5, 6]
    columns["on"][1] = True
    columns.grow(4)
    columns.grow(3)  # never shrinks
    assert columns["count"].tolist() == [5, 6, 0, 0]
    assert columns["on"].tolist() == [False, True, False, False]
    assert np.isnan(columns["score"]).all()
    assert columns["rung"].tolist() == [3] * 4
    assert [columns[name].dtype for name in columns] == [np.int64, np.float64, np.bool_, np.int8]


def test_columns_without_names_are_nothing():
    columns = Columns({})
    columns.grow(10)
    assert list(columns) == []
