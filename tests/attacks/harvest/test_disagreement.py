import numpy as np
import pytest

from attacks.harvest.disagreement import Disagreement, disagreement
from attacks.harvest.uncertainty import Uncertainty
from configs.errors import ConfigError
from lm.types import Sampling, Scores
from tests.attacks.world import Guesser, client, harvest_context, pool
from tests.lm.mini.tiny import tiny

OWNED = pool({"chain": 400, "code": 200}, {"chain": 0.5, "code": 0.5})
TEXTS = ["1 +4 ?", "C flip ?", "2 +4 ?", "3 rev 1"]


def test_the_score_is_the_mean_log_ratio_along_the_members_own_texts():
    members, prompts = [tiny(seed, 16) for seed in (1, 2, 3)], tiny(1, 16).encode_prompts(TEXTS)
    want = np.zeros(len(TEXTS))
    for q in members:
        for r in members:
            if q is not r:
                said = q.generate(prompts, Sampling(0.0, 5), np.zeros(4, np.int64)).tokens
                ratio = q.score(prompts, said).logprob - r.score(prompts, said).logprob
                want += [ratio[said.row_of_value == row].mean() / 6 for row in range(4)]
    np.testing.assert_allclose(disagreement(members, TEXTS, 5), want, rtol=1e-5)


def test_members_that_agree_do_not_disagree_however_unsure():
    lm = tiny(4, 16)
    np.testing.assert_allclose(disagreement([lm, lm], TEXTS, 5), 0, atol=1e-6)


class Opinionated(Guesser):
    """Finds the tokens of prompts with a small first number as probable as its seed says."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def generate(self, prompts, sampling, seeds, processors=(), tools=None):
        got = super().generate(prompts, sampling, seeds)
        got.tokens.values[:] = self.seed
        return got

    def score(self, prompts, completions, top_k=0):
        first = prompts.values[prompts.offsets[:-1]][completions.row_of_value].astype(np.float32)
        apart = -1 / (1 + first) * (completions.values != self.seed)
        return Scores(apart.astype(np.float32), apart == 0, apart, None, None)


def test_asks_where_the_committee_disagrees_most():
    context = harvest_context()
    seeds = []
    object.__setattr__(context, "fit", lambda rows, seed=0: (seeds.append(seed), Opinionated(seed))[1])
    part = Disagreement(initial=0.2, rounds=1, candidates=100, members=3)
    got = part.run(client(OWNED, 100), OWNED, context)
    assert seeds == [0, 1, 2]
    first, later = set(got.item[:20].tolist()), got.item[20:]
    for family, start in (("chain", 0), ("code", 400)):
        mine = sorted(i for i in later if OWNED.family[i] == family)
        smallest = [i for i in range(start, start + 100) if i not in first][: len(mine)]
        assert mine == smallest


def test_members_learn_bootstrap_samples_of_what_is_there():
    context, bags = harvest_context(), []
    fit = lambda rows, seed=0: (bags.append(rows.item.tolist()), context.student())[1]  # noqa: E731
    object.__setattr__(context, "fit", fit)
    Disagreement(initial=0.4, rounds=1).run(client(OWNED, 50), OWNED, context)
    assert [len(bag) for bag in bags] == [20, 20, 20]
    assert all(len(set(bag)) < 20 for bag in bags)
    assert len({tuple(bag) for bag in bags}) == 3


def test_asks_the_same_at_random_first_as_uncertainty_does():
    one = Disagreement().run(client(OWNED, 50), OWNED, harvest_context())
    other = Uncertainty().run(client(OWNED, 50), OWNED, harvest_context())
    assert one.item[:20].tolist() == other.item[:20].tolist()


def test_without_answers_there_is_no_committee_to_train():
    context = harvest_context()
    none = client(OWNED, 50).ask(np.arange(3)).take(np.zeros(0, np.int64))
    assert Disagreement().unsure(["1", "2"], none, context).tolist() == [0, 0]
    assert context.fit.sizes == []


def test_fields():
    with pytest.raises(ConfigError, match="members"):
        Disagreement(members=1)
