"""The same numbers in every process, wherever its memory happens to lie."""

import hashlib
import subprocess
import sys

WORK = """
import hashlib, sys
import numpy as np
junk = [np.empty(int(n)) for n in np.random.default_rng(int(sys.argv[1])).integers(1, 5000, 300)]
del junk[::3]
import torch
torch.set_num_threads(1)
from lm.from_words import mini_language_model
from lm.mini.train import Member, train_mini
from lm.ragged import Ragged
from lm.train import Recipe, epochs
from lm.types import Sampling
from student.objectives.sft import SFT
from tests.lm.mini.test_program import examples
from tests.lm.mini.tiny import tiny
rng = np.random.default_rng(0)
rows = examples(0, [(int(a), int(b)) for a, b in zip(rng.integers(3, 9, 300), rng.integers(5, 30, 300))])
recipe = Recipe(steps=8, batch_size=80)
model = tiny(3, width=64, scale=0.1).model
train_mini([Member(model, epochs(rows, recipe, rng), SFT().losses, recipe)], 0, lambda *told: None)
prompts = Ragged.of([rng.integers(4, 100, 3 + i % 7) for i in range(60)])
drawn = mini_language_model(model).generate(prompts, Sampling(1.0, 30), np.arange(60, dtype=np.int64))
digest = hashlib.sha256()
for parameter in model.parameters():
    digest.update(parameter.detach().numpy().tobytes())
digest.update(drawn.tokens.values.tobytes() + drawn.logprob.tobytes())
print(digest.hexdigest())
"""


def start(seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WORK, str(seed)], stdout=subprocess.PIPE, text=True)


def test_training_and_generation_give_the_same_bits_in_every_process():
    first = start(0).communicate(timeout=300)[0]  # it compiles; the other reads what it has compiled
    assert len(first.strip()) == len(hashlib.sha256().hexdigest())
    assert start(1).communicate(timeout=300)[0] == first
