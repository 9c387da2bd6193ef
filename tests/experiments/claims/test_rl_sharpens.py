"""The verdicts on what distilling and refining raise, from students whose pass@k is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from experiments.claims.reporting import claim_of
from tests.experiments.claims.test_verdicts import summaries
from tests.experiments.measure.synthetic import TRUTH, cell, result

SEEDS = (1, 2, 3, 4, 5)
ITEMS = 200


def passes(reached: dict[str, tuple[float, float]], seed: int, family: str = "chain") -> pl.DataFrame:
    """16 samples of every item: of a share of the items at least one is right (pass@16), of these a share of the samples."""
    rows = []
    for role, (some, often) in reached.items():
        count = round(some * ITEMS) - seed % 2
        right = np.where(np.arange(ITEMS) < count, max(1, round(16 * often)), 0)
        rows.append(
            pl.DataFrame(
                {
                    "model": [role] * ITEMS,
                    "item": [f"{family}-{seed}-{i}" for i in range(ITEMS)],
                    "family": [family] * ITEMS,
                    "n": [16] * ITEMS,
                    "right": right,
                }
            )
        )
    return pl.concat(rows)


def one(base, distilled, refined, seed, defense="none", attack="rl", family="chain"):
    """A cell; each student as (pass@16, share of right samples where one is)."""
    names = [] if defense == "none" else [defense]
    own = result(cell(defense, names, None, attack, seed, refine="rl"), TRUTH["undefended"], truth=TRUTH)
    reached = {"base": base, "distilled_undefended": distilled, "undefended": refined}
    return replace(own, passes=passes({**reached, "distilled": distilled, "student": refined}, seed, family))


LOW, WIDE, SHARP = (0.3, 0.3), (0.95, 0.6), (0.95, 1.0)
CLAIM = claim_of("rl_sharpens")


def judged(*students, seeds=SEEDS, **how):
    return CLAIM.judge(summaries([one(*students, s, **how) for s in seeds]))


@pytest.mark.parametrize(
    ("students", "seeds", "verdict", "said"),
    [
        ((LOW, WIDE, SHARP), SEEDS, "holds", ["supports", "supports"]),
        ((LOW, WIDE, WIDE), SEEDS, "partly", ["supports", "contradicts"]),
        ((WIDE, WIDE, SHARP), SEEDS, "partly", ["contradicts", "supports"]),
        (((0.3, 0.3), (0.3, 0.9), SHARP), SEEDS, "partly", ["contradicts", "supports"]),
        ((WIDE, LOW, (0.1, 0.1)), SEEDS, "fails", ["contradicts", "contradicts"]),
        ((LOW, WIDE, SHARP), (1,), "undecided", ["open", "open"]),
    ],
    ids=["both", "refining does nothing", "nothing to widen", "only sharper", "the reverse", "one seed"],
)
def test_verdicts(students, seeds, verdict, said):
    finding = judged(*students, seeds=seeds)
    assert [ground.says for ground in finding.evidence] == said, finding.evidence
    assert finding.verdict == verdict
    assert finding.sentence.startswith(("Distillation ", "Whether distillation "))


def test_values_are_those_of_the_students():
    finding = judged(LOW, WIDE, SHARP)
    wider, sharper = (ground.found.estimate.value for ground in finding.evidence)
    odd = np.mean([s % 2 for s in SEEDS]) / ITEMS
    assert wider == pytest.approx(0.95 - 0.3)
    assert sharper == pytest.approx((0.95 - odd) * (1 - 10 / 16))
    base, distilled, refined = finding.table.rows
    assert base["more16"] is None
    assert base["pass16"].value == pytest.approx(0.3 - odd)
    assert distilled["more16"].value == pytest.approx(wider)
    assert refined["more1"].value == pytest.approx(sharper)
    assert refined["more16"].value == pytest.approx(0.0), "not judged"
    assert [row["student"] for row in finding.table.rows] == ["before any query", "distilled", "refined"]


def test_cells_that_ask_something_else_change_nothing():
    own = [one(LOW, WIDE, SHARP, s) for s in SEEDS]
    backwards = (WIDE, LOW, (0.1, 0.1))
    defended = [one(*backwards, s, defense="antidistillation") for s in SEEDS]
    other = [one(*backwards, s, attack="rft") for s in SEEDS]
    alone = CLAIM.judge(summaries(own))
    among = CLAIM.judge(summaries([*defended, *own, *other]))
    assert among.verdict == "holds"
    assert len(among.evidence) == len(alone.evidence) == 2
    assert CLAIM.judge(summaries([*defended, *other])) is None


def test_cells_without_samples_do_not_let_it_be_judged():
    assert CLAIM.judge(summaries([replace(one(LOW, WIDE, SHARP, s), passes=None) for s in SEEDS])) is None
    assert judged(LOW, WIDE, SHARP, family="code") is None
    only = [one(LOW, WIDE, SHARP, s) for s in SEEDS]
    half = [replace(o, passes=o.passes.filter(pl.col("model") != "base")) for o in only]
    finding = CLAIM.judge(summaries(half))
    assert [ground.says for ground in finding.evidence] == ["open", "supports"]
    assert finding.verdict == "undecided"
