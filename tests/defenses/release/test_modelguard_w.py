"""ModelGuard-W against a solver of linear programmes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from configs.errors import ConfigError
from defenses.release.modelguard_w import LEAST, ModelGuardW, least_likely
from tests.defenses.release.probs import EPSILONS, check, distributions, everything, lowest
from tests.defenses.release.responses import VOCAB, make


@settings(max_examples=60)
@given(distributions(), EPSILONS)
def test_no_solver_finds_anything_less_likely(probs, epsilon):
    changed = least_likely(probs, everything(probs), epsilon)
    check(probs, changed, epsilon)
    assert (changed[np.arange(len(probs)), probs.argmax(1)] >= changed.max(1) - 1e-12).all()
    for y, found in zip(probs, changed, strict=True):
        cost = np.log(y + LEAST)
        assert found @ cost <= lowest(y, cost, epsilon, keep=True) + 1e-7


def test_what_is_known_without_a_solver():
    sure = np.array([[0.9, 0.06, 0.03, 0.01]])
    np.testing.assert_allclose(least_likely(sure, everything(sure), 0.5), [[0.65, 0.06, 0.03, 0.26]], atol=1e-12)
    np.testing.assert_allclose(least_likely(sure, everything(sure), 2.0), [[0.25] * 4], atol=1e-12)
    np.testing.assert_allclose(least_likely(sure, everything(sure), 0.0), sure, atol=1e-12)


def test_columns_that_are_not_there_get_nothing():
    probs, there = np.array([[0.6, 0.0, 0.3, 0.1]]), np.array([[True, False, True, True]])
    assert least_likely(probs, there, 0.4)[0, 1] == 0


def test_released_lists_begin_with_the_true_first_token():
    responses, context = make(k=VOCAB)
    released = ModelGuardW(1.5).release(responses, context())
    np.testing.assert_array_equal(released.top_ids[:, 0], responses.top_ids[:, 0])
    assert ModelGuardW(0.0).release(responses, context()) is responses
    with pytest.raises(ConfigError, match="epsilon"):
        ModelGuardW(2.5)
