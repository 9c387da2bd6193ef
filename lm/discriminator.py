"""A model that gives a response one number, trained to give those of one side more than those of the other. Knows nothing of
whose responses they are.

A copy of a language model whose head reads the last hidden state into one scalar, as reward models have it. The scalar is
the *logit* of one token after the response's last one, that is, a row of the model's own output head: no head has to be
added, and both programs of training (`lm.reinforce`) train it. It starts where the language model's row is, and not at
random.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm.examples import Examples
from lm.later import torch
from lm.ragged import Ragged
from lm.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch
    from lm.language_model import LanguageModel


def bradley_terry(
    better_P: NDArray[np.float64], worse_PG: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """−log σ(better − worse), mean over all P·G pairs, and its slope by each score (Bradley & Terry 1952).

    Args:
        better_P: scores of the responses that should win.
        worse_PG: of G others to the same prompt each.
    """
    behind_PG = worse_PG - better_P[:, None]
    lost_PG = 1 / (1 + np.exp(-np.clip(behind_PG, -60, 60))) / behind_PG.size
    return float(np.logaddexp(0, behind_PG).mean()), -lost_PG.sum(1), lost_PG


def score_losses(logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """w · z of each target, z its logit and w its weight in the rows, and its weight: 1 wherever there is a w; see
    `lm.train.Losses`."""
    own_BT = logits_BTV.float().gather(-1, batch.target_BT.unsqueeze(-1)).squeeze(-1)
    return own_BT * batch.weight_BT, (batch.weight_BT != 0).float()


class Discriminator:
    """Scores responses, and learns to tell two kinds apart.

    Args:
        lm: whose copy it is; left as it is.
        recipe: how it is optimised.
    """

    def __init__(self, lm: LanguageModel, recipe: Recipe) -> None:
        from lm.reinforce import learner_of

        self._learner = learner_of(lm, recipe, score_losses)
        self._end = int(lm.tokenizer.eos_token_id)

    def scores(self, rows: Examples) -> NDArray[np.float64]:
        """(B,) the score of each row's response to its prompt; responses may be empty."""
        from lm.batch import collate
        from lm.batches import LOGITS_PER_BATCH, length_batches

        lm, found = self._learner.lm, np.zeros(len(rows))
        asked = self._ended(rows, np.ones(len(rows)))
        most = max(1, min(lm.batch_tokens, LOGITS_PER_BATCH // lm.vocabulary))
        pad = int(lm.tokenizer.pad_token_id or 0)
        lengths = asked.prompts.lengths + asked.completions.lengths
        for part in length_batches(lengths, most):
            batch = collate(asked, part, pad, lm.device)
            with torch.no_grad():
                logits = lm.model(input_ids=batch.input_BT, attention_mask=batch.mask_BT, use_cache=False).logits
            # The place before the added token: what follows the response is read there.
            row, last = (torch.from_numpy(at).to(lm.device) for at in (np.arange(len(part)), lengths[part] - 2))
            found[part] = logits[row, last, self._end].double().cpu().numpy()
        return found

    def learn(self, rows: Examples, slope: NDArray[np.float64]) -> None:
        """One step down Σ slope · score, the slopes (B,) being those of a loss by `scores` as they are now, which makes it a
        step down that loss. Rows of slope 0 are left out; does nothing where there are no others."""
        kept = np.flatnonzero(slope)
        if len(kept):
            # The learner takes the mean over rows, of which the slopes' sum is wanted.
            self._learner.learn(self._ended(rows.take(kept), slope[kept] * len(kept)))

    def _ended(self, rows: Examples, weight: NDArray[np.float64]) -> Examples:
        """The rows with one token more, which alone has a weight."""
        longer = rows.completions.lengths + 1
        at = np.cumsum(longer) - 1
        own = np.ones(int(longer.sum()), np.bool_)
        own[at] = False
        values, weights = np.full(len(own), self._end, np.int32), np.zeros(len(own), np.float32)
        values[own], weights[at] = rows.completions.values, weight
        channel = np.zeros(len(own), np.uint8)
        bare = replace(rows, top_ids=None, top_logprobs=None, logprob=None)
        return replace(bare, completions=Ragged.with_lengths(values, longer), channel=channel, weight=weights)
