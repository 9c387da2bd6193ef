from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from tests.defenses.admission.states import state
from tests.teacher.api.fakes import requests

ORGANISATION = np.array([0, 0, 1, 1])


@given(
    st.lists(st.tuples(st.integers(0, 9 * 3600), st.integers(0, 3)), max_size=80),
    st.integers(1, 6),
    st.sampled_from(["account", "organisation"]),
    st.integers(0, 80),
)
def test_agrees_with_counting_one_by_one(events, queries, scope, cut):
    events = sorted(events)
    batch = requests([t for t, _ in events], account=[a for _, a in events])
    defense, at = QueryQuota(queries=queries, window_hours=2.0, scope=scope), state(organisation=ORGANISATION)
    rows = np.arange(len(batch))
    got = np.concatenate([defense.admit(batch.take(part), at).ok for part in (rows[:cut], rows[cut:])])
    used, expected = Counter(), []
    for time, account in events:
        key = (time // 7200, account if scope == "account" else ORGANISATION[account])
        expected.append(used[key] < queries)
        used[key] += expected[-1]
    assert got.tolist() == expected


def test_a_refusal_is_hard():
    verdicts = QueryQuota(queries=1).admit(requests([0, 1]), state())
    assert verdicts.status.tolist() == [200, 429]
    assert verdicts.reason.tolist() == ["", "query_quota"]
    assert np.isnan(verdicts.retry_after).all()


@pytest.mark.parametrize("fields", [{"queries": 0}, {"window_hours": 0}, {"scope": "acount"}])
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match="query_quota"):
        QueryQuota(**fields)
