"""Texts side by side: what changed, what is told of a cell, and how a terminal shows it."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cli.consoles import PlainConsole
from experiments.report.differences import LINES, MOST, Piece, differences
from experiments.report.told_items import NOT_ASKED, REFUSED, told_items
from experiments.report.told_terminal import render_items
from tests.experiments.report.cells import one
from tests.experiments.report.told import line, table, with_texts

WORDS = st.lists(st.sampled_from(["a", "b ", "\n", "  ", "->", "7"]), max_size=12).map("".join)


@given(WORDS, WORDS)
def test_pieces_are_the_texts_and_what_did_not_change_is_in_both(before, after):
    old, new = differences(before, after)
    assert "".join(p.text for p in old) == before
    assert "".join(p.text for p in new) == after
    kept = ["".join(p.text for p in side if not p.changed) for side in (old, new)]
    assert len({"".join(text.split()) for text in kept}) == 1
    assert any(p.changed for p in (*old, *new)) == (before.split() != after.split()), "blanks are no change"


def test_a_changed_phrase_is_one_piece():
    old, new = differences("add 3 gives 5", "add 3 is five")
    assert old == (Piece(False, "add 3 "), Piece(True, "gives 5"))
    assert new == (Piece(False, "add 3 "), Piece(True, "is five"))


def test_long_texts_are_compared_by_lines():
    words = int(MOST**0.5) + 50
    before = "".join(f"{i}\n" for i in range(words))
    _, new = differences(before, before.replace("\n77\n", "\n78 79\n"))
    assert [p.text for p in new if p.changed] == ["78 79"]
    assert "".join(LINES.findall(before)) == before


@pytest.fixture
def cell():
    return with_texts(one("trace_hidden", None, 0.1, 0.9, 1))


def test_before_and_after_stand_side_by_side(cell):
    shown, refused = told_items(cell)["harvest"]
    before, after = shown.sides
    assert [p for p in before.said[0][1] if p.changed] == [Piece(True, " ; add 2 -> 7")] or before.said[0][1][
        -1
    ].changed
    assert not any(p.changed for p in after.said[0][1])
    assert "cut by the provider" in shown.facts
    assert refused.sides[1].remark == REFUSED
    assert shown.changed
    assert refused.changed


def test_students_answers_have_their_grades(cell):
    (item,) = told_items(cell)["heldout"]
    assert [(side.title, side.right) for side in item.sides] == [
        ("student behind the defense", False),
        ("its twin without the defense", True),
        ("teacher", True),
    ]
    assert "reference answer: 7" in item.facts


def test_without_a_defense_there_is_nothing_to_hold_it_against():
    told = told_items(with_texts(one("none", None, 0.9, 0.99, 1)))
    assert [len(item.sides) for item in told["harvest"]] == [1, 1]
    assert [side.title for side in told["heldout"][0].sides] == ["student", "teacher"]


def test_a_prompt_that_only_one_of_them_was_asked(cell):
    from dataclasses import replace

    only = replace(cell, transcripts=table(line("harvest", "student", "c", "w", "a", family="")))
    (item,) = told_items(only)["harvest"]
    assert item.sides[0].remark == NOT_ASKED
    assert "own" in item.facts[0]


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_shows_marks_and_obeys_nothing(width):
    evil = "\x1b[2J[red]bold[/red] ; \x07 step"
    out = StringIO()
    console = PlainConsole(file=out, width=width)
    told = told_items(with_texts(one("trace_hidden", None, 0.1, 0.9, 1), evil))
    render_items([*told["harvest"], *told["heldout"]], console)
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]bold[/red]" in text, "what looks like markup is text"
    assert "[-" in text
    assert "-]" in text
    assert "wrong" in text
    assert max(map(len, text.splitlines())) <= width
