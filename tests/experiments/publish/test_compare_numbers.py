"""Two sides that state the same numbers: the rule by which they agree, what is read of each kind, what is refused."""

from __future__ import annotations

import json
from math import sqrt

import numpy as np
import pytest
from scipy.special import stdtrit

from experiments.cli import main
from experiments.publish.archive import write_archive
from experiments.publish.compare_numbers import compare, difference
from experiments.publish.page_numbers import made_of_page, number_in, page_numbers
from experiments.publish.paper_artifact import artifact
from experiments.publish.stated import Made, StatedNumber, StatedNumbers
from experiments.report import write_report
from experiments.store.store import Store
from tests.experiments.publish.test_paper_artifact import fill
from tests.experiments.report.cells import grid
from tests.test_pages import DOCS


def sides(first, second):
    places = [(("number", str(i)),) for i in range(len(first))]
    numbers = [dict(zip(places, own, strict=True)) for own in (first, second)]
    return [StatedNumbers(name, "measures", own, Made()) for name, own in zip("ab", numbers, strict=True)]


def stated(value, half=None, freedom=None):
    return StatedNumber(value, *((None, None) if half is None else (value - half, value + half)), freedom)


def test_one_comparison_is_the_textbook_one():
    t = float(stdtrit(8, 0.975))
    first, second = stated(0.5, 0.1 * t, 8), stated(0.2, 0.1 * t, 8)
    gap = difference(first, second)
    assert gap.error == pytest.approx(sqrt(0.02))
    assert gap.freedom == pytest.approx(16)  # Welch, of equal errors
    assert gap.high - gap.value == pytest.approx(float(stdtrit(16, 0.975)) * sqrt(0.02))


def test_the_side_towards_the_other_number_counts():
    first, second = StatedNumber(0.9, 0.5, 0.92), StatedNumber(0.6, 0.58, 0.8)
    assert difference(first, second).error == pytest.approx(sqrt(0.4**2 + 0.2**2) / 1.96, rel=1e-3)
    assert difference(second, first).value == pytest.approx(-0.3)
    assert difference(second, first).error == difference(first, second).error


def test_of_runs_that_differ_by_nothing_few_show_a_difference():
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(200):
        draws = rng.normal(0, 0.1, (2, 40))
        result = compare(*sides(*([stated(x, 0.196) for x in own] for own in draws)))
        shown += bool(result.apart)
    assert 2 <= shown <= 20  # 5 % of 200 are 10


def test_a_difference_is_found_among_many_numbers():
    first = [stated(0.1 * i, 0.02) for i in range(50)]
    second = [*first[:49], stated(4.9 + 0.3, 0.02)]
    result = compare(*sides(first, second))
    assert [one.place for one in result.apart] == [(("number", "49"),)]
    assert sum(one.same for one in result.found) == 49


def test_numbers_without_an_interval_are_equal_or_not():
    result = compare(*sides([stated(3.0), stated(4.0), stated(5.0, 0.1)], [stated(3.0), stated(4.1), stated(5.2)]))
    assert [one.place[0][1] for one in result.unequal] == ["1"]
    assert [one.place[0][1] for one in result.apart] == ["2"]


def test_a_rounded_number_may_be_off_by_half_of_its_last_digit():
    assert number_in(".87 [.85, .88]") == StatedNumber(0.87, 0.85, 0.88, rounding=0.005)
    assert number_in("−.03‡ [−.11, .04]") == StatedNumber(-0.03, -0.11, 0.04, rounding=0.005)
    assert number_in("2,128") == StatedNumber(2128.0, rounding=0.5)
    assert number_in("$0.13").value == 0.13
    assert number_in("12.3 s").value == 12.3
    assert number_in("–") is number_in("text") is number_in(".5 or .6") is None
    same = compare(*sides([number_in(".87 [.87, .87]")], [StatedNumber(0.8749, 0.8749, 0.8749)]))
    assert not same.apart
    other = compare(*sides([number_in(".87 [.87, .87]")], [StatedNumber(0.9, 0.9, 0.9)]))
    assert other.apart


