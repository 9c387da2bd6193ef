"""Claims of sold probabilities reach each verdict, from calibrated cells of a known truth, and never without intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.errors import ConfigError
from experiments.claims.matched_l1 import about_none, at_least_none
from experiments.claims.reporting import claim_of
from experiments.measure.cell_result import by_configuration
from experiments.measure.estimate import Estimate
from experiments.measure.quantity import plain
from experiments.measure.summary import MeasureKey, Summary, against_best, estimated, summarise
from experiments.measure.verdict import HolmVerdict
from experiments.report.names import told_apart
from tests.experiments.measure.synthetic import FAMILIES, TRUTH, cell, result

SEEDS = (1, 2, 3, 4, 5)
UNTOUCHED = 0.95


def sold(name: str, l1: float, right: float, seeds=SEEDS, attack: str = "logprobs", top1: float = 1.0):
    """Calibrated cells of a defense, as what is measured of them: seeds move a student by a point, each cell otherwise."""
    told = {"calibrated_l1": l1, "queries": 532}
    stated = {k: v for k, v in cell(name, [name], l1, attack, 0, **told).items() if k != "seed"}
    moves = [0.01 * ((s * (len(name) + int(10 * l1)) % 3) - 1) for s in seeds]
    measured = {
        MeasureKey("S_def", "pooled", "greedy", "strict"): [right + move for move in moves],
        MeasureKey("S_undef", "pooled", "greedy", "strict"): [UNTOUCHED + move for move in moves],
        MeasureKey("sold_top1"): [top1 - (s % 2) * (1 - top1) / 50 for s in seeds],
    }
    quantities = {key: plain(seeds, values, True) for key, values in measured.items()}
    return Summary(stated, f"{name}(epsilon={l1:g})", attack, seeds, ("chain",), ("greedy",), {}, quantities)


def finding(name: str, summaries):
    return claim_of(name).judge(estimated(summaries))


def harmless(right: float, random: float, labels: float, top1: float, seeds=SEEDS):
    return [
        one
        for l1 in (0.2, 0.5)
        for one in (
            sold("reverse_sigmoid", l1, right, seeds, top1=top1),
            sold("reverse_sigmoid", l1, labels, seeds, "logprobs_argmax", top1),
            sold("random_vertex", l1, random, seeds, top1=0.9),
        )
    ]


@pytest.mark.parametrize(
    ("right", "random", "labels", "top1", "seeds", "verdict", "said"),
    [
        (0.9, 0.9, UNTOUCHED, 1.0, SEEDS, "holds", "supports supports supports"),
        (0.5, 0.9, 0.5, 0.7, SEEDS, "fails", "contradicts contradicts contradicts"),
        (0.9, 0.5, UNTOUCHED, 1.0, SEEDS, "partly", "supports supports contradicts"),
        (0.9, 0.9, 0.5, 1.0, SEEDS, "partly", "supports contradicts supports"),
        (0.9, 0.9, UNTOUCHED, 0.7, SEEDS, "partly", "contradicts supports supports"),
        (0.9, 0.9, UNTOUCHED, 1.0, (1,), "undecided", "open open open"),
    ],
)
def test_reverse_sigmoid_harmless(right, random, labels, top1, seeds, verdict, said):
    found = finding("reverse_sigmoid_harmless", harmless(right, random, labels, top1, seeds))
    assert [g.says for g in found.evidence] == [one for one in said.split() for _ in (0.2, 0.5)], found.evidence
    assert found.verdict == verdict
    assert found.sentence.startswith("Selling by reverse_sigmoid: tokens whose first changes at L1 0.2 ")


def test_an_attacker_or_a_control_that_was_not_run_leaves_it_open():
    cells = harmless(0.9, 0.9, UNTOUCHED, 1.0)
    for attack, name, place in (("logprobs_argmax", "reverse_sigmoid", 2), ("logprobs", "random_vertex", 4)):
        found = finding(
            "reverse_sigmoid_harmless",
            [s for s in cells if (s.attack, s.names) != (attack, (name,))],
        )
        assert found.verdict == "undecided"
        assert [i for i, g in enumerate(found.evidence) if g.says == "open"] == [place, place + 1]


def test_random_at_another_distance_or_threat_model_is_no_control():
    own, control = sold("reverse_sigmoid", 0.5, 0.9), sold("random_vertex", 0.5, 0.9)
    for given, said in (
        (control, "supports"),
        (sold("random_vertex", 0.2, 0.9), "open"),
        (changed(control, queries=7), "open"),
    ):
        found = finding("reverse_sigmoid_harmless", [own, given])
        assert [g.says for g in found.evidence if g.what.startswith("student")] == [said, "open"]


@pytest.mark.parametrize("name", ["reverse_sigmoid_harmless", "redirection_order"])
def test_only_calibrated_cells_are_matched(name):
    cells = [*harmless(0.9, 0.9, UNTOUCHED, 1.0), sold("mad", 0.5, 0.8), sold("grad_ones", 0.5, 0.8)]
    assert finding(name, cells) is not None
    assert finding(name, [changed(s, calibrated_l1=None) for s in cells]) is None


def test_an_uncalibrated_strength_turns_nothing():
    *matched, turning = ordered(0.5, 0.6, 0.8, (0.2,))
    assert finding("redirection_order", [*matched, turning]).evidence[-1].says == "supports"
    assert finding("redirection_order", [*matched, changed(turning, calibrated_l1=None)]).evidence[-1].says == "open"


def changed(summary, **settings):
    return replace(summary, configuration={**summary.configuration, **settings})


def ordered(
    own: float,
    rival: float,
    control: float,
    sigmoid: tuple[float, ...] = (),
    error: float = 0.1,
    sigmoid_error: tuple[float, ...] = (0.0, 0.0),
    seeds=SEEDS,
):
    """GRAD², MAD and random vertices at L1 .5; a reverse sigmoid at .5 and 1."""
    return [
        sold("grad_ones", 0.5, own, seeds, top1=1 - error),
        sold("mad", 0.5, rival, seeds, top1=0.95),
        sold("random_vertex", 0.5, control, seeds, top1=0.95),
        *(
            sold("reverse_sigmoid", l1, right, seeds, top1=1 - off)
            for l1, right, off in zip((0.5, 1.0), sigmoid, sigmoid_error, strict=False)
        ),
    ]


@pytest.mark.parametrize(
    ("cells", "verdict", "said"),
    [
        (ordered(0.5, 0.6, 0.8, (0.8, 0.2)), "holds", "supports supports supports supports"),
        (ordered(0.6, 0.6, 0.8, (0.8, 0.2)), "holds", "supports supports supports supports"),
        (ordered(0.8, 0.6, 0.5, (0.8, 0.95)), "partly", "contradicts contradicts supports contradicts"),
        (ordered(0.5, 0.6, 0.6, (0.8, 0.2)), "partly", "supports contradicts supports supports"),
        (ordered(0.5, 0.6, 0.8, (0.8, 0.9)), "partly", "supports supports supports contradicts"),
        (ordered(0.5, 0.6, 0.8, (0.8,)), "undecided", "supports supports supports open"),
        (ordered(0.5, 0.6, 0.8), "undecided", "supports supports open"),
        (ordered(0.5, 0.6, 0.8, (0.8, 0.2), 0.1, (0.0, 0.5)), "undecided", "supports supports supports open"),
        (ordered(0.5, 0.6, 0.8, (0.4, 0.2), 0.1, (0.3, 0.5)), "partly", "supports supports contradicts open"),
        (ordered(0.5, 0.6, 0.8, (0.8, 0.2), seeds=(1,)), "undecided", "open open open open"),
    ],
)
def test_redirection_order(cells, verdict, said):
    found = finding("redirection_order", cells)
    assert " ".join(g.says for g in found.evidence) == said, found.evidence
    assert found.verdict == verdict
    assert found.sentence.startswith("Of perturbed probabilities: student of mad less that of grad_ones at L1 0.5 ")


def test_what_turns_is_read_as_far_from_the_truth_as_it_keeps_the_first_token():
    kept = finding("redirection_order", ordered(0.5, 0.6, 0.8, (0.8, 0.2)))
    assert [g.what.rpartition(" ")[2] for g in kept.evidence[2:]] == ["1", "1"]
    lost = finding("redirection_order", ordered(0.5, 0.6, 0.8, (0.8, 0.2), 0.1, (0.0, 0.5)))
    assert [g.what.rpartition(" ")[2] for g in lost.evidence[2:]] == ["0.5", "0.5"]


def test_both_are_judged_from_rows():
    """From stored rows on: what a claim reads is what a row says."""
    rows = []
    for name, l1, attack, right, top1 in (
        ("reverse_sigmoid", 0.5, "logprobs", 0.9, 1.0),
        ("reverse_sigmoid", 1.0, "logprobs", 0.1, 1.0),
        ("reverse_sigmoid", 0.5, "logprobs_argmax", 0.95, 1.0),
        ("random_vertex", 0.5, "logprobs", 0.9, 0.95),
        ("mad", 0.5, "logprobs", 0.6, 0.95),
        ("grad_ones", 0.5, "logprobs", 0.4, 0.9),
    ):
        for seed in (1, 2, 3):
            told = {"calibrated_l1": l1, "sold_l1": l1, "sold_top1": top1}
            stated = cell(f"{name}(epsilon={l1:g})", [name], l1, attack, seed, **told)
            rows.append(result(stated, dict.fromkeys(FAMILIES, right), truth=TRUTH))
    summaries = told_apart(estimated(against_best([summarise(group) for group in by_configuration(rows)])))
    order = claim_of("redirection_order").judge(summaries)
    assert [g.says for g in order.evidence] == ["supports"] * 4
    assert order.evidence[0].found.estimate.value == pytest.approx(0.2, abs=0.05)
    assert order.evidence[2].found.estimate.value == pytest.approx(0.1)
    found = claim_of("reverse_sigmoid_harmless").judge(summaries)
    values = [g.found.estimate.value for g in found.evidence]
    assert values[1::2] == [None] * 3, "nothing was run at the other distance"
    assert values[::2] == pytest.approx([0.0, 0.0, 0.0], abs=0.05)
    assert values[0] == 0, "no first token changed"


def estimate(low: float, high: float, seeds: bool = True):
    middle = (low + high) / 2
    return HolmVerdict(Estimate(middle, low, high, error=0.01, freedom=5 if seeds else None), None, "undecided")


@pytest.mark.parametrize(
    ("low", "high", "about", "least"),
    [
        (-0.03, 0.03, "supports", "supports"),
        (0.01, 0.03, "supports", "supports"),
        (-0.03, -0.01, "supports", "supports"),
        (0.01, 0.2, "contradicts", "supports"),
        (-0.2, -0.01, "contradicts", "contradicts"),
        (-0.2, 0.01, "open", "open"),
        (-0.01, 0.2, "open", "supports"),
    ],
)
def test_equivalence_and_no_less(low, high, about, least):
    assert about_none(estimate(low, high), 0.04) == about
    assert at_least_none(estimate(low, high), 0.04) == least
    assert (
        about_none(estimate(low, high, seeds=False), 0.04) == at_least_none(estimate(low, high, False), 0.04) == "open"
    )
    bare = HolmVerdict(Estimate(0.0), None, "undecided")
    assert about_none(bare, 0.04) == at_least_none(bare, 0.04) == "open"


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("reverse_sigmoid_harmless", "claim.l1=[]", "must name at least one"),
        ("reverse_sigmoid_harmless", "claim.l1=[3]", "must be an L1 distance between 0 and 2"),
        ("reverse_sigmoid_harmless", "claim.margin=2", "must be between 0 and 1"),
        ("redirection_order", "claim.l1=0", "must be an L1 distance between 0 and 2"),
        ("redirection_order", "claim.changed=-1", "must be between 0 and 1"),
    ],
)
def test_bad_fields_are_refused(name, word, message):
    with pytest.raises(ConfigError, match=message):
        claim_of(name, [word])
