"""Models that do as they are told, and a provider whose students' scores are known."""

from __future__ import annotations

import numpy as np

from defenses.base import OwnItems, Preparation
from lm.examples import Examples
from lm.types import Generations
from teacher.api.schema import Prompts
from tests.defenses.release.test_model_rewriter import responses_of

TRACES = [f"<think>3 * 4 = 12 and 12 - {i} = {12 - i}.</think>\nAnswer: {12 - i}" for i in range(1, 10)]


class Follows:
    """Stands for a language model: says what ``answer`` gives for a prompt; "" is a text that it does not finish."""

    positions = None
    vocab = "its own"

    def __init__(self, lm, answer):
        self.lm, self.answer, self.heard, self.drawn = lm, answer, [], []

    def encode_prompts(self, prompts):
        self.heard.append(list(prompts))
        return self.lm.encode(["x"] * len(prompts))

    def generate(self, asked, sampling, seeds, tools=None):
        self.drawn.append((sampling, seeds))
        texts = [self.answer(prompt) for prompt in self.heard[-1]]
        assert len(asked) == len(texts)
        tokens = self.lm.encode(texts)
        n = len(tokens.values)
        return Generations(tokens, np.full(n, 4, np.uint8), np.zeros(n, np.float32), np.array([bool(t) for t in texts]))

    def decode(self, tokens):
        return self.lm.decode(tokens)


class Provider:
    """Whose students solve a share of the tasks that is a function of the rows they were trained on."""

    def __init__(self, lm, score, texts=("Answer: 3", *TRACES)):
        self.lm, self.score, self.texts = lm, score, list(texts)
        self.trained, self.steps, self.asked, self.done = [], [], [], []

    def preparation(self, seed=0):
        rng = np.random.default_rng(seed)
        return Preparation(
            self.lm, lambda: self.lm, self.traces, rng, items=self.items, fit=self.fit, progress=self.told
        )

    def prompts(self, n):
        texts = [f"What is {i}?" for i in range(n)]
        return Prompts(texts, self.lm.encode_prompts(texts))

    def traces(self, n):
        responses = responses_of(self.lm, self.texts[:n])
        rows = len(responses)
        weight, item = np.ones(len(responses.channel), np.float32), np.full(rows, -1, np.int64)
        prompts = self.prompts(rows).tokens
        return Examples(prompts, responses.tokens, responses.channel, weight, item, np.zeros(rows, np.bool_))

    def items(self, n):
        return OwnItems(self.prompts(n), np.array(["sum"] * n, object), self.check)

    def fit(self, rows, steps=None):
        self.trained.append(rows)
        self.steps.append(steps)
        self.asked.append([])
        return Follows(self.lm, lambda prompt: "Answer: 3")

    def check(self, item, text):
        self.asked[-1].append(item)
        return len(self.asked[-1]) <= 10 * self.score(self.said(-1))

    def said(self, which):
        return self.lm.decode(self.trained[which].completions)

    def told(self, done, total, note=""):
        self.done.append((done, total))
