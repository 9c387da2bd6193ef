"""Accounts that send, with columns of one value or one an account; profiles and lists for them."""

from __future__ import annotations

import numpy as np

from teacher.api.clock import DAY
from teacher.api.traffic import GAMMA, PromptLists, Senders, Streams, keys

PEOPLE = 1.0 + 0.6 * np.cos(2 * np.pi * (np.arange(24) - 14) / 24)
OFFICE = np.where((np.arange(24) >= 9) & (np.arange(24) < 17), 1.0, 0.0)
FLAT = np.ones(24)
PROFILES = np.stack([FLAT, PEOPLE, OFFICE])
LENGTHS = (5.0, 1.0, 4.0, 0.5)


def lists(*sizes, skew=1.0, lengths=LENGTHS):
    """Lists of so many prompts, which are numbered through."""
    made, first = PromptLists(), 0
    for size in sizes or (10,):
        made.add(np.arange(first, first + size), lengths, skew)
        first += size
    return made


def senders(count, seed=0, **columns):
    """Accounts of one list and one network each, unless columns (of one value, or one an account) say otherwise."""
    given = {
        "rate": 50.0, "kind": GAMMA, "shape": 1.0, "profile": 0, "start": 0.0, "ends": np.inf, "parts": 1, "part_share": 1.0,
        "part_list": 0, "networks": 1, "network": 0, "dwell": 0.0, **columns,
    }  # fmt: skip
    kinds = {
        "kind": np.uint8, "profile": np.int16, "parts": np.int64, "part_list": np.int32, "networks": np.int64,
        "network": np.int32,
    }  # fmt: skip
    beat = np.zeros((count, 5), np.float32)
    beat[:] = given.pop("beat", (3600.0, 0.0, 2.0, 1.0, 0.0))
    made = {}
    for name, value in given.items():
        column = np.asarray(value, kinds.get(name, np.float64))
        made[name] = np.full(count, column) if column.ndim == 0 else column.copy()
    return Senders(beat=beat, key=keys(seed, count), **made)


def streams(new, prompts=None, threads=1):
    made = Streams(PROFILES, prompts or lists(), threads)
    made.add(new)
    return made


def crowd(count=40, seed=1):
    """Accounts of all kinds, profiles, parts and networks."""
    rng = np.random.default_rng(seed)
    parts, networks = rng.integers(1, 4, count), rng.integers(1, 4, count)
    return senders(
        count,
        seed,
        rate=np.exp(rng.normal(3, 1.5, count)),
        kind=rng.integers(0, 3, count),
        shape=rng.uniform(0.3, 2.0, count),
        profile=rng.integers(0, 3, count),
        start=np.maximum(rng.uniform(-DAY, DAY, count), 0),
        ends=np.where(rng.random(count) < 0.2, 2 * DAY, np.inf),
        parts=parts,
        part_share=np.concatenate([rng.dirichlet(np.ones(n)) for n in parts]),
        part_list=rng.integers(0, 3, parts.sum()),
        networks=networks,
        network=rng.integers(0, 1000, networks.sum()),
        dwell=rng.choice([0.0, 900.0, 21_600.0], count),
        beat=np.stack([rng.choice([3600.0, 21_600.0], count), rng.uniform(0, 3600, count), rng.uniform(0.3, 30, count),
                       rng.choice([0.5, 10.0], count), rng.choice([0.0, 300.0, 9000.0], count)], 1),
    )  # fmt: skip
