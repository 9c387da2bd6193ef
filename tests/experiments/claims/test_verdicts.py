"""Each claim's judge reaches each verdict, from cells whose truth is known, and never from values without an interval."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest

from experiments.claims.reporting import claim_of
from experiments.measure.cell_result import by_configuration
from experiments.measure.estimate import Estimate
from experiments.measure.summary import against_best, estimated, summarise
from experiments.measure.verdict import HolmVerdict
from experiments.report.finding import Finding, Ground
from experiments.report.names import told_apart
from tests.experiments.measure.synthetic import FAMILIES, TRUTH, cell, result
from tests.experiments.report.cells import one

SEEDS = (1, 2, 3)


def headline(measure):
    """Whether claims can look at it: the others are most of what a report estimates."""
    return measure.decoding != "sampled" and measure.grader != "lenient" and not measure.name.startswith("harder ")


def summaries(results):
    whole = [summarise(group) for group in by_configuration(results)]
    lean = [replace(s, quantities={m: q for m, q in s.quantities.items() if headline(m)}) for s in whole]
    return told_apart(estimated(against_best(lean)))


def hidden(chain: float, code: float, seeds=SEEDS):
    """Undefended cells, and such whose hidden trace leaves a student these accuracies; undefended coding is all right."""
    twin = TRUTH["undefended"] | {"code": 1.0}
    cells = [one("none", None, 0.95, 0.99, s) for s in seeds]
    for s in seeds:
        stated = cell("trace_hidden", ["trace_hidden"], None, "imitate", s, adaptive=False)
        cells.append(result(stated, twin | {"chain": chain, "code": code}, truth=TRUTH | {"undefended": twin}))
    return cells


@pytest.mark.parametrize(
    ("chain", "code", "seeds", "verdict"),
    [
        (0.1, 1.0, (1, 2, 3, 4, 5), "holds"),
        (0.95, 0.4, SEEDS, "fails"),
        (0.1, 0.4, SEEDS, "partly"),
        (0.1, 1.0, (1,), "undecided"),
    ],
)
def test_hidden_trace(chain, code, seeds, verdict):
    finding = claim_of("hidden_trace").judge(summaries(hidden(chain, code, seeds)))
    assert finding.verdict == verdict
    assert finding.sentence.startswith("Hiding the trace ")
    assert [g.what for g in finding.evidence] == ["loss of reasoning", "loss of coding"]
    assert finding.table.name == "hidden_trace"


def test_what_is_hidden_most_is_told():
    cells = hidden(0.1, 0.98)
    half = [one("trace_hidden", ("fraction", 0.5), 0.6, 0.99, s, adaptive=False) for s in SEEDS]
    whole = [one("trace_hidden", ("fraction", 1.0), 0.1, 0.99, s, adaptive=False) for s in SEEDS]
    finding = claim_of("hidden_trace").judge(summaries([*cells[:3], *half, *whole]))
    assert finding.sentence.startswith("Hiding the trace (imitate) takes reasoning transfer from .9")
    assert finding.evidence[0].found.estimate.value > 0.8
    assert claim_of("hidden_trace").judge(summaries(cells[:3])) is None


def test_an_attack_that_never_learnt_steps_has_nothing_to_lose():
    """One that learns answers alone is not what hiding the trace is judged by, though it comes first."""
    low = TRUTH["undefended"] | {"code": 1.0, "chain": 0.12}
    answers = []
    for s in SEEDS:
        stated = cell("trace_hidden", ["trace_hidden"], None, "answers", s, adaptive=False)
        answers.append(result(stated, low, truth=TRUTH | {"undefended": low}))
    both = claim_of("hidden_trace").judge(summaries([*answers, *hidden(0.1, 1.0, (1, 2, 3, 4, 5))]))
    assert both.verdict == "holds"
    alone = claim_of("hidden_trace").judge(summaries(answers))
    assert alone.evidence[0].says == "open"


def matched(own: float, control: float, seeds=SEEDS):
    """Three decoding defenses that cost honest users the same, at strengths of which the second costs five points."""
    cells = [one("none", None, 0.95, 0.99, s) for s in seeds]
    for name, field, low in (
        ("antidistillation", "lam", own),
        ("permuted", "lam", control),
        ("temperature", "tau", 0.9),
    ):
        for strength, users in ((0.2, 0.95), (0.3, 0.9)):
            cells += [one(name, (field, strength), low, users, s) for s in seeds]
    return cells


@pytest.mark.parametrize(
    ("own", "control", "seeds", "verdict"),
    [
        (0.4, 0.9, SEEDS, "holds"),
        (0.9, 0.4, SEEDS, "fails"),
        (0.6, 0.2, SEEDS, "partly"),
        (0.4, 0.9, (1,), "undecided"),
    ],
)
def test_matched_drop(own, control, seeds, verdict):
    finding = claim_of("matched_drop").judge(summaries(matched(own, control, seeds)))
    said = {g.what.split()[4]: g.says for g in finding.evidence}
    assert finding.verdict == verdict, said
    assert "antidistillation leaves the student at" in finding.sentence


def test_other_defenses_do_not_choose_where_controls_are_met():
    """Many defenses that cost little are met at a small drop; the controls at a larger one, which is the claim's."""
    others = [one(f"other_{i}", ("rate", 0.1), 0.9, 0.98, s) for i in range(6) for s in SEEDS]
    own = claim_of("matched_drop").judge(summaries(matched(0.4, 0.9)))
    beside = claim_of("matched_drop").judge(summaries([*matched(0.4, 0.9), *others]))
    assert [g.what for g in beside.evidence] == [g.what for g in own.evidence]
    assert "5.0 points" in beside.evidence[0].what
    assert beside.verdict == "holds"


