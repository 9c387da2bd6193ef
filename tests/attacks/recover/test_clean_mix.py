import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.recover.clean_mix import CleanMix
from attacks.recover.pairs_file import pairs_of
from configs.errors import ConfigError
from configs.identity import identity
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from lm.types import Channel
from tests.attacks.world import EOS, examples, public, recover_context, said
from tests.experiments.test_cell import TINY

ROW = [(1, Channel.TRACE), (EOS, Channel.ANSWER)]


@given(st.integers(1, 200), st.floats(0, 0.95))
def test_public_rows_are_the_share_that_is_asked_for(count, fraction):
    data = examples([ROW] * count)
    got = CleanMix(fraction).apply(data, recover_context())
    assert (got.item >= 0).sum() == count
    assert abs((got.item == -1).sum() - fraction * len(got)) <= 0.5
    assert (got.item[count:] == -1).all()


def test_no_share_changes_nothing():
    data = examples([ROW] * 5)
    assert CleanMix(0.0).apply(data, recover_context()) is data


def test_few_public_rows_are_repeated():
    context = recover_context()
    object.__setattr__(context, "public", lambda n, seed=0: public(min(n, 3)))
    got = CleanMix(0.9).apply(examples([ROW] * 2), context)
    assert (got.item == -1).sum() == 18
    assert np.unique(got.completions.lengths[2:]).tolist() == [4]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_refuses_impossible_shares(fraction):
    with pytest.raises(ConfigError, match="fraction"):
        CleanMix(fraction)


@pytest.mark.parametrize("attack", ["mix", "paraphrase", "neutralise"])
def test_the_twin_that_never_meets_the_teacher_hides_nothing(attack):
    """The student and the undefended twin take the step, the self twin is that of plain imitation."""
    plain, hidden = (
        cell_from(compose_one([*TINY, "defense=kgw", f"attack={name}"]).config).row_stage()
        for name in ("imitate", attack)
    )
    assert hidden.scores["self"].key == plain.scores["self"].key
    for role in ("student", "undefended"):
        assert hidden.scores[role].key != plain.scores[role].key


@pytest.fixture
def pairs(tmp_path):
    """A file of five pairs, prompt "i" and response "i 10 i", and an empty line."""
    place = tmp_path / "own.jsonl"
    lines = [json.dumps({"prompt": str(i), "response": f"{i} 10 {i}", "from": "elsewhere"}) for i in range(5)]
    place.write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n")
    return place


def context(seed=0):
    return replace(
        recover_context(seed=seed),
        rows=lambda prompts, texts: replace(said(list(map(int, prompts)), texts), item=np.full(len(texts), -1)),
    )


def added_rows(step, count, seed=0):
    got = step.apply(examples([ROW] * count), context(seed))
    assert got.item.tolist() == [*range(count), *[-1] * (len(got) - count)]
    mixed = [row.tolist() for row in got.completions][count:]
    assert all(row == [row[0], 10, row[0], EOS] for row in mixed)
    assert [row.tolist() for row in got.prompts][count:] == [[row[0]] for row in mixed]
    return [row[0] for row in mixed]


def test_rows_of_a_file_are_drawn_at_random_under_the_seed(pairs):
    step = CleanMix(0.5, str(pairs))
    drawn = added_rows(step, 3)
    assert len(set(drawn)) == 3
    assert added_rows(step, 3) == drawn
    assert len({tuple(added_rows(step, 3, seed)) for seed in range(8)}) > 1
    assert sorted(added_rows(step, 10)) == sorted([0, 1, 2, 3, 4] * 2), "each as often as needed"


def test_the_content_of_the_file_is_in_the_key_and_the_old_key_stays(pairs):
    with_file = CleanMix(0.5, str(pairs))
    before = identity(with_file)
    assert before["content"] == with_file.content() != ""
    pairs.write_text(pairs.read_text().replace("3 10 3", "3 10 4"))
    assert identity(with_file)["content"] != before["content"]
    assert identity(CleanMix(0.5)) == {"name": "clean_mix", "version": 1, "fields": {"fraction": 0.5}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is no JSON"),
        ("[1, 2]", "must be an object"),
        ('{"prompt": "1"}', 'has no text under "response"'),
        ('{"prompt": " ", "response": "1"}', 'has no text under "prompt"'),
        ('{"prompt": "1", "response": 1}', 'has no text under "response"'),
        (b"\xff\xfe", "is no JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_file(pairs, line, reason):
    whole = pairs.read_bytes() + (line if isinstance(line, bytes) else line.encode())
    pairs.write_bytes(whole)
    with pytest.raises(ConfigError) as error:
        CleanMix(0.5, str(pairs)).content()
    assert error.value.field == "attack.recover.clean_mix.path"
    assert f"{pairs}, line 7" in str(error.value)
    assert reason in str(error.value)


def test_a_file_that_is_not_there_or_empty_is_refused_before_anything_runs(tmp_path):
    missing = tmp_path / "none.jsonl"
    with pytest.raises(ConfigError, match=r"none\.jsonl.*cannot be read"):
        identity(CleanMix(0.5, str(missing)))
    missing.write_text("\n\n")
    with pytest.raises(ConfigError, match="has no lines"):
        identity(CleanMix(0.5, str(missing)))


def test_pairs_keep_the_order_of_the_file(pairs):
    assert [pair.prompt for pair in pairs_of(str(pairs), "path")] == ["0", "1", "2", "3", "4"]


def test_the_twin_that_never_meets_the_teacher_learns_no_file(pairs):
    plain = cell_from(compose_one([*TINY, "attack=imitate"]).config).row_stage()
    overrides = [*TINY, "attack=mix", f"attack.recover.clean_mix.path={pairs}"]
    hidden = cell_from(compose_one(overrides).config).row_stage()
    assert hidden.scores["self"].key == plain.scores["self"].key
    first = hidden.scores["student"].key
    pairs.write_text(pairs.read_text().replace("3 10 3", "3 10 4"))
    assert cell_from(compose_one(overrides).config).row_stage().scores["student"].key != first
