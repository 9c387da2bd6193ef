"""``moatbench validate``: claims in one plan, each judged by its own cells, in one table; a missing cell leaves one open."""

from __future__ import annotations

import json

import pytest

from configs.errors import ConfigError
from experiments.claims.reporting import claims_of
from experiments.cli import main
from experiments.cli.validate import chosen
from experiments.measure.estimate import Estimate
from experiments.measure.verdict import HolmVerdict
from experiments.report.finding import Finding, Ground
from experiments.report.validation_table import validation_tables, validation_words
from tests.experiments.test_cell import TINY


def names(*asked):
    return [claim.name for claim in chosen(asked, ())]


def test_claims_by_name_and_label():
    assert names() == [claim.name for claim in claims_of() if claim.label]
    assert names("rl_closes", "C1", "c1") == ["hidden_trace", "rl_closes"]
    assert names("volume_limits") == ["volume_limits"], "one without a number, where it is asked for"
    with pytest.raises(ConfigError, match="did you mean 'hidden_trace'"):
        names("hiden_trace")


def test_fields_of_one_claim_are_refused(capsys):
    assert main(["validate", "C1", "claim.large=0.5"]) == 2
    assert "moatbench claim NAME claim.large=0.5" in capsys.readouterr().err


def test_verdicts_and_what_they_rest_on():
    claims = claims_of()
    some = HolmVerdict(Estimate(0.4, 0.3, 0.5), 0.01, "lost")

    def finding(*says):
        return Finding("Something was found.", tuple(Ground(f"ground {i}", some, one) for i, one in enumerate(says)))

    told = [("supports", "supports"), ("contradicts",), ("supports", "contradicts"), ("supports", "open")]
    judged = [*zip(claims, [finding(*says) for says in told], strict=False), (claims[4], None)]
    verdicts, grounds, *own = validation_tables(judged)
    assert [row["verdict"] for row in verdicts.rows] == [
        "agrees",
        "disagrees",
        "agrees in part",
        "undecided",
        "not judged",
    ]
    assert len(grounds.rows) == 7
    assert not own
    words = validation_words(judged)
    assert words[0] == (
        "Of 5 published findings 1 agrees, 1 disagrees, 1 agrees in part, 1 is undecided and 1 is not judged."
    )
    assert words[1] == "C1 hidden_trace: Something was found."
    assert len(words) == 5


def test_cells_are_shared_and_each_claim_looks_at_its_own(tmp_path, capsys):
    """Two claims that share cells, one of which a missing cell leaves open; then again, from the store."""
    places = [f"store={tmp_path}/store", f"out={tmp_path}/out", "--workers", "0"]
    words = ["validate", "hidden_trace", "volume_limits", *TINY, "seed=0", *places]
    assert main(words) == 0
    first = capsys.readouterr()
    assert "4 cells" in first.err, "none for both, hidden for one, two limits for the other"
    record = json.loads((tmp_path / "out" / "validation.json").read_text())
    by_name = {table["name"]: table["rows"] for table in record["tables"]}
    assert [row["claim"] for row in by_name["validation"]] == ["C1 hidden_trace", "volume_limits"]
    assert {row["claim"] for row in by_name["grounds"]} == {"C1 hidden_trace"}, "no limit refuses so few queries"
    assert "hidden_trace" in by_name, "claims bring tables of their own"
    assert "Of 2 published findings 1 is undecided and 1 is not judged." in first.out
    assert main(words) == 0
    assert "0 stages to do" in capsys.readouterr().err


def test_a_plan_runs_nothing(tmp_path, capsys):
    words = ["validate", "hidden_trace", *TINY, "seed=0,1", f"store={tmp_path}/store", f"out={tmp_path}/out"]
    assert main([*words, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "4 cells" in told.err
    assert "noise floor with 2 seeds" in told.out
    assert not (tmp_path / "out").exists()
