"""Tables of what a provider proves and an attacker finds out: shown where somebody looked, and only there."""

from dataclasses import replace

import pytest

from experiments.report import write_report
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")

NOBODY = {f"evidence{part}{end}": None for part in ("", "_p") for end in ("", "_clean", "_self")}


def stated(name, seed, **facts):
    cell = one(name, None, 0.9, 0.99, seed)
    return replace(cell, cell={**cell.cell, **NOBODY, **facts})


def tables(cells, path):
    return {table.name: table for table in write_report(cells, path, "r").tables}


def test_a_student_that_somebody_looked_into(tmp_path):
    plain = [stated("none", seed) for seed in (0, 1)]
    assert not {"evidence", "findings"} & set(tables(plain, tmp_path))
    marked = [stated("kgw", seed, evidence_p=0.01 * seed, evidence_p_clean=0.5, evidence=4.0) for seed in (0, 1)]
    found = tables(plain + marked, tmp_path)["evidence"]
    (row,) = found.rows
    assert (row["defense"], row["p"], row["p_clean"], row["p_self"]) == ("kgw", 0.005, 0.5, None)
    assert row["statistic"] == 4.0
    assert "What the provider can prove" in (tmp_path / "r.md").read_text()


def test_an_attack_that_looked_in_vain_is_told_from_one_that_did_not_look(tmp_path):
    looked = [stated("rounding", seed, finding_hidden_size=None, finding_hidden_size_most=55.0) for seed in (0, 1)]
    paid = {"finding_hidden_size_dollars": 0.048}
    saw = [stated("none", seed, finding_hidden_size=96.0, finding_hidden_size_most=120.0, **paid) for seed in (0, 1)]
    found = tables(looked + saw + [stated("permuted", 0)], tmp_path)["findings"]
    told = {row["defense"]: row["finding_hidden_size"] for row in found.rows}
    assert told == {"rounding": None, "none": 96.0}
    text = (tmp_path / "r.md").read_text()
    assert "hidden size most" in text
    assert "| 96" in text
    assert "$0.048" in text


def test_several_tests_of_a_stack_have_a_row_each(tmp_path):
    both = {"evidence_p": 0.02, "evidence_p@kgw": 0.02, "evidence_p@reads": 0.4, "evidence@reads": 0.1}
    marked = [stated("kgw", seed, **both) for seed in (0, 1)]
    alone = [stated("seen", seed, evidence_p=0.3) for seed in (0, 1)]
    found = tables(marked + alone, tmp_path)["evidence"]
    told = {(row["defense"], row["test"]): (row["p"], row["statistic"]) for row in found.rows}
    assert told == {("kgw", "kgw"): (0.02, None), ("kgw", "reads"): (0.4, 0.1), ("seen", "seen"): (0.3, None)}
    assert len(found.notes) == 2
