"""A model asked in words gives what it gives in tokens."""

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from lm.ragged import Ragged
from lm.texts import TextModel
from lm.types import Sampling
from tests.lm.mini.tiny import tiny

LM = tiny()
ASK = TextModel(LM, max_tokens=9)
PROMPTS = LM.decode(Ragged.of(np.random.default_rng(0).integers(20, 100, (6, 4))))


def test_a_response_to_each_prompt():
    got = ASK.generate(PROMPTS)
    drawn = LM.generate(LM.encode_prompts(PROMPTS), Sampling(0.0, 9), np.zeros(6, np.int64))
    assert got["prompt"].to_list() == PROMPTS
    assert got["text"].to_list() == LM.decode(drawn.tokens)
    assert got["finished"].to_list() == drawn.finished.tolist()
    word = {
        i: token for token, i in LM.tokenizer.get_vocab().items()
    }  # a model may have more logits than there are tokens
    assert got["tokens"].to_list() == [[word.get(i) for i in row.tolist()] for row in drawn.tokens]
    np.testing.assert_array_equal(np.concatenate(got["logprobs"].to_list()), drawn.logprob)
    assert ASK.generate(PROMPTS, max_tokens=2)["tokens"].list.len().max() == 2


def test_samples_depend_on_the_seed_and_the_row():
    one, again, other = (ASK.generate([PROMPTS[0]] * 8, temperature=1.0, seed=s)["text"].to_list() for s in (1, 1, 2))
    assert one == again != other
    assert len(set(one)) > 1


def test_scores_are_the_models_own_and_those_of_what_it_drew():
    drawn = ASK.generate(PROMPTS, temperature=1.0)
    text = drawn["text"][0]
    scored = ASK.score(PROMPTS[:1], [text])
    ids, context = [*LM.encode([text])[0], LM.tokenizer.eos_token_id], LM.encode_prompts(PROMPTS[:1])[0]
    with torch.no_grad():
        logits = LM.model(torch.tensor([[*context, *ids]])).logits[0, len(context) - 1 : -1]
    own = logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
    np.testing.assert_allclose(scored["logprobs"][0], own, atol=1e-4)
    assert scored["logprob"][0] == pytest.approx(float(own.sum()), abs=1e-3)
    assert scored["greedy"][0].to_list() == (logits.argmax(-1) == torch.tensor(ids)).tolist()
    assert scored["tokens"][0].to_list()[-1] == LM.tokenizer.eos_token
    open_end = ASK.score(PROMPTS[:1], [text], ended=False)
    assert open_end["tokens"][0].to_list() == scored["tokens"][0].to_list()[:-1]


def test_a_text_that_was_drawn_is_scored_as_it_was_drawn():
    drawn = ASK.generate(PROMPTS * 4, temperature=1.0)
    scored = ASK.score(drawn["prompt"].to_list(), drawn["text"].to_list(), ended=False)
    same = [row for row in range(24) if scored["tokens"][row].to_list() == drawn["tokens"][row].to_list()]
    assert same, "texts of plain words come back as the same tokens"
    for row in same:
        np.testing.assert_allclose(scored["logprobs"][row], drawn["logprobs"][row], atol=1e-4)


def test_nothing_asked_is_nothing_answered():
    for table in (ASK.generate([]), ASK.score([], [])):
        assert len(table) == 0
        assert {"prompt", "text", "tokens", "logprobs", "logprob"} <= set(table.columns)


def test_one_text_is_not_many():
    for ask in (lambda: ASK.generate("abc"), lambda: ASK.score("abc", ["x"]), lambda: ASK.score(["x"], "abc")):
        with pytest.raises(ConfigError, match="must be a list of texts"):
            ask()
    with pytest.raises(ConfigError, match="must be as many as there are prompts, 2"):
        ASK.score(["a", "b"], ["c"])
