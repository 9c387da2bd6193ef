"""The argmax attacker: what he learns depends on which token is listed first, and on nothing else that is sold."""

import numpy as np
import torch

from attacks.recover.argmax_labels import ArgmaxLabels
from lm.batch import collate
from lm.types import Channel
from student.objectives.topk_kl import TopKKL
from tests.attacks.world import EOS, V, examples, recover_context

ROWS = [[(1, Channel.TRACE), (2, Channel.TRACE), (EOS, Channel.ANSWER)]]
IDS = np.array([[4, 1, 2], [2, 3, 5], [-1, -1, -1]], np.int32)
LOGPROBS = np.log(np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [1, 1, 1]])).astype(np.float32)
LOGPROBS[2] = -np.inf


def applied(ids, logprobs):
    return ArgmaxLabels().apply(examples(ROWS, tops=(ids, logprobs)), recover_context())


def test_only_the_first_token_is_left():
    got = applied(IDS, LOGPROBS)
    assert got.top_ids.tolist() == [[4], [2], [-1]]
    assert got.top_logprobs.tolist() == [[0.0], [0.0], [-np.inf]]
    assert [row.tolist() for row in got.completions] == [[1, 2, EOS]], "the text itself stays"


def test_moving_probabilities_below_the_first_changes_nothing():
    flat = np.where(IDS >= 0, np.log(np.array([0.4, 0.35, 0.25])), -np.inf).astype(np.float32)
    swapped = IDS[:, [0, 2, 1]]
    one, other = applied(IDS, LOGPROBS), applied(swapped, flat)
    np.testing.assert_array_equal(one.top_ids, other.top_ids)
    np.testing.assert_array_equal(one.top_logprobs, other.top_logprobs)


def test_it_is_cross_entropy_on_the_first_listed_token_and_on_the_drawn_one_where_none_is_listed():
    batch = collate(applied(IDS, LOGPROBS), np.array([0]), 0, torch.device("cpu"))
    logits = torch.randn(*batch.target_BT.shape, V, generator=torch.Generator().manual_seed(3))
    losses, _ = TopKKL().losses(logits, batch)
    learnt = losses[0][batch.weight_BT[0] > 0]
    wanted = torch.log_softmax(logits[0][batch.weight_BT[0] > 0], -1)
    want = [-wanted[i, token].item() for i, token in enumerate((4, 2, EOS))]
    np.testing.assert_allclose(learnt.numpy(), want, rtol=1e-5)


def test_answers_without_logprobs_stay():
    bare = examples(ROWS)
    assert ArgmaxLabels().apply(bare, recover_context()) is bare
