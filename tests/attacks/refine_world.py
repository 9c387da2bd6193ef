"""What an attacker has once the API is closed to him, around a tiny student."""

import numpy as np

from attacks.base import RefineContext
from attacks.compute import Compute, ComputeMeter
from lm.examples import Examples
from lm.ragged import Ragged
from tests.lm.mini.tiny import tiny

TEXTS = [f"chain {i % 10} add {j % 10}" for i in range(6) for j in range(4)]
TOKEN = 30


def no_rows(lm):
    none = Ragged.of([])
    empty = np.zeros(0, np.float32)
    return Examples(none, none, empty.astype(np.uint8), empty, np.zeros(0, np.int64), np.zeros(0, bool))


def taught(lm, items=None, token=TOKEN):
    """The teacher's response to every prompt is one word."""
    items = np.arange(len(TEXTS)) if items is None else items
    n = len(items)
    prompts = lm.encode_prompts([TEXTS[item % len(TEXTS)] for item in items])
    ones = np.ones(n, np.float32)
    return Examples(prompts, Ragged.of([[token]] * n), ones.astype(np.uint8), ones, items, np.zeros(n, bool))


def refine_context(check, compute=None, student=None, family=None, fit=None, seed=0, max_tokens=6, data=None):
    lm = student or tiny(3)
    return RefineContext(
        student=lm,
        texts=TEXTS,
        family=np.array(family or ["chain"] * len(TEXTS), object),
        prompts=lm.encode_prompts(TEXTS),
        check=check,
        tools=None,
        data=no_rows(lm) if data is None else data,
        fit=fit,
        compute=ComputeMeter(compute or Compute()),
        rng=np.random.default_rng(seed),
        progress=lambda *_: None,
        max_tokens=max_tokens,
    )


def weights(lm):
    return {name: t.detach().clone() for name, t in lm.model.state_dict().items()}
