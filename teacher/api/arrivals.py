"""The compiled loop behind `teacher.api.traffic`: accounts one after the other, each with its own stream of random numbers.

Everything it calls is in this file, since a compiled kernel is kept on disk until its own file changes. A draw takes the
state of a stream and returns what is drawn with the next state, so that states stay in registers.

Normal and gamma numbers are drawn here because each account has a stream of its own that goes on from epoch to epoch: 8
bytes of state, where a numpy ``Generator`` for each of 100,000 accounts or more takes 16 µs to make, and compiled loops
take no list of them. Nor would one ``Generator`` for all be faster: a request takes two normal numbers and one gamma
number, 44 ns here and 63 ns by a ``Generator`` in compiled code (6.4 and 31 ns each against 3.9 and 55; shape 0.6, numba
0.68, numpy 2.4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lm.compiled import compiled
from teacher.api.ziggurat import layers

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
DAY_SECONDS = 86_400.0
GAMMA, WEIBULL, PERIODIC = 0, 1, 2

_NORMAL_EDGE, _EXPONENTIAL_EDGE = 3.6541528853610088, 7.69711747013104972
_NORMAL, _NORMAL_SURE, _NORMAL_HEIGHT = layers(_NORMAL_EDGE, True)
_EXPONENTIAL, _EXPONENTIAL_SURE, _EXPONENTIAL_HEIGHT = layers(_EXPONENTIAL_EDGE, False)


@compiled
def _mixed(x: Any) -> Any:
    """SplitMix64 (Steele et al., 2014): 64 bits from a state. The next state is this one and `STEP`."""
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return x ^ (x >> np.uint64(31))


@compiled
def _unit(bits: Any) -> Any:
    """In (0, 1), of the upper 53 bits."""
    return (np.float64(np.int64(bits >> np.uint64(11))) + 0.5) * (1.0 / 9007199254740992.0)


@compiled
def _uniform(s: Any) -> Any:
    """In (0, 1)."""
    s += STEP
    return _unit(_mixed(s)), s


@compiled
def _normal(s: Any) -> Any:
    """By the ziggurat: the lowest byte says which layer, the next bit the sign, the upper 53 how far."""
    while True:
        s += STEP
        bits = _mixed(s)
        layer = np.int64(bits & np.uint64(255))
        u = _unit(bits)
        x = u * _NORMAL[layer]
        sign = 1.0 if bits & np.uint64(256) else -1.0
        if u < _NORMAL_SURE[layer]:
            return sign * x, s
        if layer == 0:
            while True:  # Marsaglia's tail
                a, s = _uniform(s)
                b, s = _uniform(s)
                x, y = -math.log(a) / _NORMAL_EDGE, -math.log(b)
                if 2.0 * y > x * x:
                    return sign * (_NORMAL_EDGE + x), s
        v, s = _uniform(s)
        low = _NORMAL_HEIGHT[layer]
        if low + v * (_NORMAL_HEIGHT[layer + 1] - low) < math.exp(-0.5 * x * x):
            return sign * x, s


@compiled
def _exponential(s: Any) -> Any:
    """With mean 1, by the ziggurat."""
    beyond = 0.0
    while True:
        s += STEP
        bits = _mixed(s)
        layer = np.int64(bits & np.uint64(255))
        u = _unit(bits)
        x = u * _EXPONENTIAL[layer]
        if u < _EXPONENTIAL_SURE[layer]:
            return beyond + x, s
        if layer == 0:
            beyond += _EXPONENTIAL_EDGE  # without memory: what is beyond the edge is as what is beyond 0
            continue
        v, s = _uniform(s)
        low = _EXPONENTIAL_HEIGHT[layer]
        if low + v * (_EXPONENTIAL_HEIGHT[layer + 1] - low) < math.exp(-x):
            return beyond + x, s


@compiled
def _gap(s: Any, kind: int, shape: float, d: float, c: float) -> Any:
    """A standard Weibull gap (its mean is in the account's scale), or a gamma gap with mean 1: Marsaglia & Tsang (2000) with
    their boost for shapes below 1. ``d`` and ``c`` are theirs, see `_constants`."""
    if kind == WEIBULL:
        e, s = _exponential(s)
        return e ** (1.0 / shape), s
    if shape == 1.0:
        return _exponential(s)
    while True:
        x, s = _normal(s)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u, s = _uniform(s)
        if u < 1.0 - 0.0331 * x * x * x * x or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            break
    if shape < 1.0:
        e, s = _exponential(s)
        return d * v * math.exp(-e / shape) / shape, s
    return d * v / shape, s


@compiled
def _constants(shape: float) -> Any:
    """d and c of Marsaglia & Tsang."""
    d = (shape if shape >= 1.0 else shape + 1.0) - 1.0 / 3.0
    return d, 1.0 / math.sqrt(9.0 * d)


@compiled
def _later(time: float, days: float, share: Any, cumulative: Any, p: int) -> Any:
    """Clock seconds at which ``days`` of operational time have passed since ``time``, under the daily profile ``p``.

    Args:
        time: virtual seconds.
        days: operational time.
        share: (K, 24) of a day's operational time in each hour.
        cumulative: (K, 25) of it before each hour, 0 to 1.
        p: row of the two.
    """
    day = math.floor(time * (1.0 / DAY_SECONDS))
    hours = (time - day * DAY_SECONDS) * (1.0 / 3600.0)
    h = min(max(int(hours), 0), 23)
    here = share[p, h]
    if days < (h + 1 - hours) * here:
        return time + days * 3600.0 / here  # within the hour, as most are of who sends much
    operational = cumulative[p, h] + (hours - h) * here + days
    whole = math.floor(operational)
    rest = operational - whole
    if whole > 0.0:
        h = 0
    while h < 23 and rest >= cumulative[p, h + 1]:
        h += 1
    later = (day + whole) * DAY_SECONDS + (h + (rest - cumulative[p, h]) / share[p, h]) * 3600.0
    return max(later, time)  # rounding could put it earlier


@compiled
def _operational(time: float, share: Any, cumulative: Any, p: int) -> Any:
    """Days of operational time up to clock seconds ``time``; `_later` turned round."""
    day = math.floor(time * (1.0 / DAY_SECONDS))
    hours = (time - day * DAY_SECONDS) * (1.0 / 3600.0)
    h = min(max(int(hours), 0), 23)
    return day + cumulative[p, h] + (hours - h) * share[p, h]


@compiled
def stretch(accounts: Any, begun: Any, factor: Any, profile: Any, share: Any, cumulative: Any, clock: Any) -> None:
    """Stretch what each of these accounts still waits after ``begun``, in operational time, by its factor."""
    for i in range(len(accounts)):
        a = accounts[i]
        if factor[i] != 1.0 and begun[i] < clock[a] < np.inf:
            p = profile[a]
            waits = _operational(clock[a], share, cumulative, p) - _operational(begun[i], share, cumulative, p)
            clock[a] = _later(begun[i], max(waits, 0.0) * factor[i], share, cumulative, p)


@compiled
def _wait(s: Any, kind: int, shape: float) -> Any:
    """From an instant that falls anywhere to the next request, in standard gaps: part of a gap, where long ones are met more
    often than short ones, so that the mean rate is right from the first second on. The gaps met are, of gamma gaps, gamma
    with a shape larger by 1; of Weibull gaps, their power ``shape`` is gamma with shape 1 + 1/shape."""
    larger = 1.0 + 1.0 / shape if kind == WEIBULL else 1.0 + shape
    d, c = _constants(larger)
    met, s = _gap(s, GAMMA, larger, d, c)
    met = (met * larger) ** (1.0 / shape) if kind == WEIBULL else met * larger / shape
    u, s = _uniform(s)
    return met * u, s


@compiled
def _burst(s: Any, now: float, last: float, beat: Any, a: int) -> Any:
    """The next burst of account ``a``.

    A burst may be empty, so that its mean can be below 1; one that goes on over later beats is followed by one for them all,
    so that no demand is lost.

    Args:
        s: state of the stream.
        now: virtual seconds.
        last: number of the last beat that has had its burst.
        beat: (A, 5) period, phase, mean requests a burst, spacing, jitter.
        a: the account.

    Returns:
        when it begins, ``now`` at the earliest; how many requests follow its first; number of its beat; the state.
    """
    period, phase = np.float64(beat[a, 0]), np.float64(beat[a, 1])
    while True:
        number = max(math.ceil((now - phase) / period), last + 1.0)
        e, s = _exponential(s)
        u, s = _uniform(s)
        size = np.int64(0.5 * beat[a, 2] * (number - last) * (1.0 + e) + u)
        last = number
        if size > 0:
            u, s = _uniform(s)
            return max(number * period + phase + beat[a, 4] * u, now), size - 1, last, s


@compiled
def first(
    start: Any,
    state: Any,
    kind: Any,
    shape: Any,
    scale: Any,
    profile: Any,
    share: Any,
    cumulative: Any,
    left: Any,
    beaten: Any,
    beat: Any,
    clock: Any,
    accounts: Any,
) -> None:
    """Set ``clock`` of the given accounts to their first request from ``start`` on."""
    for a in accounts:
        s = state[a]
        if kind[a] == PERIODIC:
            last = math.ceil((start[a] - np.float64(beat[a, 1])) / np.float64(beat[a, 0])) - 1.0
            clock[a], left[a], beaten[a], s = _burst(s, start[a], last, beat, a)
        else:
            wait, s = _wait(s, kind[a], shape[a])
            clock[a] = _later(start[a], wait * scale[a], share, cumulative, profile[a])
        state[a] = s


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
    share: Any,
    cumulative: Any,
    left: Any,
    beaten: Any,
    beat: Any,
    part_from: Any,
    part_share: Any,
    part_list: Any,
    list_from: Any,
    list_prompt: Any,
    list_skew: Any,
    list_lengths: Any,
    network_from: Any,
    network: Any,
    dwell: Any,
    key: Any,
    time: Any,
    account: Any,
    prompt: Any,
    listed: Any,
    inputs: Any,
    outputs: Any,
    came_from: Any,
    longest: int,
    number: int,
) -> Any:
    """Write the requests of accounts ``begin`` to ``stop`` before ``until``, as far as there is room; ``number`` is added to
    the accounts that are written.

    Returns:
        how many rows were written, and the first account that was not finished (its state is as before, ``stop`` where all
        were).
    """
    n, room, most = 0, len(time), np.float64(longest)
    for a in range(begin, stop):
        now, end = clock[a], min(until, ends[a])
        if not now < end:
            continue
        mark, s, more, last, kept = n, state[a], left[a], beaten[a], dwell[a]
        which_kind, form, unit, p = kind[a], shape[a], scale[a], profile[a]
        d, c = _constants(form)
        part, last_part = part_from[a], part_from[a + 1] - 1
        home, networks = network_from[a], network_from[a + 1] - network_from[a]
        while now < end:
            if n == room:
                return mark, a
            u, s = _uniform(s)
            at, up_to = part, part_share[part]
            while at < last_part and u >= up_to:
                at += 1
                up_to += part_share[at]
            which = part_list[at]
            size = list_from[which + 1] - list_from[which]
            u, s = _uniform(s)
            skew = list_skew[which]
            if skew == 1.5:
                u *= math.sqrt(u)
            elif skew != 1.0:
                u = u**skew
            time[n], account[n], listed[n] = now, a + number, which
            prompt[n] = list_prompt[list_from[which] + min(np.int64(size * u), size - 1)]
            z, s = _normal(s)
            inputs[n] = max(1, np.int64(min(math.exp(list_lengths[which, 0] + list_lengths[which, 1] * z), most) + 0.5))
            z, s = _normal(s)
            outputs[n] = max(
                1, np.int64(min(math.exp(list_lengths[which, 2] + list_lengths[which, 3] * z), most) + 0.5)
            )
            pick = home
            if networks > 1:
                if kept > 0.0:
                    x = np.uint64(np.int64(now / kept)) * STEP ^ key[a]
                    x = (x ^ (x >> np.uint64(30))) * MIX_2
                    u = _unit(x ^ (x >> np.uint64(31)))
                else:
                    u, s = _uniform(s)
                pick += np.int64(u * networks)
            came_from[n] = network[pick]
            n += 1
            if which_kind != PERIODIC:
                gap, s = _gap(s, which_kind, form, d, c)
                now = _later(now, gap * unit, share, cumulative, p)
            elif more > 0:
                more -= 1
                gap, s = _exponential(s)
                now += gap * beat[a, 3]
            else:
                now, more, last, s = _burst(s, now, last, beat, a)
        state[a], left[a], beaten[a], clock[a] = s, more, last, now
    return n, stop