def test_a_committed_page_says_its_numbers_and_how_it_was_made():
    text = (DOCS / "results" / "worst-case.md").read_text()
    page = page_numbers(text, "page")
    place = next(p for p in page.numbers if ("defense", "none") in p and ("column", "transfer") in p)
    assert page.numbers[place].low is not None
    made = made_of_page(text)
    assert len(made.revisions) > 1
    assert made.versions["torch"] == ("2.13.0+cpu",)
    assert made.cpus == ("Intel(R) Xeon(R) Processor",)
    assert made.seeds == "5 seeds"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store, its export, and the tables of a report of it."""
    folder = tmp_path_factory.mktemp("written")
    table = fill(folder / "store")
    files = artifact(Store(folder / "store"), table)
    write_archive(folder / "main.tar.gz", "main", files)
    for kind in ("csv", "json", "md"):
        (folder / f"main.{kind}").write_bytes(files[f"table.{kind}"])
    write_report([r for r in grid() if r.seed == 1], folder, "other")
    return folder


@pytest.mark.parametrize(
    ("first", "second"),
    [("main.csv", "main.json"), ("main.tar.gz", "main.csv"), ("main.tar.gz", "main.md"), ("main.md", "main.tar.gz")],
)
def test_every_kind_states_the_same_numbers(written, first, second, capsys):
    assert main(["compare", str(written / first), str(written / second)]) == 0
    shown = capsys.readouterr().out
    total, same = (
        shown.split(" numbers stated by both: ")[0].split()[-1],
        shown.split("both: ")[1].split(" the same")[0],
    )
    assert total.replace(",", "") == same.replace(",", "") != "0"


def test_a_store_with_its_export(written, capsys):
    assert main(["compare", str(written / "store"), str(written / "main.tar.gz"), "--kept", "main"]) == 0
    shown = capsys.readouterr().out
    assert ", 0 within their intervals, 0 not; 0 without an interval are not equal" in shown
    assert "computed from rows with the same keys" in shown


def test_what_differs_is_listed_and_ends_with_code_1(written, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrow table breaks words
    lines = (written / "main.csv").read_text().splitlines(keepends=True)
    head = lines[0].strip().split(",")
    at, told = head.index("value"), []
    for line in lines[1:]:
        cells = line.strip("\n").split(",")
        if len(cells) == len(head) and cells[head.index("measure")] == "S_def" and cells[at]:
            cells[at] = str(float(cells[at]) + 2.0)
            for side in ("low", "high"):
                cells[head.index(side)] = str(float(cells[head.index(side)]) + 2.0) if cells[head.index(side)] else ""
            cells[head.index("cpu")] = "\x1b[31mA faster one"
        told.append(",".join(cells) + "\n")
    (written / "changed.csv").write_text("".join([lines[0], *told]))
    assert main(["compare", str(written / "main.csv"), str(written / "changed.csv")]) == 1
    shown = capsys.readouterr().out
    assert "not within their intervals" in shown
    assert "A faster one" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["main.csv"], "must be two"),
        (["main.csv", "main.md"], "name the page beside that file instead"),
        (["main.csv", "absent"], "is not there"),
        (["main.csv", "text.txt"], "choices: .csv, .json, .md, .tar.gz, .zip"),
        (["main.csv", "list.json"], "is no report of cells"),
        (["main.csv", "empty.csv"], "states no numbers"),
        (["store", "main.csv", "--kept", "mian"], "did you mean 'main'?"),
    ],
)
def test_what_cannot_be_compared_is_refused(written, words, message, capsys):
    (written / "text.txt").write_text("x")
    (written / "list.json").write_text(json.dumps([1]))
    (written / "empty.csv").write_text("a,b\n")
    assert main(["compare", *(w if w.startswith("-") or w == "mian" else str(written / w) for w in words)]) == 2
    assert message in capsys.readouterr().err
