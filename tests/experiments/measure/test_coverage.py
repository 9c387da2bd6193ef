"""The printed simulation, small: intervals hold the truth and verdicts see nothing where there is nothing."""

from __future__ import annotations

import pytest

from benchmarks.coverage import CASES, UNSEEN, covered, false_positives, main


@pytest.mark.parametrize("case", ["accuracy .9", "paired loss", "transfer"])
def test_intervals_cover_with_two_seeds(case):
    """The bootstrap covered .73 and .78 here."""
    found = covered(CASES[case], 2, 0.05, 40)
    assert 0.90 <= found.coverage <= 0.99
    assert found.width < 0.3


def test_no_effect_is_no_loss():
    """McNemar rejected in 42–45 %, and after Holm some cell in every table."""
    found = false_positives(2, 0.05, 20)
    assert found.single <= 0.09
    assert found.family <= 0.15


def test_it_prints(capsys):
    assert main(["--replicates", "1", "--seeds", "2", "--sd", "0.02"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in (*CASES, *UNSEEN))
    with pytest.raises(SystemExit):
        main(["--seeds", "1"])
    assert "--seeds 1" in capsys.readouterr().err