def test_a_control_that_was_not_run_leaves_the_claim_open():
    cells = [c for c in matched(0.4, 0.9) if c.cell["defense_name"] != ["permuted"]]
    finding = claim_of("matched_drop").judge(summaries(cells))
    assert finding.verdict == "undecided"
    assert [g.says for g in finding.evidence] == ["supports", "open"]
    assert claim_of("matched_drop").judge(summaries(hidden(0.1, 0.98))) is None


@pytest.mark.parametrize(
    ("right", "accepted", "seeds", "verdict"),
    [(0.1, 300, SEEDS, "holds"), (1.0, 300, SEEDS, "fails"), (0.1, 300, (1,), "undecided"), (0.1, 1000, SEEDS, None)],
)
def test_volume_limits(right, accepted, seeds, verdict):
    truth = TRUTH | {"undefended": dict.fromkeys(FAMILIES, 0.6)}
    stated = [cell("query_quota", ["query_quota"], None, "imitate", s, accepted=accepted) for s in seeds]
    cells = [result(own, dict.fromkeys(FAMILIES, right), truth=truth) for own in stated]
    finding = claim_of("volume_limits").judge(summaries(cells))
    assert (finding and finding.verdict) == verdict
    if finding:
        assert finding.sentence.startswith("query_quota lets 30% of the attacker's queries through")


def passes(right: dict[str, float], seed: int) -> pl.DataFrame:
    """16 samples of every item of reasoning, a share of them right, by role; more by one from item to item."""
    rows = [
        {
            "model": role,
            "item": f"chain-{seed}-{i}",
            "family": "chain",
            "n": 16,
            "right": min(16, round(16 * p) + i % 2),
        }
        for role, p in right.items()
        for i in range(FAMILIES["chain"])
    ]
    return pl.DataFrame(rows)


def refined(name: str, before: float, after: float, seed: int, alone: float = 0.1):
    """A cell whose student has these shares right before and after reinforcement learning; undefended .9 and .95."""
    own = result(
        cell(name, [] if name == "none" else [name], None, "rl", seed, refine="rl"),
        TRUTH["undefended"] | {"chain": after},
        truth=TRUTH | {"self": TRUTH["self"] | {"chain": alone}, "undefended": TRUTH["undefended"] | {"chain": 0.8}},
    )
    share = {"distilled": before, "student": after, "distilled_undefended": 0.9, "undefended": 0.94}
    return replace(own, passes=passes(share, seed))


