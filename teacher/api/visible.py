"""What an interface shows of what was generated: the trace in full, as a summary, or not at all, and where it leaks. Knows
no defense."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lm.randomness import mixed, seeds_of_each
from lm.types import Channel, Generations, ResponseFormat
from teacher.api.interface import Interface
from teacher.api.schema import Params

_LEAK = np.uint64(crc32(b"leak"))
"""Keeps the draws of `leaked` apart from whatever else is drawn from the same seeds."""


def visible(
    raw: Generations, interface: Interface, format: ResponseFormat, params: Params, seed: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(N,) which tokens of the R responses to B requests a client sees.

    Args:
        raw: as they were generated, request-major.
        interface: what is sold.
        format: knows what a summary keeps.
        params: of the requests.
        seed: (B,) theirs.
    """
    if interface.trace == "full":
        return np.ones(len(raw.channel), np.bool_)
    leaks_N = leaked(interface, params, seed)[raw.tokens.row_of_value]
    shown: NDArray[np.bool_] = (raw.channel != Channel.TRACE) | leaks_N
    if interface.trace == "summary":
        shown |= format.summary(raw.tokens, raw.channel)
    return shown


def leaked(interface: Interface, params: Params, seed: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(R,) which responses show a trace that the interface hides: those to requests that ask for it, each with probability
    `Interface.leak`, decided by its own seed.

    Args:
        interface: what is sold.
        params: of B requests.
        seed: (B,) theirs.
    """
    each = params.each("n", len(seed))
    if params.scored or not interface.leak:
        return np.zeros(int(each.sum()), np.bool_)
    word = mixed(seeds_of_each(seed, each).astype(np.uint64) ^ _LEAK)
    drawn = (word >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray((drawn < interface.leak) & np.repeat(params.each("elicits", len(seed)), each))
