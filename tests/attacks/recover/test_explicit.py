"""Workings that state as many sub-results as others on prompts of equal length; the mini world, where that is known."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.recover.explicit import Explicit, stated
from configs.errors import ConfigError
from lm.types import Channel
from tasks.mini import MiniTask, Wording
from tests.attacks.world import EOS, MARK, examples, recover_context
from tests.lm.mini.tiny import tiny

T, A = Channel.TRACE, Channel.ANSWER
ANSWER = [(MARK, A), (7, A), (EOS, A)]


def rows(counts, lengths=None, item=None):
    """Rows that state so many sub-results (in this format every second token of the working), on prompts so long."""
    prompts = [[at] * (1 if lengths is None else lengths[at]) for at in range(len(counts))]
    return examples([[*[(1, T), (2, T)] * n, *ANSWER] for n in counts], item=item, prompts=prompts)


def kept(step, data, family=()):
    got = step.apply(data, replace(recover_context(), family=np.array(family, object)))
    return [int(prompt[0]) for prompt in got.prompts]


def test_runs_of_a_summary_are_counted():
    """Two tokens in a row are one sub-result; what a row ends with and the next begins with are two."""

    class Sevens(type(recover_context().format)):
        def summary(self, tokens, channel):
            return (channel == T) & (tokens.values == 7)

    data = examples([[(7, T), (7, T), (1, T), (7, T)], [(7, T), (2, T)], [(7, A)], []])
    assert stated(data, replace(recover_context(), format=Sevens())).tolist() == [2, 1, 0, 0]


def test_what_states_most_among_prompts_of_equal_length_stays():
    data = rows([3, 2, 3, 5, 4, 5], [4, 4, 4, 6, 6, 6])
    assert kept(Explicit(group=1), data) == [0, 2, 3, 5]
    assert kept(Explicit(group=1, least=0.5), data) == [0, 1, 2, 3, 4, 5]
    assert kept(Explicit(group=4), data) == [3, 5], "lengths with few rows are put together"


def test_families_are_not_compared():
    data = rows([1, 4, 1, 4, 3])
    assert kept(Explicit(group=1), data, ["facts", "chain", "facts", "chain", "chain"]) == [0, 1, 2, 3]


def test_a_few_that_ramble_do_not_set_the_measure():
    data = rows([9, *[4] * 15, *[3] * 4])
    assert kept(Explicit(reached=0.1), data) == list(range(16))
    assert kept(Explicit(reached=0.0), data) == [0]


def test_where_nothing_is_stated_all_stay():
    data = rows([0, 0, 0])
    assert kept(Explicit(), data) == [0, 1, 2]


def test_short_groups_join_the_next_and_the_last_the_one_before():
    counts, lengths = [1, 2, 2, 5, 5, 4], [1, 2, 2, 3, 3, 4]
    assert kept(Explicit(group=2), rows(counts, lengths)) == [1, 2, 3, 4]


def test_of_the_draws_of_a_prompt_the_first_that_states_most_stays():
    data = rows([1, 3, 3, 2, 0, 0], item=[5, 5, 5, 2, 2, -1])
    assert kept(Explicit(among="prompt"), data) == [1, 3, 5]


def test_rows_from_elsewhere_stay():
    assert kept(Explicit(group=1), rows([3, 1, 1], item=[0, 1, -1])) == [0, 2]


def test_in_the_mini_world_what_is_kept_are_the_workings_that_leave_nothing_out():
    task, lm, rng = MiniTask(), tiny(), np.random.default_rng(0)
    items = task.items("train", "chain", 240, seed=0)
    merging = Wording(merge=0.3)
    texts = [task.seeded_response(item, rng, merging) for item in items]
    tokens = lm.encode(texts)
    channel = lm.format.channels(tokens)
    data = examples([list(zip(row, [0] * len(row), strict=True)) for row in tokens])
    data = replace(data, prompts=lm.encode_prompts([item.prompt for item in items]), channel=channel)
    context = replace(recover_context(), format=lm.format, family=np.array(["chain"] * len(items), object))
    got = Explicit().apply(data, context).item.tolist()
    audits = [task.parts["chain"].audit(item, tuple(text.split())) for item, text in zip(items, texts, strict=True)]
    whole = [at for at, audit in enumerate(audits) if audit.merged == 0]
    assert got == whole
    assert 20 < len(whole) < 200


@pytest.mark.parametrize(
    ("field", "value"), [("among", "family"), ("least", 1.5), ("reached", -0.1), ("reached", 2.0), ("group", 0)]
)
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Explicit(**{field: value})
