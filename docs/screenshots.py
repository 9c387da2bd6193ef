"""Takes the screenshots of the documentation: ``python docs/screenshots.py``, or ``make screenshots``.

Each is of a page that is committed in ``docs/results``, in this machine's Chromium (`MOATBENCH_CHROMIUM` names another);
Playwright, of the extra ``web``, drives it. A test checks that ``docs/images`` holds what is taken here and nothing else.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Shot(NamedTuple):
    """One picture.

    Args:
        page: file in ``docs/results``.
        size: of the window in pixels.
        scheme: ``light`` or ``dark``.
        section: id of what stands at the top, "" for the head of the page.
        chosen: by id of a list, what is chosen in it, as far as its text begins with that.
    """

    page: str
    size: tuple[int, int]
    scheme: str
    section: str = ""
    chosen: tuple[tuple[str, str], ...] = ()


DESK, TELEPHONE = (1440, 940), (390, 844)
SHOTS = {
    "report.png": Shot("overview.html", DESK, "light"),
    "report_transcripts.png": Shot(
        "overview.html", (1440, 760), "light", "transcripts", (("whose", "antidistillation(lam=0.2), imitate"),)
    ),
    "report_telephone.png": Shot("overview.html", TELEPHONE, "dark", "plots"),
}
"""By the picture's name."""

TOP = """id => {
  for (const element of document.querySelectorAll('#filters')) element.style.position = 'static';
  scrollTo({top: document.getElementById(id).getBoundingClientRect().top + scrollY - 16, behavior: 'instant'});
}"""
"""Puts a section at the top, without the filters that would lie on it."""

CHOOSE = """([id, text]) => {
  const list = document.getElementById(id);
  list.value = [...list.options].find((option) => option.textContent.startsWith(text)).value;
  list.dispatchEvent(new Event('change', {bubbles: true}));
}"""


def take(browser: Any, shot: Shot) -> bytes:
    """The picture as a PNG."""
    width, height = shot.size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=shot.scheme)
    page = context.new_page()
    page.goto((DOCS / "results" / shot.page).as_uri())
    for asked in shot.chosen:
        page.evaluate(CHOOSE, asked)
    if shot.section:
        page.evaluate(TOP, shot.section)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    """Take all of them."""
    from playwright.sync_api import sync_playwright  # of an extra: a test reads what is above without it

    program = os.environ.get("MOATBENCH_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print("no Chromium: install one, or name its program in MOATBENCH_CHROMIUM", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to be sandboxed as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for name, shot in SHOTS.items():
            path = IMAGES / name
            path.write_bytes(take(browser, shot))
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
