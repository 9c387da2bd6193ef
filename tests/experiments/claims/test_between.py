"""Claims of students between two others reach each verdict, from cells of a known truth, and none without intervals."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from experiments.claims.reporting import claim_of
from tests.experiments.claims.test_verdicts import SEEDS, summaries
from tests.experiments.report.cells import one


def recovered(poe: float, reweight: float, explicit: float, seeds=SEEDS):
    cells = []
    for s in seeds:
        for attack, right in (("imitate", 0.3), ("reweight", reweight), ("explicit", explicit)):
            cells.append(one("antidistillation", ("lam", 0.2), right, 0.95, s, attack))
            low = poe if attack == "imitate" else right
            cells.append(one("product_of_experts", ("gamma", 0.4), low, 0.95, s, attack, calibrated_drop=0.05))
    return summaries(cells)


@pytest.mark.parametrize(
    ("poe", "reweight", "explicit", "seeds", "verdict"),
    [
        (0.3, 0.6, 0.9, SEEDS, "holds"),
        (0.3, 0.1, 0.1, SEEDS, "fails"),
        (0.3, 0.1, 0.9, SEEDS, "partly"),
        (0.95, 0.6, 0.9, SEEDS, "undecided"),
        (0.3, 0.6, 0.9, (1,), "undecided"),
    ],
)
def test_adaptive_recovers(poe, reweight, explicit, seeds, verdict):
    found = claim_of("adaptive_recovers").judge(recovered(poe, reweight, explicit, seeds))
    assert found.verdict == verdict, found.evidence
    assert len(found.evidence) == len(found.table.rows) == 4


def again(twice: float, four: float, begun: float, seeds=SEEDS):
    cells = []
    for s in seeds:
        for attack, right, times, recover in (
            ("imitate", 0.3, 1, ""),
            ("resample", twice, 2, "dedup"),
            ("resample", four, 4, "dedup"),
            ("prefill", begun, 1, ""),
        ):
            told = {"data": 532, "queries": 532 * times, "recover": recover}
            cells.append(one("antidistillation", ("lam", 0.2), right, 0.95, s, attack, **told))
    return summaries(cells)


@pytest.mark.parametrize(
    ("rights", "seeds", "verdict"),
    [
        ((0.9, 0.92, 0.9), SEEDS, "holds"),
        ((0.35, 0.35, 0.3), SEEDS, "fails"),
        ((0.35, 0.9, 0.9), SEEDS, "partly"),
        ((0.9, 0.92, 0.9), (1,), "undecided"),
    ],
)
def test_asked_again(rights, seeds, verdict):
    found = claim_of("asked_again").judge(again(*rights, seeds))
    assert found.verdict == verdict, found.evidence
    assert [row["often"] for row in found.table.rows] == [2, 4, 1]


@pytest.mark.parametrize(
    ("part", "seeds", "verdict"), [(0.9, SEEDS, "holds"), (0.2, SEEDS, "fails"), (0.9, (1,), "undecided")]
)
def test_first_half(part, seeds, verdict):
    cells = [
        one("trace_truncated", ("keep", 0.5), right, 0.99, s, attack)
        for s in seeds
        for attack, right in (("imitate", 0.2), ("prefix", part))
    ]
    found = claim_of("first_half").judge(summaries(cells))
    assert found.verdict == verdict
    base = summaries(cells)[0].headline_estimate("S_base", "chain")
    assert found.table.rows[0]["lower"].value == base.value < 0.15, "the student before any query"
    assert claim_of("first_half").judge(summaries(cells[::2])) is None, "nothing learns parts as beginnings"


def test_the_share_of_the_gap_is_of_the_defended_student():
    """.95 undefended, .3 imitated and .625 now: half of it."""
    found = claim_of("adaptive_recovers").judge(recovered(0.3, 0.625, 0.95))
    shares = {(row["defense"].partition("(")[0], row["attack"]): row["share"].value for row in found.table.rows}
    upper, lower = (found.table.rows[0][end].value for end in ("upper", "lower"))
    assert shares["antidistillation", "reweight"] == pytest.approx((0.625 - lower) / (upper - lower), abs=0.03)
    assert shares["antidistillation", "explicit"] > 0.9


def test_only_cells_that_differ_in_the_attack_alone_are_compared():
    """Asking again with another number of prompts is no answer to asking these once; nor is another interface."""
    others = [
        one("antidistillation", ("lam", 0.2), 0.9, 0.95, s, "resample", data=100, queries=200, recover="dedup")
        for s in SEEDS
    ]
    cells = [one("antidistillation", ("lam", 0.2), 0.3, 0.95, s, data=532, queries=532) for s in SEEDS]
    assert claim_of("asked_again").judge(summaries([*cells, *others])) is None
    sold = [
        one("antidistillation", ("lam", 0.2), 0.9, 0.95, s, "prefill", data=532, queries=532, api="full") for s in SEEDS
    ]
    assert claim_of("asked_again").judge(summaries([*cells, *sold])) is None, "asked once by another interface"


def test_what_was_not_measured_is_open():
    found = claim_of("adaptive_recovers").judge([s for s in recovered(0.3, 0.6, 0.9) if s.attack != "reweight"])
    assert [g.says for g in found.evidence] == ["supports", "supports", "open", "open"]


def test_bad_strengths_are_refused():
    with pytest.raises(ConfigError, match="must be a number"):
        claim_of("first_half", ["claim.strength=much"])
