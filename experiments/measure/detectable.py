"""How well somebody who has both can tell defended texts from clean ones. Knows no defense and no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lm.ragged import Ragged
from lm.randomness import mixed

LONGEST = 4
"""Tokens of the longest runs that are counted."""
FEATURES = 1 << 14
FOLDS = 5
LEAST = 40
"""Pairs below which nothing is said."""


def detectability(clean: Ragged, defended: Ragged, rng: np.random.Generator) -> float | None:
    """Probability that a classifier finds a defended text more suspect than a clean one (AUROC): .5 where it sees nothing.

    The texts come in pairs, a clean and a defended one for each prompt, both cut to the length of the shorter: so the
    length tells nothing, nor does a text that is the beginning of the other. The classifier is a logistic regression on how
    often runs of 1 to `LONGEST` tokens occur (hashed, square roots, each text of norm 1). It is asked about texts of
    prompts that it has not been trained on (`FOLDS`-fold cross-validation, both texts of a pair in one fold).

    Args:
        clean: (P,) token rows.
        defended: (P,) for the same prompts.
        rng: draws the folds.

    Returns:
        None where fewer than `LEAST` pairs have any tokens in both texts.
    """
    shorter = np.minimum(clean.lengths, defended.lengths)
    pairs = np.flatnonzero(shorter > 0)
    if len(pairs) < LEAST:
        return None
    texts = [row[:n] for side in (clean, defended) for row, n in zip(side.take(pairs), shorter[pairs], strict=True)]
    x = _counted(Ragged.of(texts))
    y = np.repeat([0, 1], len(pairs))
    fold = np.tile(rng.permutation(len(pairs)) % FOLDS, 2)
    from sklearn.linear_model import LogisticRegression

    areas = []
    for held in (fold == k for k in range(FOLDS)):
        fitted = LogisticRegression(C=10.0, max_iter=1000).fit(x[~held], y[~held])
        score, defended_one = fitted.decision_function(x[held]), y[held] == 1
        areas.append(auroc(score[~defended_one], score[defended_one]))
    return float(np.mean(areas))


def auroc(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> float:
    """P(a positive score exceeds a negative one), ties counted half: Mann & Whitney's U over n·m."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(positive, negative).statistic) / (len(positive) * len(negative))


def _counted(texts: Ragged) -> csr_matrix:
    """(R, FEATURES) square roots of the counts of token runs, rows of norm 1."""
    row, word = texts.row_of_value, np.zeros(len(texts.values), np.uint64)
    rows, columns = [], []
    for length in range(1, LONGEST + 1):
        back = np.arange(len(row)) - (length - 1)
        word = mixed(
            mixed(word ^ np.uint64(length))
            ^ mixed((texts.values[np.maximum(back, 0)].astype(np.int64) + 1).astype(np.uint64))
        )
        whole = texts.position >= length - 1
        rows.append(row[whole])
        columns.append((word[whole] % np.uint64(FEATURES)).astype(np.int64))
    at = np.concatenate(rows), np.concatenate(columns)
    counts = csr_matrix((np.ones(len(at[0])), at), shape=(len(texts), FEATURES))
    counts.data = np.sqrt(counts.data)
    norm = np.sqrt(np.asarray(counts.multiply(counts).sum(1)).ravel())
    return csr_matrix(counts.multiply(1 / np.maximum(norm, 1e-12)[:, None]))
