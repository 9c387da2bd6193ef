import numpy as np
import pytest

from attacks.recover.as_prefix import AsPrefix
from attacks.recover.average_logprobs import AverageLogprobs, average
from attacks.recover.dedup import Dedup
from attacks.recover.verify_answers import VerifyAnswers
from configs.errors import ConfigError
from lm.types import Channel
from tests.attacks.world import EOS, MARK, examples, recover_context

T, C, R, A = Channel.TRACE, Channel.CALL, Channel.TOOL, Channel.ANSWER
ANSWER = [(MARK, A), (7, A), (EOS, A)]
WHOLE = [(1, T), (2, T), (3, T), *ANSWER]
CUT = [(1, T), *ANSWER]
HIDDEN = ANSWER
CALL_THEN_CUT = [(4, C), (5, R), (6, T), *ANSWER]
CALL_ONLY = [(4, C), (5, R), *ANSWER]


def rows_of(data):
    return [row.tolist() for row in data.completions]


def test_prefix_keeps_what_is_visible_and_forces_neither_answer_nor_stop():
    data = examples([WHOLE, CUT, HIDDEN, CALL_THEN_CUT, CALL_ONLY], cut=[False, True, True, True, True])
    got = AsPrefix(public_rows=0).apply(data, recover_context())
    assert rows_of(got) == [[1, 2, 3, MARK, 7, EOS], [1], [4, 5, 6], [4]]
    assert got.item.tolist() == [0, 1, 3, 4]
    assert got.weight[got.channel == R].sum() == 0


def test_prefix_mixes_in_public_rows_only_where_something_was_cut():
    context = recover_context()
    cut = examples([WHOLE, CUT], cut=[False, True])
    got = AsPrefix(public_rows=5).apply(cut, context)
    assert got.item.tolist() == [0, 1, -1, -1, -1, -1, -1]
    whole = examples([WHOLE, HIDDEN])
    assert AsPrefix(public_rows=5).apply(whole, context) is whole
    hidden = examples([WHOLE, HIDDEN], cut=[False, True])
    assert len(AsPrefix(public_rows=5).apply(hidden, context)) == 1


def test_prefix_negative_rows():
    with pytest.raises(ConfigError, match="public_rows = -1"):
        AsPrefix(public_rows=-1)


def test_dedup_keeps_the_first_of_equal_rows_and_all_different_answers():
    data = examples([WHOLE, CUT, WHOLE, WHOLE], prompts=[[0], [0], [0], [1]], item=[0, 0, 0, 1])
    got = Dedup().apply(data, recover_context())
    assert rows_of(got) == [rows_of(data)[i] for i in (0, 1, 3)]


@pytest.mark.parametrize(("keep_unknown", "kept"), [(True, [0, 2, 3, -1]), (False, [0])])
def test_verify(keep_unknown, kept):
    """Right, wrong, no checker, no visible answer, a row from elsewhere."""
    data = examples([WHOLE, WHOLE, WHOLE, [(1, T)], WHOLE], item=[0, 1, 2, 3, -1])
    seen = []

    def check(item, text):
        seen.append((item, text))
        return {0: True, 1: False, 2: None}[item]

    got = VerifyAnswers(keep_unknown).apply(data, recover_context(check))
    assert got.item.tolist() == kept
    assert seen == [(i, "1 2 3 10 7") for i in range(3)]


def noisy(p, sigma, draws, rng):
    """``draws`` perturbed listings of the first k of ``p``: Gaussian noise on logprobs, renormalised with the tail."""
    k = len(p) - 1
    raised = p[:k] * np.exp(sigma * rng.standard_normal((draws, k)))
    return np.log(raised / (raised.sum(1, keepdims=True) + p[k]))


