"""Leaderboards: which rows are read of pages and of the CSV beside them, who ranks where, what is left out and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.publish.leaderboard import boards, leaderboard
from experiments.publish.leaderboard_rows import bare, committed_rows
from experiments.publish.page_numbers import page_tables
from tests.test_pages import DOCS

MADE = (
    "*2026-11-28; revision 0123456 and 89abcde; {seeds} seeds; packages of requirements/lock.txt "
    "(torch 2.13.0, Python 3.11); 2 cores of A CPU; 9 stored results took 9 min in all.* `moatbench {command}`"
)
TITLE = "task mini, teacher mini, student mini, interface trace, queries 2,128, data 2,128, accounts 1, hours 24"
MAIN = """\
# MoatBench: {name}

{made}

## Transfer by defense and attack ({title})

| defense | attack | pooled | honest accuracy | trace seen |
|---|---|--:|--:|--:|
{rows}

- A note.
"""
SEARCH = """\
# MoatBench: search

{made}

## Strongest attack found on each defense

| defense | attacks | strongest | transfer |
|---|---|---|--:|
| weak(x=1) | before refining | clean | .60 [.55, .65] |
| weak(x=1) | all | rl(lr=1) | .70 [.65, .75] |

## Attacks that were searched

| defense | attack | seeds | accuracy on selection items | left out |
|---|---|--:|--:|---|
| weak(x=1) | rl(lr=1) | 5 | .9 |  |
| weak(x=1) | clean | 1 | .8 |  |
| weak(x=1) | odd | – | – | needs more |
"""
ATTACKS = ("imitate", "clean", "prefix", "rl")


def lines(defense, values, honest=".98 [.97, .99]", trace="1.00"):
    return [f"| {defense} | {a} | {v} | {honest} | {trace} |" for a, v in zip(ATTACKS, values, strict=False)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        *lines("none", [".85 [.83, .87]"] * 4),
        *lines("strong(x=1)", [".30 [.25, .35]", ".40 [.35, .45]", ".20 [.15, .25]", ".10 [.05, .15]"]),
        *lines("strong(x=2)", [".05 [.00, .10]"] * 4, honest=".80 [.78, .82]"),
        *lines("weak(x=1)", [".50 [.45, .55]"] * 3, trace=".50"),
        *lines("dear", [".20 [.15, .25]"] * 4, honest=".95 [.93, .97]"),
        *lines("untried", [".01 [.00, .02]"]),
        *lines("evil\\|\\<b\\>(n=1)", [".84 [.80, .88]"] * 4),
    ]
    made = MADE.format(seeds=5, command="sweep +experiment=main")
    (tmp_path / "main.md").write_text(MAIN.format(name="main", made=made, title=TITLE, rows="\n".join(rows)))
    made = MADE.format(seeds=5, command="worst-case defense=weak attack=clean,rl,odd")
    (tmp_path / "search.md").write_text(SEARCH.format(made=made))
    made = MADE.format(seeds=2, command="sweep +experiment=few")
    (tmp_path / "few.md").write_text(
        MAIN.format(name="few", made=made, title=TITLE, rows="\n".join(lines("dear", [".00 [.00, .00]"] * 4)))
    )
    (tmp_path / "index.md").write_text("# Results\n\n| page |\n|---|\n| x |\n")
    (tmp_path / "other.md").write_text(f"# MoatBench: other\n\n{MADE.format(seeds=5, command='validate')}\n")
    return tmp_path


def test_defenses_rank_by_their_worst_attack_at_what_they_cost(folder):
    (board,) = boards(committed_rows(folder).rows)
    ranked = {one.worst.defense: one for one in board.ranked(1.0)}
    assert list(ranked) == ["strong(x=1)", "weak(x=1)", "evil|<b>(n=1)", "none"]
    assert ranked["strong(x=1)"].worst.attack == "clean"
    assert ranked["strong(x=1)"].worst.transfer.value == 0.40
    weak = ranked["weak(x=1)"]
    assert (weak.worst.page, weak.worst.attack) == ("search", "rl(lr=1)")
    assert set(weak.attacks) == {"imitate", "clean", "prefix", "rl"}, "odd was left out of the search"
    assert weak.trace == 0.5
    first = board.ranked(5.0)[0]
    assert (first.worst.defense, first.drop) == ("dear", 3.0)
    assert board.short(1.0) == {"untried": 1}
    assert board.ranked(30.0)[0].worst.defense == "strong(x=2)", "of each defense its best strength"


def test_attacks_rank_by_what_the_best_defense_leaves_them(folder):
    (board,) = boards(committed_rows(folder).rows)
    found = {row.attack: (row.defense, met, base.transfer.value) for row, met, base in board.attacks(5.0)}
    assert found["imitate"] == ("untried", 5, 0.85)
    assert found["clean"] == ("dear", 4, 0.85)
    assert "rl" not in found, "only three defenses met it"
    assert [row.attack for row, _, _ in board.attacks(5.0)] == ["clean", "prefix", "imitate"]


def test_the_page_says_where_rows_are_from_and_obeys_no_name(folder):
    text = leaderboard(folder)
    assert "[main](results/main.md) at 0123456 and 1 more" in text
    assert "Without a CSV beside the page, so that printed numbers" in text
    assert "of fewer than 3 seeds: [few](results/few.md)" in text
    assert "Without rows of defenses under attacks: [other](results/other.md)" in text
    assert "<b>" not in text.replace("\\<b\\>", "")
    for table in page_tables(text):
        assert all(len(row) == len(table.columns) for row in table.rows)
    ranks = next(t for t in page_tables(text) if "worst attack" in t.columns)
    assert {r["defense"]: r[""] for r in ranks.records()}.keys() >= {"evil|<b>(n=1)"}


def test_the_csv_beside_a_page_has_more_digits_and_keys(folder):
    head = "task,teacher,student,api,queries,data,accounts,defense,attack,measure,family,value,low,high,seeds,rows"
    cell = "mini,mini,mini,trace,2128,2128,1,strong(x=1),imitate"
    (folder / "main.csv").write_text(
        f"{head}\n{cell},transfer,pooled,0.31234,0.25,0.35,5,abcdef012345 b\n"
        f"{cell},T_def,all,0.975,0.97,0.98,5,abcdef012345 b\n"
    )
    found = committed_rows(folder)
    row = next(row for row in found.rows if row.page == "main")
    assert row.transfer.value == 0.31234
    assert row.honest.value == 0.975
    assert row.keys == ("abcdef012345", "b")
    assert "main" not in found.printed
    other = next(row for row in found.rows if row.page == "few")
    assert row.threat == other.threat, "a CSV and a page mean the same threat model"


def test_a_long_search_whose_candidates_are_not_listed_counts_those_of_its_command(folder):
    text = (folder / "search.md").read_text()
    (folder / "search.md").write_text(text[: text.index("| defense | attack | seeds")] + "330 rows: `search.csv`.\n")
    row = next(row for row in committed_rows(folder).rows if row.page == "search")
    assert row.searched == ("clean", "rl", "odd")


def test_committed_pages_make_boards():
    found = boards(committed_rows(DOCS / "results").rows)
    assert len(found[0].ranked(5.0)) > 10
    assert dict(found[0].threat)["interface"] == "trace"
    assert found[0].undefended is not None


def test_labels_lose_what_is_in_brackets():
    assert bare("a(x=1) + b (inner=C(y=2), z)") == "a + b"
