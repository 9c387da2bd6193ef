from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from configs.errors import ConfigError
from defenses.base import Deployed, Serving
from defenses.decoding.kgw import KGW
from defenses.decoding.temperature import Temperature
from defenses.provenance.kgw_radioactivity import KGWRadioactivity, reading
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from lm.ragged import Ragged
from tests.defenses.provenance.suspects import TEACHER, TEXTS, Bigram, bigram, detection, served, trained, without
from tests.experiments.test_cell import TINY

SECRET = 5
PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7]])
RESPONSES = Ragged.of([[5, 6, 5, 6, 8], [9, 9, 9, 9], [7, 4, 4, 8, 9, 8, 9, 3]])


def marked(watermark, seed=0, tokens=24):
    """What the teacher serves under a watermark."""
    return served(seed, tokens, watermark, SECRET)


def looked_into(suspect, watermark, log, name="kgw"):
    def deployed(wanted):
        assert wanted == name
        return Deployed(watermark, Serving(TEACHER, seed=SECRET))

    return KGWRadioactivity(name).detect(detection(suspect, log, secret=77, deployed=deployed))


def by_hand(watermark, prompts, responses, choices):
    """(green, all) pairs, one text after the other."""
    pairs, at = set(), 0
    for prompt, response in zip(prompts, responses, strict=True):
        text, seen = [-1] * watermark.width + prompt.tolist() + response.tolist(), set()
        for i in range(watermark.width, len(text)):
            context = tuple(text[i - watermark.width : i])
            if i >= watermark.width + len(prompt):
                if context not in seen:
                    pairs.add((*context, int(choices[at])))
                at += 1
            seen.add(context)
    green = [watermark.green(np.array([p[:-1]]), np.array([p[-1]]), SECRET)[0, 0] for p in pairs]
    return int(np.sum(green)), len(pairs)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_reading_scores_each_pair_once_where_its_context_is_new(width):
    watermark = KGW(2.0, 0.4, width)
    choices = np.random.default_rng(0).integers(3, 24, len(RESPONSES.values))
    green, n = by_hand(watermark, PROMPTS, RESPONSES, choices)
    found = reading(watermark, PROMPTS, RESPONSES, choices, SECRET)
    assert n < len(choices)
    assert found.looked_at == n
    assert found.p == pytest.approx(binomtest(green, n, 0.4, "greater").pvalue)
    assert found.statistic == pytest.approx((green - 0.4 * n) / np.sqrt(0.24 * n))
    assert reading(watermark, PROMPTS, Ragged.of([[], [], []]), choices[:0], SECRET) is None


def test_p_is_uniform_for_suspects_that_never_met_the_watermark():
    """Of nothing, and of the same teacher without a watermark; each key marks its own texts."""
    clean, found = [bigram(3), bigram(4), TEACHER, trained(served(7))], []
    for key in range(200):
        watermark = KGW(3.0, width=1 + key % 2, key=key)
        found.append(looked_into(Wandering(clean[key % 4], key), watermark, marked(watermark, key)).p)
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) < 0.05) < 0.09


@dataclass(frozen=True)
class Wandering:
    """Its first choices depend on all that came before, as those of a real model do: many for each context."""

    lm: Bigram
    seed: int

    def __getattr__(self, name):
        return getattr(self.lm, name)

    def score(self, prompts, completions, top_k=0):
        whole = Ragged.of([np.concatenate(pair) for pair in zip(prompts, completions, strict=True)])
        summed = np.cumsum(whole.values)
        begun = np.repeat(summed[whole.offsets[:-1]] - whole.values[whole.offsets[:-1]], whole.lengths)
        said = whole.position >= prompts.lengths[whole.row_of_value]
        told = (summed - begun - whole.values)[said]
        return dataclasses.replace(
            self.lm.score(prompts, completions, 3), top_ids=self._choice(prompts, completions, told)
        )

    def _choice(self, prompts, completions, told):
        best = self.lm.score(prompts, completions, 3).top_ids
        return best[np.arange(len(best)), (told * 7 + self.seed) % 3][:, None]


def copied(prompts, completions, choices):
    """After each token, what stood after its last occurrence in the text; the choice given where it is new."""
    found, at = choices.copy(), 0
    for prompt, response in zip(prompts, completions, strict=True):
        text, after = [*prompt.tolist(), *response.tolist()], {}
        for i in range(1, len(text)):
            if i >= len(prompt):
                found[at] = after.get(text[i - 1], found[at])
                at += 1
            after[text[i - 1]] = text[i]
    return found


def test_a_suspect_that_copies_from_the_text_it_reads_is_not_convicted():
    found, naive, prompts = [], [], TEACHER.encode_prompts(TEXTS)
    for key in range(120):
        watermark = KGW(4.0, width=1, key=key)
        tokens = marked(watermark, key).responses.tokens
        choices = copied(prompts, tokens, bigram(3).score(prompts, tokens, 1).top_ids[:, 0])
        found.append(reading(watermark, prompts, tokens, choices, SECRET).p)
        before, inside = np.roll(tokens.values, 1), tokens.position > 0
        pairs = np.unique(np.column_stack([before, choices])[inside], axis=0)
        green = watermark.green(pairs[:, :1], pairs[:, 1:], SECRET)
        naive.append(binomtest(int(green.sum()), len(green), 0.5, "greater").pvalue)
    assert np.mean(np.array(found) < 0.05) < 0.1
    assert np.median(naive) < 1e-3, "counted at every place, copies are falsely green"


def test_a_suspect_that_learnt_the_watermark_is_found_by_the_right_key_alone():
    watermark = KGW(1.5, width=1)
    log = marked(watermark)
    green = watermark.green(np.arange(24)[:, None], np.arange(24), SECRET)
    learnt = Bigram(TEACHER.table + 1.5 * green)
    assert looked_into(learnt, watermark, log).p < looked_into(TEACHER, watermark, log).p
    strong = Bigram(TEACHER.table / 3 + 3 * green)
    assert looked_into(strong, watermark, log).p < 1e-5
    assert looked_into(strong, dataclasses.replace(watermark, key=1), log).p > 1e-3


def test_nothing_is_said_of_other_tokens_or_of_nothing():
    watermark = KGW(2.0)
    other = dataclasses.replace(TEACHER, vocab=tuple(reversed(TEACHER.vocab)))
    assert looked_into(other, watermark, marked(watermark)) is None
    log = marked(watermark)
    empty = without(log)._replace(prompt=log.prompt[:0], responses=log.responses.take(log.prompt[:0]))
    assert looked_into(TEACHER, watermark, empty) is None


def test_refuses_what_is_no_green_list():
    with pytest.raises(ConfigError, match=r"watermark = 'hot'.*Temperature.*not a green-list"):
        looked_into(TEACHER, Temperature(2.0), served(), name="hot")


def test_the_watermark_has_to_be_there():
    with pytest.raises(ConfigError, match=r"kgw_radioactivity = 'kgw'.*asks for it"):
        cell_from(compose_one([*TINY, "defense=kgw_radioactivity"]).config)


def test_beside_a_watermark_it_changes_no_key_of_what_was_answered_or_learnt():
    stack = "defense=[kgw,kgw_radioactivity,response_similarity,dataset_inference]"
    alone, both = (cell_from(compose_one([*TINY, d]).config).row_stage() for d in ("defense=kgw", stack))
    for name in ("harvest", "honest", "student", "costs"):
        assert getattr(alone, name).key == getattr(both, name).key, name
    assert alone.evidence["student"].key != both.evidence["student"].key
