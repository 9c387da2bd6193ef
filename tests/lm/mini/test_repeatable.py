"""The same numbers in every process, wherever its memory happens to lie."""

import hashlib
import subprocess
import sys

WORK = """
import hashlib, os, sys
import numpy as np
rng = np.random.default_rng(int(sys.argv[1]))
junk = [np.empty(int(n)) for n in rng.integers(1, 5000, 300)]
del junk[::3]
import torch
torch.set_num_threads(1)
from lm.ragged import Ragged
from lm.train import Recipe
from lm.types import Sampling
from lm.mini.train import train_mini
from tests.lm.mini.test_program import member
one = member(3, Recipe(steps=12, batch_size=60), rows=120)
train_mini([one], 0, lambda *told: None)
from lm.mini.build import mini_language_model
lm = mini_language_model(one.model)
prompts = Ragged.of([np.random.default_rng(i).integers(4, 100, 3 + i % 7) for i in range(60)])
drawn = lm.generate(prompts, Sampling(1.0, 30), np.arange(60, dtype=np.int64))
digest = hashlib.sha256()
for parameter in one.model.parameters():
    digest.update(parameter.detach().numpy().tobytes())
digest.update(drawn.tokens.values.tobytes() + drawn.logprob.tobytes())
print(digest.hexdigest())
"""


def test_training_and_generation_give_the_same_bits_in_every_process():
    processes = [
        subprocess.Popen([sys.executable, "-c", WORK, str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    found = {process.communicate(timeout=300)[0] for process in processes}
    assert len(found) == 1, found
    assert len(found.pop().strip()) == len(hashlib.sha256().hexdigest())
