"""The page of campaigns in a real browser: every width and scheme, filters, marks, keyboard, and hostile names."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.experiments.campaign.report.page.test_campaign_page import EVIL, write
from tests.web.test_page_in_chromium import CONTRAST, LOOKS, READ, Opened, opens_quickly

pytestmark = pytest.mark.web


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("campaign")).files["html"]


@pytest.fixture
def opened(browser, page_file):
    return Opened(browser, page_file)


@pytest.mark.parametrize(("size", "scheme"), LOOKS, ids=str)
def test_it_opens_quickly_and_silently_at_every_width_and_scheme(browser, page_file, size, scheme):
    opened = Opened(browser, page_file, size, scheme)
    page = opened.page
    assert opens_quickly(browser, page_file, size, scheme)
    assert not opened.said
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 23)"
    assert dark == (scheme == "dark")
    assert not [pair for pair in page.evaluate(CONTRAST, READ) if pair[2] < 4.5]
    assert opened.shown("#ranked tbody tr") == 3
    assert opened.shown("figure") == 11


def test_filters_leave_a_policy_and_a_detector(opened):
    page = opened.page
    page.get_by_role("combobox", name="policy", exact=True).select_option("linking")
    assert page.locator("#count").inner_text() == "1 of 3 policies"
    assert opened.shown("#ranked tbody tr") == 1
    assert {row.strip() for row in page.locator("#thresholds tbody tr:visible th").all_inner_texts()} == {"linking"}
    assert "full" not in [text.partition(",")[0] for text in page.locator("figcaption:visible").all_inner_texts()]
    page.get_by_role("combobox", name="detector", exact=True).select_option("window")
    marks = page.locator("#trade figure:visible .mark:not(.off)").evaluate_all("m => m.map(x => Number(x.dataset.c))")
    data = page.evaluate("JSON.parse(document.getElementById('data').textContent).cells")
    assert {(data[i]["policy"], data[i]["detector"]) for i in marks} == {("linking", "window")}
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('3 of')")
    assert not opened.said


def test_marks_say_the_numbers_of_the_tables(opened):
    page, tip = opened.page, opened.page.locator("#tip")
    page.locator("#harvest .plot").first.focus()
    page.keyboard.press("ArrowRight")
    name = tip.locator("b").inner_text()
    row = page.locator("#ranked tbody tr", has=page.locator(f"th:text-is('{name}')"))
    assert row.locator(".value").first.inner_text() in tip.inner_text()
    plot = page.locator("#trade .plot").first
    plot.focus()
    seen = set()
    marks = plot.locator(".mark").evaluate_all("m => [...new Set(m.map(x => x.dataset.c))].length")
    for _ in range(marks):
        page.keyboard.press("ArrowRight")
        seen.add(tip.inner_text())
    assert len(seen) == marks > 6
    assert any("in force" in text for text in seen)
    assert all("harvest that passes" in text for text in seen)
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_headings_sort_and_everything_has_a_name(opened):
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the ranking of policies"
    head = page.locator("#ranked thead th", has_text="% of plan")
    head.get_by_role("button").click()
    place = head.evaluate("h => [...h.parentNode.children].indexOf(h)")
    values = page.locator("#ranked tbody tr").evaluate_all(f"r => r.map(x => Number(x.children[{place}].dataset.v))")
    assert values == sorted(values)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0


def test_names_are_not_obeyed(browser, tmp_path):
    opened = Opened(browser, write(tmp_path, policy=EVIL, operation=EVIL).files["html"])
    opened.page.locator("#harvest .plot").first.focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    opened.page.wait_for_timeout(200)
    assert not opened.said
    assert opened.page.locator("img").count() == 0
    assert EVIL in opened.page.locator("#operations").inner_text()