@pytest.mark.parametrize(
    ("closed", "kept", "alone", "seeds", "verdict"),
    [
        (0.9, 0.1, 0.1, SEEDS, "holds"),
        (0.35, 0.9, 1.0, SEEDS, "partly"),
        (0.35, 0.1, 0.1, SEEDS, "partly"),
        (0.9, 0.1, 0.1, (1,), "undecided"),
    ],
)
def test_rl_closes(closed, kept, alone, seeds, verdict):
    cells = [refined("antidistillation", 0.3, closed, s, alone) for s in seeds]
    cells += [refined("trace_hidden", 0.1, kept, s, alone) for s in seeds]
    finding = claim_of("rl_closes").judge(summaries(cells))
    assert finding.verdict == verdict, finding.evidence
    kinds = {g.what.split()[0] + g.what.split()[1]: g.says for g in finding.evidence}
    if len(seeds) > 1:
        assert kinds["halfof"] == ("supports" if closed > 0.6 else "contradicts")
        assert kinds["whatis"] == ("supports" if kept < 0.2 else "contradicts")
        assert kinds["whatthe"] == ("supports" if alone < 0.5 else "contradicts")
    assert finding.sentence.startswith("Reinforcement learning ")


def test_where_half_of_the_traces_are_shown_none_of_the_gap_has_to_stay():
    def at(fraction: float, before: float, after: float, seed: int):
        found = refined("trace_hidden", before, after, seed)
        return replace(
            found, cell={**found.cell, "defense": f"trace_hidden(fraction={fraction})", "strength": fraction}
        )

    cells = [refined("antidistillation", 0.3, 0.9, s) for s in SEEDS]
    cells += [found for s in SEEDS for found in (at(0.5, 0.3, 0.94, s), at(1.0, 0.1, 0.1, s))]
    finding = claim_of("rl_closes").judge(summaries(cells))
    assert finding.verdict == "holds", finding.evidence
    assert not any("fraction=0.5" in g.what for g in finding.evidence)


def test_what_was_not_refined_cannot_be_closed():
    assert claim_of("rl_closes").judge(summaries(hidden(0.1, 0.98))) is None
    only = claim_of("rl_closes").judge(summaries([refined("antidistillation", 0.3, 0.9, s) for s in SEEDS]))
    assert only.verdict == "undecided"
    none = claim_of("rl_closes").judge(summaries([refined("antidistillation", 0.9, 0.94, s) for s in SEEDS]))
    assert none.evidence[0].says == "open", "there was no gap"


def tables(errors: dict[float, float], seeds=SEEDS):
    return [
        pl.DataFrame(
            {"seed": [s] * len(errors), "epsilon": list(errors), "error": [e * (1 + s / 50) for e in errors.values()]}
        )
        for s in seeds
    ]


@pytest.mark.parametrize(
    ("errors", "seeds", "verdict"),
    [
        ({1.0: 0.3, 0.1: 1e-4, 1e-3: 0.02}, SEEDS, "holds"),
        ({1.0: 0.3, 0.1: 1e-3, 1e-3: 1e-5}, SEEDS, "partly"),
        ({1.0: 0.9, 0.1: 0.9, 1e-3: 0.9}, SEEDS, "fails"),
        ({1.0: 0.3, 0.1: 1e-4, 1e-3: 0.02}, (1,), "undecided"),
    ],
)
def test_exact_derivative(errors, seeds, verdict):
    claim = claim_of("exact_derivative")
    finding = claim.judge_tables(tables(errors, seeds))
    assert finding.verdict == verdict, finding.evidence
    assert claim.judge([]) is None, "rows know nothing of derivatives"
    assert claim.judge_tables([]) is None


@pytest.mark.parametrize("name", ["hidden_trace", "matched_drop"])
def test_a_finding_does_not_depend_on_the_order_of_cells(name):
    cells = [*hidden(0.1, 0.98), *matched(0.4, 0.9)[3:]]
    first = claim_of(name).judge(summaries(cells))
    random.Random(5).shuffle(cells)
    again = claim_of(name).judge(summaries(cells))
    assert (again.verdict, again.sentence, again.evidence) == (first.verdict, first.sentence, first.evidence)


def test_the_verdict_is_what_the_evidence_says():
    def of(*said):
        bare = HolmVerdict(Estimate(0.5), None, "undecided")
        return Finding("", tuple(Ground("x", bare, each) for each in said)).verdict

    assert of("supports", "supports") == "holds"
    assert of("contradicts", "open") == "fails"
    assert of("supports", "contradicts", "open") == "partly"
    assert of("supports", "open") == of("open") == "undecided"
