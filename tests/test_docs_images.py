"""Pictures of the documentation: those that are shown are there, and screenshots are what a command takes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)([^)\s]+)\)|<img[^>]*\ssrc=\"(?!https?:)([^\"]+)\"")
IMAGES = ROOT / "docs" / "images"
HEAVIEST = 200_000


def screenshots():
    spec = importlib.util.spec_from_file_location("docs_screenshots", ROOT / "docs" / "screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown() -> set[tuple[Path, Path]]:
    """Page and picture."""
    found = [(page, a or b) for page in PAGES for a, b in PICTURE.findall(page.read_text())]
    return {(page, (page.parent / name).resolve()) for page, name in found}


def test_every_picture_that_is_shown_is_there():
    pairs = shown()
    assert len(pairs) > 10
    assert not [(page.name, picture) for page, picture in pairs if not picture.is_file()]


def test_screenshots_are_those_that_the_command_takes():
    shots = screenshots().SHOTS
    assert {path.name for path in IMAGES.iterdir()} == set(shots)
    assert {picture for _, picture in shown() if picture.parent == IMAGES} == {IMAGES / name for name in shots}
    for name, shot in shots.items():
        assert (ROOT / "docs" / "results" / shot.page).is_file()
        assert (IMAGES / name).stat().st_size < HEAVIEST
        with Image.open(IMAGES / name) as picture:
            assert (picture.format, picture.size) == ("PNG", shot.size)
