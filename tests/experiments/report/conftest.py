"""One report, written once."""

from __future__ import annotations

import pytest

from experiments.claims.reporting import claims_of
from experiments.report import Report, write_report
from experiments.report.reference import Reference
from tests.experiments.report.cells import grid


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The grid of two seeds and two attacks."""
    folder = tmp_path_factory.mktemp("report")
    return write_report(grid(), folder, "quick", Reference("antidistillation"), claims_of())


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what a report says: pictures take half of its time."""
    monkeypatch.setattr("experiments.report.write._draw", lambda *_: None)
