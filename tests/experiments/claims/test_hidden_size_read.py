"""The verdicts on the hidden size, from findings whose truth is known."""

from __future__ import annotations

import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.claims.hidden_size_stage import SCHEMA, refuses
from experiments.claims.reporting import claim_of
from experiments.compose.compose import compose_one
from teacher.api.interface import Interface
from tests.experiments.test_cell import TINY

SEEDS = (0, 1, 2, 3, 4)
NONE = float("nan")
WITHHELD = ["no logit bias", "no logprobs"]


def tables(found: float, gap: float, noisy: float, seeds=SEEDS, most: float = 55.0, refused=WITHHELD):
    """What is read of a hidden size of 32 without a defense, and the gaps without and with noise."""
    rows = []
    for seed in seeds:
        wobble = 0.05 * (seed - 2)
        rows.append((seed, "none", 32.0, found, gap + wobble, most, 900.0, refused))
        rows.append((seed, "gaussian_noise", 32.0, NONE, noisy - wobble, 100.0, 900.0, refused))
    return [pl.DataFrame([row], schema=SCHEMA, orient="row") for row in rows]


@pytest.mark.parametrize(
    ("found", "gap", "noisy", "seeds", "verdict"),
    [
        (32.0, 3.0, 0.2, SEEDS, "holds"),
        (31.0, 0.2, 3.0, SEEDS, "fails"),
        (NONE, 3.0, 0.2, SEEDS, "partly"),
        (32.0, 3.0, 3.0, SEEDS, "undecided"),
        (32.0, 3.0, 0.2, (1,), "undecided"),
    ],
)
def test_hidden_size_read(found, gap, noisy, seeds, verdict):
    claim = claim_of("hidden_size_read")
    finding = claim.judge_tables(tables(found, gap, noisy, seeds)[::-1])
    assert finding.verdict == verdict, finding.evidence
    assert f"in {len(seeds) if found == 32 else 0} of {len(seeds)} seeds under none" in finding.sentence
    assert "By construction, not measured" in finding.sentence
    assert len(finding.evidence) == 2, "what holds by construction is no ground"
    assert claim.judge([]) is None
    assert claim.judge_tables([]) is None


def test_what_is_out_of_reach_is_open_and_what_is_not_refused_is_not_said_to_be():
    claim = claim_of("hidden_size_read")
    finding = claim.judge_tables(tables(NONE, 0.7, 0.6, most=20.0))
    assert [g.says for g in finding.evidence] == ["open", "open"]
    assert "within reach in 0 of 5 seeds" in finding.sentence
    assert "By construction" not in claim.judge_tables(tables(32.0, 3.0, 0.2, refused=[])).sentence


def test_the_attack_itself_says_what_it_refuses():
    assert refuses(Interface(top_logprobs=20))
    assert refuses(Interface(logit_bias=True))
    assert not refuses(Interface(top_logprobs=20, logit_bias=True))
    assert all(refuses(api) for api in claim_of("hidden_size_read").withheld.values())


def test_it_is_measured_on_the_harvest_of_its_attack():
    claim = claim_of("hidden_size_read")
    cell = cell_from(compose_one([*TINY, "api=full", "attack=last_layer_svd"]).plain)
    assert claim.measurement(cell).harvest.key == cell.row_stage().harvest.key
    with pytest.raises(ConfigError, match="reads no hidden size"):
        claim.measurement(cell_from(compose_one([*TINY, "api=full", "attack=imitate"]).plain))
