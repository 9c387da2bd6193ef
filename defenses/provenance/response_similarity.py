"""Whether a student's answers are more like the teacher's than those of students that never met it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import at_least
from defenses.base import Defense, Detection, Evidence, Preparation, Prepared
from lm.later import torch
from lm.types import Sampling

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import Tensor

    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class ResponseSimilarity(Defense):
    """Asks the suspect what clean students were asked, and tests whether it is more like the teacher than they are.

    Lee et al. have a language model judge how alike two models' answers are (style, structure, content), and give no test.
    Here two greedy answers are as alike as their multisets of words and of pairs of words (Dice coefficient, the mean of
    both), and the null is a population: students that the provider fits itself, from the public base model, on as many rows
    of public data as an attacker would harvest, none of which the teacher wrote. They differ from each other in the rows
    and in the order of training.

    Every student m has an excess E(m): the mean over prompts of its likeness to the teacher, less that of its likeness to
    the clean students (for one of these: to the others). The second takes away what any able student shares with any
    other, such as right answers. With mean μ and deviation s of E over K clean students, t = (E − μ) / (s √(1 + 1/K)) has
    Student's distribution with K − 1 degrees of freedom for one more student of the same population (a prediction
    interval): p = P(T ≥ t). Prompts are no independent evidence here: what varies is the student, so that ``looked_at``
    counts clean students, and with few of these p cannot be tiny.

    Assumption: without us, the suspect would be one more such student: the same base, the same training, as much public
    data, excesses about normal. Another base or a richer source of its own may make it more like the teacher, or less.

    Args:
        prompts: that are asked.
        students: K clean students, at least 3.
        rows: public rows that each is fitted to.
        tokens: most tokens of an answer.
    """

    name: ClassVar[str] = "response_similarity"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Lee et al. 2025 (RSE), arXiv 2501.12619; the null: MoatBench"
    checked: ClassVar[str] = "similarities counted by hand; p uniform on clean students"
    trains: ClassVar[bool] = True

    prompts: int = 200
    students: int = 5
    rows: int = 2000
    tokens: int = 64

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts", "rows", "tokens")
        at_least(self, 3, "students")

    def prepare(self, context: Preparation) -> Prepared:
        """What is asked, and what the teacher and the K clean students say, as texts (`spelt`)."""
        asked = list(context.items(self.prompts).prompts.texts)
        said = {"teacher": self._answers(context.teacher, asked)}
        for k in range(self.students):
            context.progress(k, self.students, "clean students")
            public = context.public(self.rows, k + 1)
            order = context.rng.permutation(len(public))
            said[f"clean_{k}"] = self._answers(context.fit(public.take(order)), asked)
        return {name: spelt(texts) for name, texts in {"asked": asked, **said}.items()}

    def detect(self, context: Detection) -> Evidence | None:
        """See the class."""
        kept = {name: read(tensor) for name, tensor in context.serving.prepared.items()}
        clean = [kept[f"clean_{k}"] for k in range(self.students)]
        return excess_test(kept["teacher"], clean, self._answers(context.suspect, kept["asked"]))

    def _answers(self, lm: LanguageModel, asked: Sequence[str]) -> list[str]:
        prompts = lm.encode_prompts(asked)
        return lm.decode(lm.generate(prompts, Sampling(0.0, self.tokens), np.arange(len(prompts))).tokens)


def excess_test(teacher: Sequence[str], clean: Sequence[Sequence[str]], suspect: Sequence[str]) -> Evidence:
    """The prediction-interval test of `ResponseSimilarity`, of answers to the same prompts."""
    from scipy.stats import t as student

    everybody = [teacher, *clean, suspect]
    alike = np.array([[likeness(a, b).mean() for b in everybody] for a in everybody])
    others = len(clean)
    own, among = alike[1:-1, 0], alike[1:-1, 1:-1]
    null = own - (among.sum(1) - among.diagonal()) / (others - 1)
    excess = alike[-1, 0] - alike[-1, 1:-1].mean()
    spread = float(null.std(ddof=1)) * (1 + 1 / others) ** 0.5
    if spread == 0:
        return Evidence(float(excess <= null.mean()), 0.0, others)
    statistic = float((excess - null.mean()) / spread)
    return Evidence(float(student.sf(statistic, others - 1)), statistic, others)


def likeness(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """(R,) Dice coefficients of words and of pairs of words, their mean, in [0, 1]; 1 for two texts of the same words in the
    same order, and for two without any."""
    found = []
    for size in (1, 2):
        counts = _counts([*texts, *others], size)
        one, other = counts[: len(texts)], counts[len(texts) :]
        both, all_of = np.asarray(one.minimum(other).sum(1)).ravel(), np.asarray((one + other).sum(1)).ravel()
        found.append(np.where(all_of > 0, 2 * both / np.maximum(all_of, 1), 1.0))
    return np.asarray(np.mean(found, 0))


def _counts(texts: Sequence[str], size: int) -> csr_matrix:
    """(R, F) how often each run of ``size`` words stands in each text."""
    from scipy.sparse import csr_matrix

    words = [text.split() for text in texts]
    grams = [tuple(zip(*(row[i:] for i in range(size)), strict=False)) for row in words]
    number = {gram: i for i, gram in enumerate(dict.fromkeys(gram for row in grams for gram in row))}
    rows = np.repeat(np.arange(len(texts)), [len(row) for row in grams])
    columns = np.array([number[gram] for row in grams for gram in row], np.int64)
    return csr_matrix((np.ones(len(rows)), (rows, columns)), (len(texts), max(len(number), 1)))


def spelt(texts: Sequence[str]) -> Tensor:
    """Texts as one tensor of UTF-8 bytes, each ended by a zero."""
    return torch.frombuffer(bytearray("".join(f"{text}\0" for text in texts).encode()), dtype=torch.uint8).clone()


def read(tensor: Tensor) -> list[str]:
    """What `spelt` spelt."""
    return bytes(tensor.cpu().numpy()).decode().split("\0")[:-1]
