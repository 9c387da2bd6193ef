"""What requests hold: prompts, lengths, networks. Seeds are fixed, see ``test_traffic.py``."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from teacher.api.clock import DAY
from teacher.api.traffic import LONGEST, PromptLists
from tests.teacher.api.sending import LENGTHS, lists, senders, streams


def test_parts_have_their_shares_and_draw_from_their_own_lists():
    share = np.array([0.5, 0.2, 0.3, 0.05, 0.95])
    parts, listed = np.array([3, 2]), np.array([2, 0, 1, 1, 2])
    new = senders(2, rate=20_000.0, parts=parts, part_share=share, part_list=listed)
    sent = streams(new, lists(10, 4, 7)).until(DAY)
    for account, rows in enumerate((slice(0, 3), slice(3, 5))):
        own = sent.account == account
        count = np.bincount(sent.listed[own], minlength=3)
        expected = np.zeros(3)
        expected[listed[rows]] = share[rows]
        assert count[expected == 0].sum() == 0
        asked = expected > 0
        assert stats.chisquare(count[asked], own.sum() * expected[asked]).pvalue > 1e-3
    edges = [0, 10, 14, 21]
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        prompt = sent.prompt[sent.listed == number]
        assert stats.chisquare(np.bincount(prompt - low, minlength=high - low)).pvalue > 1e-3


@pytest.mark.parametrize("skew", [1.0, 1.5, 2.2])
def test_a_skewed_list_prefers_its_first(skew):
    sent = streams(senders(1, rate=30_000.0), lists(12, skew=skew)).until(DAY)
    edges = (np.arange(13) / 12) ** (1 / skew)
    assert stats.chisquare(np.bincount(sent.prompt, minlength=12), len(sent.prompt) * np.diff(edges)).pvalue > 1e-3


def test_lengths_are_lognormal_independent_and_cut():
    given = (5.0, 1.0, 9.5, 2.0)
    sent = streams(senders(1, rate=40_000.0), lists(5, lengths=given)).until(DAY)
    for tokens, mu, sigma in ((sent.input_tokens, 5.0, 1.0), (sent.output_tokens, 9.5, 2.0)):
        assert tokens.min() >= 1
        assert tokens.max() <= LONGEST
        rng = np.random.default_rng(0)
        smooth = tokens + rng.uniform(-0.5, 0.5, len(tokens))  # whole numbers again as they were before rounding
        below = (tokens < LONGEST) & (tokens > 1)
        law = stats.norm(mu, sigma)
        low, high = law.cdf(np.log(1.5)), law.cdf(np.log(LONGEST - 0.5))
        place = (law.cdf(np.log(smooth[below])) - low) / (high - low)
        assert stats.kstest(place, "uniform").pvalue > 1e-3
        assert stats.binomtest(int((tokens == LONGEST).sum()), len(tokens), max(1 - high, 1e-12)).pvalue > 1e-3
    rank = stats.spearmanr(sent.input_tokens, sent.output_tokens).statistic
    assert abs(rank) < 4.5 / np.sqrt(len(sent.time))


def test_lengths_do_not_depend_on_when_and_what():
    sent = streams(senders(1, rate=20_000.0, parts=2, part_share=[0.5, 0.5], part_list=[0, 1]), lists(9, 9)).until(DAY)
    gap = np.diff(sent.time)
    columns = [sent.prompt[1:], sent.listed[1:], sent.input_tokens[1:], sent.output_tokens[1:]]
    for column in columns:
        assert abs(stats.spearmanr(gap, column).statistic) < 4.5 / np.sqrt(len(gap))


def test_networks_are_kept_for_their_dwell():
    networks, dwell = 3, np.array([0.0, 1800.0, 7200.0])
    numbers = np.arange(9) + 100
    sent = streams(senders(3, rate=30_000.0, networks=networks, network=numbers, dwell=dwell)).until(4 * DAY)
    for account in range(3):
        own = sent.account == account
        used = sent.network[own]
        assert set(used.tolist()) == set(numbers[3 * account : 3 * account + 3].tolist())
        if dwell[account] == 0:
            assert stats.chisquare(np.bincount(used - used.min())).pvalue > 1e-3
            assert abs((used[1:] == used[:-1]).mean() - 1 / 3) < 0.01
        else:
            slot = (sent.time[own] // dwell[account]).astype(int)
            pairs = np.unique(np.stack([slot, used]), axis=1)
            assert pairs.shape[1] == len(np.unique(slot))  # one network a slot
            assert stats.chisquare(np.bincount(pairs[1] - used.min())).pvalue > 1e-3


def test_two_accounts_with_the_same_networks_use_them_at_different_times():
    sent = streams(senders(2, rate=30_000.0, networks=2, network=np.tile([1, 2], 2), dwell=3600.0)).until(10 * DAY)
    by_hour = [
        {int(h): int(n) for h, n in zip(sent.time[own] // 3600, sent.network[own], strict=True)}
        for own in (sent.account == 0, sent.account == 1)
    ]
    same = np.mean([by_hour[0][h] == by_hour[1][h] for h in by_hour[0].keys() & by_hour[1].keys()])
    assert 0.35 < same < 0.65


def test_lists_may_grow_between_epochs():
    prompts = lists(3)
    made = streams(senders(1, rate=500.0), prompts)
    assert made.until(DAY).prompt.max() < 3
    number = prompts.add(np.array([70, 71]), LENGTHS)
    made.add(senders(1, seed=9, rate=500.0, part_list=number, start=DAY))
    sent = made.until(2 * DAY)
    assert set(sent.prompt[sent.account == 1].tolist()) == {70, 71}
    assert sent.prompt[sent.account == 0].max() < 3
    assert len(prompts) == 2


def test_lists_added_together_are_those_added_one_by_one():
    one, many = PromptLists(), PromptLists()
    rows, sizes = np.arange(50, 60), np.array([3, 1, 6])
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        one.add(part, LENGTHS, 1.5)
    assert many.add_many(rows, sizes, LENGTHS, 1.5).tolist() == [0, 1, 2]
    for a, b in zip(one.arrays, many.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
