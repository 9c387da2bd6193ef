"""A mixture is the weighted sum of its terms, whatever these weigh; it is built from nested nodes."""

import numpy as np
import pytest
import torch

from configs.build import build, describe
from configs.errors import ConfigError
from configs.identity import identity
from student.objectives.base import Objective
from student.objectives.mixture import Mixture, Term
from student.objectives.reverse_topk_kl import ReverseTopKKL
from student.objectives.sft import SFT
from student.objectives.sft_answers import SFTAnswers
from student.objectives.topk_kl import TopKKL
from tests.student.objectives.test_objectives import A, R, T, batch_of

torch.set_num_threads(1)
BOTH = Mixture({"words": Term(0.25, SFT()), "kl": Term(2.0, ReverseTopKKL())})


def drawn():
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((2, 3, 7)), -1)[..., :2]
    logprobs = np.log(0.9 * rng.dirichlet(np.ones(2), (2, 3)))
    weight = [[0.5, 0.0, 2.0], [1.0, -1.5, 1.0]]
    batch = batch_of(rng.integers(0, 7, (2, 3)).tolist(), [[T, R, A], [T, T, A]], ids, logprobs, weight)
    return torch.tensor(rng.standard_normal((2, 3, 7)), dtype=torch.float32, requires_grad=True), batch


def test_loss_and_gradient_are_the_weighted_sum_of_the_terms():
    logits, batch = drawn()
    got = BOTH.loss(logits, batch)
    want = 0.25 * SFT().loss(logits, batch) + 2 * ReverseTopKKL().loss(logits, batch)
    torch.testing.assert_close(got, want)
    mine, theirs = (torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (got, want))
    torch.testing.assert_close(mine, theirs)
    assert (mine[0, 1] == 0).all(), "what weighs nothing is not learnt"


def test_one_term_is_that_objective():
    logits, batch = drawn()
    torch.testing.assert_close(Mixture({"only": Term(1.0, TopKKL())}).loss(logits, batch), TopKKL().loss(logits, batch))


def test_a_term_may_weigh_targets_its_own_way():
    """Answers only: the other targets count among those of the mean, and add nothing."""
    logits, batch = drawn()
    losses, _ = SFT().losses(logits, batch)
    answers = batch.channel_BT == A
    want = (losses * batch.weight_BT * answers).sum() / batch.weight_BT.sum()
    torch.testing.assert_close(Mixture({"answers": Term(3.0, SFTAnswers())}).loss(logits, batch), 3 * want)


def test_it_says_what_its_terms_need():
    assert BOTH.needs_top_logprobs
    assert BOTH.uses_trace
    assert not Mixture({"words": Term(1.0, SFT())}).needs_top_logprobs
    assert not Mixture({"answers": Term(1.0, SFTAnswers())}).uses_trace
    with pytest.raises(ConfigError, match=r"terms = 'b': learns from rows without their trace"):
        Mixture({"a": Term(1.0, SFT()), "b": Term(1.0, SFTAnswers())})
    with pytest.raises(ConfigError, match="terms"):
        Mixture({})
    with pytest.raises(ConfigError, match="weight"):
        Term(0.0, SFT())


def test_nested_nodes_build_it_and_mistakes_are_named():
    node = {
        "_target_": "student.objectives.mixture.Mixture",
        "terms": {
            "words": {"weight": 0.25, "objective": {"_target_": "student.objectives.sft.SFT"}},
            "kl": {"weight": 2, "objective": {"_target_": "student.objectives.reverse_topk_kl.ReverseTopKKL"}},
        },
    }
    built = build(node, Objective, "attack.objective")
    assert built == BOTH
    assert build(describe(built), Objective, "attack.objective") == BOTH
    assert identity(built)["fields"]["terms"]["kl"]["objective"]["name"] == "reverse_topk_kl"
    node["terms"]["kl"]["objective"]["flor"] = 1
    with pytest.raises(ConfigError, match=r"attack\.objective\.terms\.kl\.objective\.flor = 1: is not a field.*floor"):
        build(node, Objective, "attack.objective")
    node["terms"]["kl"] = {"weight": -1, "objective": {"_target_": "student.objectives.sft.SFT"}}
    with pytest.raises(ConfigError, match=r"attack\.objective\.terms\.kl\.weight = -1"):
        build(node, Objective, "attack.objective")
