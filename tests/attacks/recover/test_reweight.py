"""Weights of traces against the exact derivative, its effect on the holdout, and rows that an objective drops."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from attacks.recover.reweight import Reweight, standardised
from configs.errors import ConfigError
from lm.batch import collate
from lm.examples import Examples
from lm.types import Channel
from student.objectives.sft_answers import strip_trace
from tests.attacks.world import recover_context
from tests.defenses.decoding.models import model, traces

LM = model("gpt2", dtype=torch.float64)
HOLDOUT = traces(6, seed=1)


def context(holdout=HOLDOUT, family=(), **changes):
    known = {"public": lambda n, seed=0: holdout, "family": np.array(family, object), **changes}
    return replace(recover_context(student=LM), **known)


def harvest(n=20, seed=2):
    return replace(traces(n, seed), item=np.arange(n))


def weights(got):
    """(B,) that of each row; its tokens have the same."""
    first = got.weight[got.completions.offsets[:-1]]
    np.testing.assert_array_equal(got.weight, first[got.completions.row_of_value])
    return first


def losses(net, rows):
    """(B,) mean negative log-likelihood of each row."""
    batch = collate(rows, np.arange(len(rows)), 0, torch.device("cpu"))
    logits = net(input_ids=batch.input_BT, attention_mask=batch.mask_BT).logits
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.target_BT, reduction="none")
    return (nll * batch.weight_BT).sum(1) / batch.weight_BT.sum(1)


def gradient(loss, net):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, tuple(net.parameters()), retain_graph=True)])


def exact(rows, holdout):
    """(B,) <gradient of each row's loss, unit gradient of the holdout's>."""
    net = copy.deepcopy(LM.model)
    held = losses(net, holdout)
    tokens = torch.from_numpy(holdout.completions.lengths)
    g = gradient((held * tokens).sum(), net)
    return np.array([float(gradient(loss, net) @ g / g.norm()) for loss in losses(net, rows)])


def test_a_trace_equal_to_the_holdout_is_weighted_up():
    data = Examples.concat([harvest(), replace(HOLDOUT.take(np.array([0])), item=np.array([20]))])
    got = weights(Reweight().apply(data, context(HOLDOUT.take(np.array([0])))))
    assert got[20] == got.max() > 2
    assert got[:20].max() < got[20]


def test_weights_are_those_of_the_exact_derivative():
    """exp(beta clip(v)) with v standardised, and a mean of 1; the clip bites at both ends."""
    data = harvest()
    v = exact(data, HOLDOUT)
    v = (v - v.mean()) / v.std()
    assert np.abs(v).max() > 1
    raised = np.exp(0.7 * np.clip(v, -1, 1))
    got = weights(Reweight(beta=0.7, clip=1.0, epsilon=1e-3).apply(data, context()))
    np.testing.assert_allclose(got, raised / raised.mean(), rtol=1e-3)


def test_a_step_on_the_weighted_rows_helps_the_holdout_more():
    data = harvest(40)
    fall = []
    for rows in (data, Reweight().apply(data, context())):
        net = copy.deepcopy(LM.model)
        before = losses(net, HOLDOUT).mean()
        row_weight = torch.from_numpy(weights(rows).astype(np.float64))
        (losses(net, data) * row_weight).mean().backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 1e-3 * parameter.grad
            fall.append(float(before - losses(net, HOLDOUT).mean()))
    assert fall[1] > fall[0]


def test_each_family_weighs_what_it_did():
    data = harvest(12)
    family = ["a"] * 5 + ["b"] * 7
    got = weights(Reweight().apply(data, context(family=family)))
    np.testing.assert_allclose([got[:5].mean(), got[5:].mean()], 1, rtol=1e-5)
    alone = weights(Reweight().apply(data.take(np.arange(5)), context(family=family)))
    np.testing.assert_allclose(got[:5], alone, rtol=1e-5)


def test_rows_that_the_objective_drops_shift_no_other():
    """Rows 3 and 7 have nothing but working; the others have their last two tokens as an answer."""
    data = harvest(10)
    channel = np.where(data.completions.position >= data.completions.lengths[data.completions.row_of_value] - 2, 4, 1)
    silent = np.isin(data.completions.row_of_value, [3, 7])
    data = replace(data, channel=np.where(silent, Channel.TRACE, channel).astype(np.uint8))
    own = {"own": lambda rows, objective=None: strip_trace(rows)}
    held = replace(HOLDOUT, channel=np.full(len(HOLDOUT.completions.values), Channel.ANSWER, np.uint8))
    got = weights(Reweight().apply(data, context(held, **own)))
    rest = np.setdiff1d(np.arange(10), [3, 7])
    alone = weights(Reweight().apply(strip_trace(data.take(rest)), context(held)))
    np.testing.assert_allclose(got[rest], alone, rtol=1e-5)
    assert got[[3, 7]].tolist() == [1, 1]
    assert got.std() > 0.1


def test_what_is_not_learnt_stays_so_and_rows_from_elsewhere_keep_their_weight():
    data = replace(harvest(6), item=np.array([0, 1, -1, 2, 3, 4]))
    given = data.weight.copy()
    given[data.completions.offsets[1]] = 0
    got = Reweight().apply(data.with_weight(given), context())
    assert got.weight[data.completions.offsets[1]] == 0
    elsewhere = data.completions.row_of_value == 2
    assert (got.weight[elsewhere] == 1).all()
    assert not np.allclose(got.weight[~elsewhere], given[~elsewhere])


def test_checked_rows_can_be_held_out():
    """Only what the checker accepts, of the rows that show an answer, and no more than wanted."""
    data = replace(harvest(8), channel=np.full(len(harvest(8).completions.values), Channel.ANSWER, np.uint8))
    by_checker = context(check=lambda item, text: item == 5)
    got = weights(Reweight(holdout="checked").apply(data, by_checker))
    by_hand = weights(Reweight().apply(data, context(data.take(np.array([5])))))
    np.testing.assert_allclose(got, by_hand, rtol=1e-6)
    assert got[5] == got.max()


@pytest.mark.parametrize("checked", [False, None])
def test_nothing_to_hold_out_changes_nothing(checked):
    data = harvest(5)
    got = Reweight(holdout="checked").apply(data, context(check=lambda item, text: checked))
    np.testing.assert_array_equal(got.weight, data.weight)


def test_no_strength_and_no_rows_change_nothing():
    data = harvest(5)
    assert Reweight(beta=0).apply(data, context()) is data
    empty = data.take(np.zeros(0, np.int64))
    assert Reweight().apply(empty, context()) is empty


def test_rows_that_are_all_alike_weigh_alike():
    assert standardised(np.full(4, 0.3)).tolist() == [0, 0, 0, 0]
    got = weights(Reweight().apply(replace(harvest(1).take(np.zeros(4, int)), item=np.arange(4)), context()))
    np.testing.assert_allclose(got, 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"), [("beta", -1.0), ("clip", 0.0), ("epsilon", 0.0), ("holdout", "own"), ("holdout_rows", 0)]
)
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Reweight(**{field: value})
