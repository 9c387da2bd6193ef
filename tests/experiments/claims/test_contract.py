"""What every claim has to keep to, run over every YAML of the group; and one of somebody else's."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import configs
from configs.build import build, describe
from configs.errors import ConfigError
from experiments.claims.base import Claim, order, require_unique
from experiments.claims.reporting import claim_of, claims_of, reporting_of
from experiments.cli import main
from experiments.compose.compose import compose_cells
from experiments.report import write_report
from experiments.report.reference import Reference
from tests.experiments.report.cells import grid

FOLDER = Path(configs.__file__).parent
ROOT = FOLDER.parent
NAMES = sorted(path.stem for path in (FOLDER / "claim").glob("*.yaml"))

CLAIM = '''\
"""A claim from another package."""

from dataclasses import dataclass
from typing import ClassVar

from experiments.claims.base import Claim
from experiments.measure.verdict import verdicts
from experiments.report.finding import Finding, Ground, says


@dataclass(frozen=True)
class Harmless(Claim):
    """Looks at pooled losses."""

    name: ClassVar[str] = "harmless"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "nobody"
    statement: ClassVar[str] = "It takes nothing."
    defense: str

    def judge(self, summaries):
        lost = [s.headline_estimate("transfer_lost", "pooled") for s in summaries if s.names == (self.defense,)]
        grounds = [Ground("loss", v, says(v.reading, ["unchanged"], ["lost"])) for v in verdicts(lost)]
        return Finding("It was looked at.", tuple(grounds)) if grounds else None
'''

YAML = """\
# A claim from another package.
_target_: elsewhere.harmless.Harmless
defense: trace_hidden
grids:
  - defense=none,trace_hidden attack=imitate seed=0,1
"""


@pytest.mark.parametrize("name", NAMES)
def test_builds_and_says_what_is_predicted(name):
    claim = claim_of(name)
    assert claim.name == name
    assert build(describe(claim), Claim, name) == claim
    assert claim.source
    assert claim.statement.endswith(".")
    assert not type(claim).__doc__.startswith(f"{type(claim).__name__}("), "a docstring of its own"
    assert claim.judge([]) is None
    assert claim.judge_tables([]) is None
    assert len(compose_cells([f"+claim={name}"])) >= 3


def test_claims_come_by_number():
    labels = [claim.label for claim in claims_of()]
    assert labels == [*(f"C{number}" for number in range(1, 15)), ""]
    assert [c.name for c in claims_of()] == [c.name for c in sorted(claims_of(), key=order)]


def test_fields_are_set_and_checked():
    assert claim_of("hidden_trace", ["claim.large=0.5"]).large == 0.5
    for words, message in (
        (["claim.large=2"], "must lie between 0 and 1"),
        (["claim.steps=[]"], "must name at least one"),
        (["+claim.lage=0.5"], "did you mean 'large'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            claim_of("hidden_trace", words)
    with pytest.raises(ConfigError, match="did you mean 'hidden_trace'"):
        claim_of("hiden_trace")


def test_a_claim_of_somebody_else_is_judged_and_nothing_is_edited(elsewhere, tmp_path, monkeypatch, capsys):
    package = tmp_path / "elsewhere"
    (package / "configs" / "claim").mkdir()
    (package / "harmless.py").write_text(CLAIM)
    (package / "configs" / "claim" / "harmless.yaml").write_text(YAML)
    assert "harmless" not in {claim.name for claim in claims_of()}
    reporting = reporting_of({}, [elsewhere])
    made = write_report(grid(attacks=("imitate",)), tmp_path / "out", "r", *reporting)
    assert made.findings["harmless"].verdict == "fails"
    assert "It was looked at." in made.words
    record = next(c for c in json.loads(made.files["json"].read_text())["claims"] if c["name"] == "harmless")
    assert record["evidence"][0]["says"] == "contradicts"
    assert len(compose_cells([elsewhere, "+claim=harmless"])) == 4
    monkeypatch.chdir(tmp_path)
    assert main(["claim", "harmless", elsewhere, "--dry-run"]) == 0
    assert "4 cells" in capsys.readouterr().err
    assert main(["list", "claims", elsewhere]) == 0
    assert "A claim from another package." in capsys.readouterr().out


def test_a_claim_with_a_stage_of_its_own_dry_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["claim", "exact_derivative", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "derivative" in shown.out
    assert "row" not in shown.out, "no student is trained for it"
    assert main(["claim"]) == 2
    assert "choices: adaptive_recovers, asked_again" in capsys.readouterr().err


def test_two_claims_of_one_name_are_refused():
    class Other(type(claim_of("hidden_trace"))):
        pass

    first = claim_of("hidden_trace")
    with pytest.raises(ConfigError, match="is the name of two claims"):
        require_unique([first, Other(**vars(first))])


def test_the_reference_of_an_experiment_is_its_files(tmp_path):
    assert reporting_of({}, ["+experiment=decoding"]).reference == Reference("antidistillation")
    assert reporting_of({}, ["+experiment=limits"]).reference == Reference("")
    chosen = {"report": {"reference": "permuted"}}
    assert reporting_of(chosen, ["+experiment=decoding"]).reference == Reference("permuted", required=True)
    assert reporting_of(chosen, [], "all").reference == Reference("all", required=True)


def test_an_experiment_sets_fields_of_claims_for_its_own_report(tmp_path):
    matched = {claim.name: claim for claim in reporting_of({}, ["+experiment=smollm2_matched"]).claims}
    assert matched["adaptive_recovers"].strengths == {"antidistillation": "drop:0.05"}
    own = {claim.name: claim for claim in reporting_of({}, ["+experiment=smollm2"]).claims}
    assert (own["hidden_trace"].steps, own["hidden_trace"].direct) == (("chain_sum",), ("needle_haystack",))
    assert own["hidden_trace"].large == claim_of("hidden_trace").large, "what it does not say stays"
    assert own["adaptive_recovers"] == claim_of("adaptive_recovers")
    assert reporting_of({}, ["+experiment=decoding"]).claims == claims_of()

    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    file = tmp_path / "configs" / "experiment" / "mine.yaml"
    words = [f"hydra.searchpath=[{tmp_path / 'configs'}]", "+experiment=mine"]
    for said, wrong in {
        "{hidden_trase: {large: 0.1}}": "there is no such claim",
        "{hidden_trace: 0.1}": "must be fields of the claim",
        "{hidden_trace: {_target_: os.system}}": "is what the claim is",
        "{hidden_trace: {huge: 0.1}}": "huge",
        "[hidden_trace]": "must be fields by the name of a claim",
    }.items():
        file.write_text(f"claims: {said}\ngrids: [seed=0]\n")
        with pytest.raises(ConfigError, match=wrong):
            reporting_of({}, words)


@pytest.mark.parametrize("folder", ["report", "measure"])
def test_no_code_of_reports_names_a_defense(folder):
    """Words of strings, docstrings left out; two names are words of the field as well."""
    names = {path.stem for path in (FOLDER / "defense").glob("*.yaml")} - {"none", "temperature"}
    for path in (ROOT / "experiments" / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in prose]
        words = {word for text in texts if isinstance(text, str) for word in re.findall(r"\w+", text)}
        assert not words & names, f"{path.name} names {words & names}"
