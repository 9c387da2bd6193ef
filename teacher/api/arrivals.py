"""The compiled loop behind `teacher.api.traffic`: accounts one after the other, each with its own stream of random numbers.

Everything it calls is in this file, since a compiled kernel is kept on disk until its own file changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
DAY_SECONDS = 86_400.0
GAMMA, WEIBULL, PERIODIC = 0, 1, 2

compiled = njit(error_model="numpy", nogil=True, cache=True, boundscheck=False)


@compiled
def _bits(state: Any, a: int) -> Any:
    """SplitMix64 (Steele et al., 2014): the next 64 bits of account ``a``."""
    state[a] += STEP
    x = state[a]
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return x ^ (x >> np.uint64(31))


@compiled
def _uniform(state: Any, a: int) -> Any:
    """In (0, 1)."""
    return (np.float64(_bits(state, a) >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@compiled
def _normals(state: Any, a: int) -> Any:
    """A pair by Marsaglia's polar method."""
    while True:
        x, y = 2.0 * _uniform(state, a) - 1.0, 2.0 * _uniform(state, a) - 1.0
        s = x * x + y * y
        if 0.0 < s < 1.0:
            factor = math.sqrt(-2.0 * math.log(s) / s)
            return x * factor, y * factor


@compiled
def _normal(state: Any, a: int) -> Any:
    """The first of a pair; the second is not kept, so that no state but the stream is carried."""
    return _normals(state, a)[0]


@compiled
def _gamma(state: Any, a: int, shape: float) -> Any:
    """Marsaglia & Tsang (2000), with their boost for shapes below 1."""
    k = shape if shape >= 1.0 else shape + 1.0
    d = k - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = _normal(state, a)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = _uniform(state, a)
        if u < 1.0 - 0.0331 * x * x * x * x or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            break
    if shape < 1.0:
        return d * v * _uniform(state, a) ** (1.0 / shape)
    return d * v


@compiled
def _gap(state: Any, a: int, kind: int, shape: float) -> Any:
    """A gap with mean 1 (gamma) or as the standard Weibull (its mean is in the account's scale)."""
    if kind == WEIBULL:
        return (-math.log(_uniform(state, a))) ** (1.0 / shape)
    return _gamma(state, a, shape) / shape


@compiled
def _later(time: float, days: float, cumulative: Any, p: int) -> Any:
    """Clock seconds at which ``days`` of operational time have passed since ``time``, under the daily profile ``p``."""
    day = math.floor(time / DAY_SECONDS)
    hours = (time - day * DAY_SECONDS) / 3600.0
    h = min(int(hours), 23)
    width = cumulative[p, h + 1] - cumulative[p, h]
    operational = cumulative[p, h] + (hours - h) * width + days
    whole = math.floor(operational)
    rest = operational - whole
    h = 0
    while h < 23 and rest >= cumulative[p, h + 1]:
        h += 1
    width = cumulative[p, h + 1] - cumulative[p, h]
    return (day + whole) * DAY_SECONDS + (h + (rest - cumulative[p, h]) / width) * 3600.0


@compiled
def _next(
    a: int,
    now: float,
    state: Any,
    kind: Any,
    shape: Any,
    scale: Any,
    profile: Any,
    cumulative: Any,
    left: Any,
    beat: Any,
) -> Any:
    """When account ``a`` sends again after ``now``. ``beat`` (A, 5): period, phase, requests a burst, spacing, jitter."""
    if kind[a] != PERIODIC:
        return _later(now, _gap(state, a, kind[a], shape[a]) * scale[a], cumulative, profile[a])
    if left[a] > 0:
        left[a] -= 1
        return now - math.log(_uniform(state, a)) * beat[a, 3]
    period, phase = np.float64(beat[a, 0]), np.float64(beat[a, 1])
    at = (math.floor((now - phase) / period) + 1.0) * period + phase
    left[a] = max(np.int64(-math.log(_uniform(state, a)) * 0.5 * beat[a, 2] + 0.5 * beat[a, 2] + 0.5), 1) - 1
    return at + beat[a, 4] * _uniform(state, a)


@compiled
def first(
    start: Any,
    state: Any,
    kind: Any,
    shape: Any,
    scale: Any,
    profile: Any,
    cumulative: Any,
    left: Any,
    beat: Any,
    clock: Any,
    accounts: Any,
) -> None:
    """Set ``clock`` of the given accounts to their first request after ``start``: part of a gap, not a whole one."""
    for a in accounts:
        if kind[a] == PERIODIC:
            clock[a] = _next(a, start[a], state, kind, shape, scale, profile, cumulative, left, beat)
        else:
            part = _gap(state, a, kind[a], shape[a]) * scale[a] * _uniform(state, a)
            clock[a] = _later(start[a], part, cumulative, profile[a])


@compiled
def fill(
    begin: int,
    stop: int,
    until: float,
    clock: Any,
    ends: Any,
    state: Any,
    kind: Any,
    shape: Any,
    scale: Any,
    profile: Any,
    cumulative: Any,
    left: Any,
    beat: Any,
    part_from: Any,
    part_up_to: Any,
    part_list: Any,
    list_from: Any,
    list_prompt: Any,
    list_skew: Any,
    list_lengths: Any,
    network_from: Any,
    network: Any,
    dwell: Any,
    time: Any,
    account: Any,
    prompt: Any,
    listed: Any,
    inputs: Any,
    outputs: Any,
    came_from: Any,
    longest: int,
) -> Any:
    """Write the requests of accounts ``begin`` to ``stop`` before ``until``, as far as there is room.

    Returns:
        how many rows were written, and the first account that was not finished (its state is as before, ``stop`` where all
        were).
    """
    n, room = 0, len(time)
    for a in range(begin, stop):
        mark, mark_state, mark_left, mark_clock = n, state[a], left[a], clock[a]
        end = min(until, ends[a])
        while clock[a] < end:
            if n == room:
                state[a], left[a], clock[a] = mark_state, mark_left, mark_clock
                return mark, a
            now = clock[a]
            u = _uniform(state, a)
            c = part_from[a]
            while c < part_from[a + 1] - 1 and u >= part_up_to[c]:
                c += 1
            which = part_list[c]
            size = list_from[which + 1] - list_from[which]
            place = np.int64(size * _uniform(state, a) ** list_skew[which])
            time[n], account[n], listed[n] = now, a, which
            prompt[n] = list_prompt[list_from[which] + min(place, size - 1)]
            z_in, z_out = _normals(state, a)
            size_in = math.exp(list_lengths[which, 0] + list_lengths[which, 1] * z_in)
            size_out = math.exp(list_lengths[which, 2] + list_lengths[which, 3] * z_out)
            inputs[n] = max(1, np.int64(min(size_in, longest) + 0.5))
            outputs[n] = max(1, np.int64(min(size_out, longest) + 0.5))
            networks = network_from[a + 1] - network_from[a]
            pick = _bits(state, a) >> np.uint64(1)
            if dwell[a] > 0.0 and networks > 1:
                x = np.uint64(np.int64(now / dwell[a])) * STEP ^ np.uint64(a) * MIX_1
                x = (x ^ (x >> np.uint64(30))) * MIX_2
                pick = (x ^ (x >> np.uint64(31))) >> np.uint64(1)
            came_from[n] = network[network_from[a] + np.int64(pick) % networks]
            n += 1
            clock[a] = _next(a, now, state, kind, shape, scale, profile, cumulative, left, beat)
    return n, stop
