"""Guards: what trips them, that an ordinary cell trips none, and what stands under the table."""

import pytest

from experiments.measure.guards import tripped
from experiments.measure.summary import estimated, summarise
from experiments.report.guard_notes import guard_notes
from tests.experiments.measure.synthetic import TRUTH, cell, result


def summary(truth=TRUTH, defense="temperature", **facts):
    measured = result(cell(defense, [defense], 1.0, "imitate", 0, **facts), TRUTH["undefended"], truth=truth)
    return estimated([summarise([measured])])[0]


def guards(**changes):
    return [found.guard for found in tripped(summary(**changes))]


@pytest.mark.parametrize(
    ("facts", "guard"),
    [
        ({"same_model": 1.0}, "same_model"),
        ({"cut_share": 0.3}, "cut_answers"),
        ({"distinct_prompts": 16}, "few_prompts"),
        ({"changed_share": 0.0}, "unchanged"),
        ({"foreign_share": 0.5}, "template"),
        ({"overlap_dropped": 3.0}, "overlap"),
    ],
)
def test_a_fact_out_of_bounds_trips_its_guard(facts, guard):
    assert guard in guards(**facts)
    assert guard not in guards()


def test_a_teacher_that_knows_nothing_is_named_with_its_family():
    hopeless = {**TRUTH, "teacher": {**TRUTH["teacher"], "chain": 0.01}}
    found = [t.what for t in tripped(summary(truth=hopeless)) if t.guard == "teacher_accuracy"]
    assert len(found) == 1
    assert "chain" in found[0]
    assert "teacher_accuracy" not in guards()


def test_the_undefended_cell_need_not_change_anything():
    untouched = summarise([result(cell("none", [], None, "imitate", 0, changed_share=0.0), TRUTH["undefended"])])
    assert "unchanged" not in [t.guard for t in tripped(estimated([untouched])[0])]


def test_a_cell_that_lacks_the_facts_trips_nothing():
    old = dict.fromkeys(
        ("same_model", "cut_share", "distinct_prompts", "changed_share", "foreign_share", "overlap_dropped")
    )
    assert guards(**old) == []


def test_notes_name_the_cells_or_say_that_it_is_all_of_them():
    good, bad = summary(), summary(defense="hoda", changed_share=0.0)
    (note,) = [n for n in guard_notes([good, bad]) if "unchanged" in n]
    assert "hoda" in note
    assert "temperature" not in note
    (note,) = [n for n in guard_notes([bad, bad]) if "unchanged" in n]
    assert "all cells" in note
    (note,) = [n for n in guard_notes([bad] * 9 + [good]) if "unchanged" in n]
    assert "5 more" in note