def test_log_space_mean_is_unbiased_and_the_mean_of_probabilities_is_not():
    rng = np.random.default_rng(0)
    p = np.array([0.6, 0.2, 0.1, 0.1])
    logprobs = noisy(p, 1.0, 40_000, rng)
    _, got = average(
        np.broadcast_to(np.arange(3, dtype=np.int32), (40_000, 1, 3)), logprobs[:, None].astype(np.float32)
    )
    np.testing.assert_allclose(np.exp(got[0]), p[:3], atol=0.01)
    assert abs(np.exp(logprobs).mean(0)[0] - p[0]) > 0.03


def test_error_falls_as_one_over_root_n():
    rng = np.random.default_rng(1)
    p = np.array([0.5, 0.25, 0.15, 0.1])
    error = {}
    for n in (4, 64):
        logprobs = noisy(p, 0.5, 400 * n, rng).reshape(400, n, 3)
        ids = np.broadcast_to(np.arange(3, dtype=np.int32), (n, 1, 3))
        odds = []
        for repeat in logprobs:
            got_ids, got = average(ids, repeat[:, None].astype(np.float32))
            q = np.zeros(3)
            q[got_ids[0]] = np.exp(got[0])
            odds.append(np.log(q / (1 - q.sum())) - np.log(p[:3] / p[3]))
        error[n] = np.sqrt(np.mean(np.square(odds)))
    assert error[4] == pytest.approx(0.25, rel=0.1)
    assert error[64] == pytest.approx(0.0625, rel=0.1)


def test_average_merges_equal_rows_only_and_leaves_single_ones_bit_for_bit():
    rng = np.random.default_rng(2)
    rows = [WHOLE, CUT, WHOLE]
    n = sum(map(len, rows))
    ids = np.tile(np.array([[3, 5]], np.int32), (n, 1))
    p = rng.dirichlet([5, 3, 2], n)
    data = examples(rows, prompts=[[0], [1], [0]], item=[0, 1, 0], tops=(ids, np.log(p[:, :2]).astype(np.float32)))
    got = AverageLogprobs().apply(data, recover_context())
    assert rows_of(got) == rows_of(data)[:2]
    np.testing.assert_array_equal(got.top_logprobs[len(WHOLE) :], data.top_logprobs[len(WHOLE) : len(WHOLE + CUT)])
    odds = np.log(p[:, :2] / p[:, 2:])
    mean = (odds[: len(WHOLE)] + odds[len(WHOLE + CUT) :]) / 2
    want = np.exp(mean) / (1 + np.exp(mean).sum(1, keepdims=True))
    for at in range(len(WHOLE)):
        q = dict(zip(got.top_ids[at], np.exp(got.top_logprobs[at]), strict=True))
        np.testing.assert_allclose([q[3], q[5]], want[at], rtol=1e-5)
    assert (np.diff(got.top_logprobs[: len(WHOLE)], axis=1) <= 0).all()


def test_average_of_a_full_vocabulary_has_no_tail():
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    ids = np.broadcast_to(np.arange(3, dtype=np.int32), (2, 1, 3))
    _, got = average(ids, np.log(p)[:, None].astype(np.float32))
    want = np.sqrt(p[0] * p[1])
    np.testing.assert_allclose(np.exp(got[0]), want / want.sum(), rtol=1e-5)


def test_average_with_tokens_missing_from_some_answers():
    ids = np.array([[[1, 2]], [[1, 3]], [[1, 2]], [[-1, -1]]], np.int32)
    logprobs = np.log(np.array([[[0.5, 0.3]], [[0.5, 0.2]], [[0.5, 0.3]], [[1.0, 1.0]]])).astype(np.float32)
    logprobs[3] = -np.inf
    got_ids, got = average(ids, logprobs)
    assert got_ids.tolist() == [[1, 2]]
    assert np.isfinite(got).all()


def test_average_without_logprobs_only_merges():
    got = AverageLogprobs().apply(examples([WHOLE, WHOLE], prompts=[[0], [0]], item=[0, 0]), recover_context())
    assert len(got) == 1
    assert got.top_ids is None
