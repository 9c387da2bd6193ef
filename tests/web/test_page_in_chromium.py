"""The page in a real browser: it opens quickly and silently; it is filtered, sorted, pointed at, read by keyboard."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from experiments.report.page.write_page import write_page
from tests.experiments.report.cells import one
from tests.experiments.report.page.test_page import EVIL
from tests.experiments.report.told import with_texts

pytestmark = pytest.mark.web

DESKTOP, TELEPHONE = (1440, 900), (390, 844)
LOOKS = [(size, scheme) for size in (DESKTOP, TELEPHONE) for scheme in ("light", "dark")]
SECONDS = 2.0

CONTRAST = """(pairs) => {
  const probe = document.createElement("span"); document.body.append(probe);
  const light = (colour) => {
    probe.style.color = colour;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return pairs.map(([a, b]) => {
    const [low, high] = [light(`var(--${a})`), light(`var(--${b})`)].sort((x, y) => x - y);
    return [a, b, (high + 0.05) / (low + 0.05)];
  });
}"""
READ = [
    ("ink", "paper"), ("ink", "raised"), ("muted", "paper"), ("muted", "raised"), ("accent", "paper"), ("good", "good-soft"),
    ("bad", "bad-soft"), ("open", "open-soft"), ("ink", "mark"), ("ink", "mark-gone"),
]  # fmt: skip
"""Colours of text, and what it stands on."""


class Opened:
    """A page, what it complained of, and how long it took to open."""

    def __init__(self, browser, path, size=DESKTOP, scheme="light") -> None:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        context.set_default_timeout(120_000)  # on a busy machine a browser may stand still for long
        self.page, self.said = context.new_page(), []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda r: r.url.startswith(("file:", "data:")) or self.said.append(r.url))
        start = time.monotonic()
        self.page.goto(path.as_uri())
        self.seconds = time.monotonic() - start

    def shown(self, selector: str) -> int:
        return self.page.locator(f"{selector}:visible").count()


def opens_quickly(browser, path, size, scheme) -> bool:
    """In `SECONDS`, at one of some tries: a first page waits for its browser, and any for a machine that is busy."""
    for _ in range(6):
        opened = Opened(browser, path, size, scheme)
        opened.page.context.close()
        if opened.seconds < SECONDS:
            return True
    return False


@pytest.fixture(scope="module")
def desktop(browser, written):
    return Opened(browser, written)


@pytest.fixture
def fresh(desktop):
    desktop.page.reload()
    return desktop


@pytest.mark.parametrize(("size", "scheme"), LOOKS, ids=str)
def test_it_opens_quickly_and_silently_at_every_width_and_scheme(browser, written, size, scheme):
    opened = Opened(browser, written, size, scheme)
    page = opened.page
    assert opens_quickly(browser, written, size, scheme)
    assert not opened.said
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nor when all is opened"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 23)"
    assert dark == (scheme == "dark")
    weak = [pair for pair in page.evaluate(CONTRAST, READ) if pair[2] < 4.5]
    assert not weak, "text stands out from what it is on (WCAG AA)"
    assert opened.shown("#main tbody tr") == 20


def test_filters_leave_what_is_asked_for(fresh):
    page = fresh.page
    page.get_by_role("combobox", name="defense", exact=True).first.select_option("antidistillation")
    assert page.locator("#count").inner_text() == "4 of 20 configurations"
    assert fresh.shown("#main tbody tr") == 4
    page.get_by_role("combobox", name="attack", exact=True).first.select_option("imitate")
    assert fresh.shown("#main tbody tr") == 2
    figure = page.locator("figure:visible").first
    numbers = figure.locator(".mark:not(.off)").evaluate_all("marks => [...new Set(marks.map(m => m.dataset.c))]")
    assert len(numbers) == 2
    assert page.locator("#main thead th:visible").count() == 16
    page.get_by_role("combobox", name="family", exact=True).first.select_option("code")
    assert page.locator("#main thead th:visible").count() == 12, "one family in the place of four and all together"
    assert page.locator("figure:visible").evaluate_all("f => f.map(x => x.dataset.family)") == ["pooled", "code"]
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('20 of')")
    assert fresh.shown("#main tbody tr") == 20
    assert not fresh.said


def test_headings_sort_and_say_so(fresh):
    page = fresh.page
    head = page.locator("#main thead th", has_text="pooled")
    for direction in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        place = head.evaluate("h => [...h.parentNode.children].indexOf(h)")
        values = page.locator("#main tbody tr").evaluate_all(
            f"rows => rows.map(r => Number(r.children[{place}].dataset.v))"
        )
        ordered = [a <= b if direction == "ascending" else a >= b for a, b in pairwise(values)]
        assert all(ordered)
        assert values[0] != values[-1]


def test_a_plot_is_read_by_keyboard(fresh):
    page, tip = fresh.page, fresh.page.locator("#tip")
    page.locator("figure:visible .plot").first.focus()
    assert tip.is_hidden()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        assert tip.is_visible()
        seen.append(tip.inner_text())
    assert len(set(seen)) == 3
    assert "under" in seen[0]
    assert "transfer" in seen[0]
    page.keyboard.press("ArrowLeft")
    assert tip.inner_text() == seen[1]
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_pointing_says_the_numbers_of_the_table(fresh):
    page = fresh.page
    figure = page.locator("figure:visible").first
    figure.scroll_into_view_if_needed()
    number = figure.locator(".mark use").last.evaluate("m => m.closest('.mark').dataset.c")
    box = figure.locator(f".mark[data-c='{number}'] use").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    said = page.locator("#tip").inner_text()
    row = page.locator(f"#main tr[data-c='{number}']")
    assert row.locator("th").inner_text() in said
    transfer = row.locator("td[data-f=pooled]")
    assert transfer.locator(".value").inner_text() in said
    assert transfer.locator(".limits").inner_text() in said


def test_any_pair_can_be_compared_either_way_round(fresh):
    page = fresh.page

    def lines(first: str, second: str) -> list[tuple[float, str]]:
        page.locator("#first").select_option(label=first)
        page.locator("#second").select_option(label=second)
        rows = page.locator("#pairtable tbody tr")
        return rows.evaluate_all("r => r.map(x => [Number(x.children[5].dataset.v), x.children[5].textContent])")

    one_way, other = lines("antidistillation", "temperature"), lines("temperature", "antidistillation")
    assert len(one_way) == len(other) > 3
    assert [v for v, _ in one_way] == [-v for v, _ in other]
    text, turned = one_way[0][1], other[0][1]
    assert text.startswith("−") != turned.startswith("−") or text == turned
    low, high = text[text.index("[") + 1 : -1].split(", ")
    assert turned[turned.index("[") + 1 : -1].split(", ") == [_turned(high), _turned(low)]
    assert lines("temperature", "temperature") == []
    assert page.locator("#nopairs").is_visible()


def _turned(number: str) -> str:
    return number if not number.strip("−.0") else number[1:] if number.startswith("−") else f"−{number}"


def test_transcripts_stand_side_by_side_with_differences_marked(fresh):
    page = fresh.page
    page.locator("#whose").select_option(label="trace_hidden, imitate, seed 1")
    items = page.locator("#items > li")
    assert items.count() == 2
    assert "add 2 -> 7" in items.first.locator(".side").nth(0).locator("del").inner_text()
    assert items.first.locator(".side").nth(1).locator("ins").count() == 0
    assert "Refused" in items.nth(1).inner_text()
    page.locator("#what").select_option("heldout")
    assert items.count() == 1
    assert items.first.locator(".chip").all_inner_texts() == ["wrong", "right to the lenient grader", "right", "right"]
    page.get_by_role("combobox", name="attack", exact=True).first.select_option("adaptive")
    assert "adaptive" in page.locator("#whose option:checked").inner_text()


def test_everything_that_can_be_used_has_a_name(fresh):
    page = fresh.page
    unnamed = """() => [...document.querySelectorAll("select, button, .plot, .scroll, nav, form, table")].filter((node) => {
      const label = node.labels && node.labels[0] ? node.labels[0].textContent : "";
      return !(node.getAttribute("aria-label") || label || node.textContent).trim();
    }).map((node) => node.outerHTML.slice(0, 90))"""
    assert page.evaluate(unnamed) == []
    for name in ("defense", "attack", "family"):
        assert page.get_by_role("combobox", name=name, exact=True).count() >= 1
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), "no level is left out"
    assert page.locator("th:not([scope])").count() == 0
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the table of cells"


def test_what_others_wrote_is_not_obeyed(browser, tmp_path):
    attack = 'x"><svg onload=alert(4)>'
    cells = [
        with_texts(one("<img src=x onerror=alert(5)>", None, 0.4, 0.9, seed, attack), EVIL, EVIL) for seed in (1, 2)
    ]
    opened = Opened(browser, write_page(cells, tmp_path, "evil"))
    opened.page.locator("#what").select_option("heldout")
    opened.page.locator("#what").select_option("harvest")
    opened.page.wait_for_timeout(200)
    assert not opened.said
    assert opened.page.locator("img").count() == 0
    assert "<img src=x onerror=alert(2)>" in opened.page.locator("#items").inner_text()
