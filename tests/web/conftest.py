"""A real browser. Playwright drives it, and is imported only where it is asked for, so that all other tests need neither."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from experiments.claims.reporting import claims_of
from experiments.report.page.write_page import write_page
from experiments.report.reference import Reference
from tests.experiments.report.cells import grid
from tests.experiments.report.told import with_texts

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NONE = "no Chromium: install one (Debian: apt-get install chromium), or name its program in MOATBENCH_CHROMIUM"


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    program = os.environ.get("MOATBENCH_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program is not None, NONE
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to be sandboxed as root
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two seeds and two attacks, with texts."""
    cells = [with_texts(result) for result in grid()]
    return write_page(cells, tmp_path_factory.mktemp("page"), "quick", Reference("antidistillation"), claims_of())
