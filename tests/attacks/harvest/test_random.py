from dataclasses import replace

import numpy as np
import pytest

from attacks.budget import allocate
from attacks.harvest.random import Random
from configs.errors import ConfigError
from configs.identity import identity
from teacher.api.interface import Interface
from tests.attacks.world import Table, client, harvest_context, pool

OWNED = pool({"chain": 60, "facts": 20})


def test_spends_the_budget_in_the_mix_without_asking_twice():
    got = Random().run(client(OWNED, 40), OWNED, harvest_context())
    assert len(np.unique(got.item)) == 40
    assert (OWNED.family[got.item] == "facts").sum() == 10


def test_a_harvest_cut_short_keeps_the_mix():
    big = pool({"chain": 3000, "facts": 1000})
    got = Random().run(client(big, 4000), big, harvest_context())
    share = (big.family[got.item[:1000]] == "facts").mean()
    assert abs(share - 0.25) < 0.05


def test_another_generator_asks_other_prompts():
    a, b = (Random().run(client(OWNED, 10), OWNED, harvest_context(seed)).item for seed in (0, 1))
    assert set(a) != set(b)


@pytest.mark.parametrize(("queries", "times"), [(40, {4}), (42, {3, 4})])
def test_repeats_share_a_seed_where_seeds_are_sold(queries, times):
    api = client(OWNED, queries, Interface(seed=True, top_logprobs=3))
    got = Random(repeats=4).run(api, OWNED, harvest_context())
    items, count = np.unique(got.item, return_counts=True)
    assert set(count) == times
    assert api.remaining == 0
    for item in items:
        rows = np.flatnonzero(got.item == item)
        texts = {tuple(got.responses.tokens[r]) for r in rows}
        assert len(texts) == 1


def test_repeats_differ_where_seeds_are_not_sold():
    got = Random(repeats=4).run(client(OWNED, 80), OWNED, harvest_context())
    long = [i for i in np.unique(got.item) if i % 4 == 3]
    assert any(len({tuple(got.responses.tokens[r]) for r in np.flatnonzero(got.item == i)}) > 1 for i in long)


def test_every_prompt_is_asked_before_any_is_repeated():
    got = Random(repeats=2).run(client(OWNED, 40), OWNED, harvest_context())
    assert len(set(got.item[:20])) == 20


def test_a_family_that_runs_out_names_the_budget():
    scarce = pool({"chain": 60, "facts": 4}, {"chain": 0.5, "facts": 0.5})
    with pytest.raises(ConfigError, match=r"budget\.queries = 40.*20 different prompts of family 'facts'.*owns 4"):
        Random().run(client(scarce, 40), scarce, harvest_context())


def test_the_whole_pool_can_be_asked():
    uneven = pool({"a": 7, "b": 5, "c": 1})
    assert len(Random().run(client(uneven, 13), uneven, harvest_context())) == 13


def test_nothing_left_to_ask():
    api = client(OWNED, 40)
    Random().run(api, OWNED, harvest_context())
    with pytest.raises(ConfigError, match=r"budget\.queries"):
        Random().run(api, OWNED, harvest_context())


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_the_query_budget_is_a_multiple_of_the_data_budget(times):
    """Q = 1 to 4 x D of arXiv 2606.25059: the same D prompts, each asked that often."""
    part = Random(repeats=times)
    assert part.prompts_needed(times * len(OWNED)) == len(OWNED)
    got = part.run(client(OWNED, times * len(OWNED)), OWNED, harvest_context())
    assert np.unique(got.item, return_counts=True)[1].tolist() == [times] * len(OWNED)


def test_repeats_below_one():
    with pytest.raises(ConfigError, match="repeats = 0"):
        Random(repeats=0)


def test_shares_add_up():
    assert allocate(10, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 4, "b": 3, "c": 3}
    assert sum(allocate(2128, {"a": 0.47, "b": 0.28, "c": 0.06, "d": 0.19}).values()) == 2128


def test_a_harvest_says_at_which_temperature_it_asks(monkeypatch):
    asked, complete = [], Table.complete
    monkeypatch.setattr(Table, "complete", lambda *args: (asked.append(args[3].temperature), complete(*args))[1])
    api = client(OWNED, 40)
    api.params = replace(api.params, temperature=0.25)
    api.ask(np.arange(3))
    api.ask(np.arange(3), temperature=0.75)
    assert asked == [0.25, 0.75]


def test_the_usual_temperature_is_in_no_key():
    assert "temperature" not in identity(Random())["fields"]
    assert identity(Random(temperature=0.0))["fields"]["temperature"] == 0.0
    with pytest.raises(ConfigError, match="temperature"):
        Random(temperature=-0.1)
