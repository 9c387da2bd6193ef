"""A base of another seed has other weights, and the same ones each time."""

import dataclasses

import pytest
import torch

from configs.errors import ConfigError
from configs.identity import identity
from lm.recipe import Recipe
from student.mini import MiniStudent
from student.reseeded import ReseededStudent
from tasks.mini import MiniTask

SMALL = {"width": 32, "layers": 1, "base_recipe": Recipe(steps=1)}
TASK = MiniTask()


def base(spec):
    return torch.cat([w.flatten() for w in spec.train(TASK, 7, lambda done, total, note="": None).values()])


def test_weights_are_another_seed_s():
    first = ReseededStudent(**SMALL)
    plain, found, again, other = map(base, (MiniStudent(**SMALL), first, first, dataclasses.replace(first, reseed=2)))
    assert torch.equal(found, again)
    assert not torch.allclose(found, plain, atol=0.01)
    assert not torch.allclose(found, other, atol=0.01)
    assert identity(first) != identity(dataclasses.replace(first, reseed=2))


def test_refuses_the_seed_itself():
    with pytest.raises(ConfigError, match="reseed"):
        ReseededStudent(reseed=0)
