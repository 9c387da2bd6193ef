"""Request streams of many accounts at once: who sends what when. Knows nothing of what the provider does with it, or why
anybody sends.

Each account has a renewal process of its own (gamma or Weibull gaps in operational time, warped by a daily profile) or a
schedule (bursts at a period), and a stream of random numbers of its own: an account sends the same requests whatever the
others do and however time is cut into epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teacher.api import arrivals
from teacher.api.clock import DAY

GAMMA, WEIBULL, PERIODIC = arrivals.GAMMA, arrivals.WEIBULL, arrivals.PERIODIC
LONGEST = 200_000
"""Tokens at which a prompt or an answer is cut."""
CHUNK = 200_000
"""Requests that one thread makes at a time."""
LEAST_BURST = 1e-3
"""Least mean of a burst: a schedule sends something at one beat in a thousand at least."""


class _Lists(NamedTuple):
    """(L + 1,) offsets, prompts end to end, (L,) skews, (L, 4) lengths."""

    offsets: NDArray[np.int64]
    prompts: NDArray[np.int32]
    skew: NDArray[np.float64]
    lengths: NDArray[np.float64]


class PromptLists:
    """Lists of prompts that accounts draw from, with the lengths of what is asked and answered.

    Lengths are lognormal, (ln μ, ln σ) of input and of output tokens, independent of each other within a list.
    """

    def __init__(self) -> None:
        self._new: list[_Lists] = []
        self._known = _Lists(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0), np.zeros((0, 4)))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, prompts: NDArray[np.integer], lengths: tuple[float, float, float, float], skew: float = 1.0) -> int:
        """A new list; its number.

        Args:
            prompts: rows of the library, one at least.
            lengths: μ and σ of ln input tokens, μ and σ of ln output tokens.
            skew: place ⌊n·u^skew⌋ is drawn: 1 is uniform, more prefers the first.
        """
        return int(self.add_many(prompts, np.array([len(prompts)]), lengths, skew)[0])

    def add_many(
        self,
        prompts: NDArray[np.integer],
        sizes: NDArray[np.integer],
        lengths: tuple[float, float, float, float],
        skew: float = 1.0,
    ) -> NDArray[np.int32]:
        """New lists that share lengths and skew; (M,) their numbers.

        Args:
            prompts: rows of the library, list after list.
            sizes: (M,) how many of them belong to each list, one at least.
            lengths: as in `add`.
            skew: as in `add`.
        """
        assert (sizes > 0).all(), "a list of prompts holds some"
        assert sizes.sum() == len(prompts), "lists hold all prompts that are given"
        count, first = len(sizes), self._count
        self._new.append(
            _Lists(_offsets(sizes), prompts.astype(np.int32), np.full(count, skew), np.tile(lengths, (count, 1)))
        )
        self._count += count
        return np.arange(first, first + count, dtype=np.int32)

    @property
    def arrays(self) -> _Lists:
        """All lists."""
        if self._new:
            parts = [self._known, *self._new]
            sizes = np.concatenate([np.diff(part.offsets) for part in parts])
            rest = (np.concatenate([part[column] for part in parts]) for column in (1, 2, 3))
            self._known, self._new = _Lists(_offsets(sizes), *rest), []
        return self._known


@dataclass
class Senders:
    """Who sends: one row an account, A in all.

    Args:
        rate: (A,) float64 mean requests a day.
        kind: (A,) uint8 `GAMMA`, `WEIBULL` or `PERIODIC`.
        shape: (A,) float64 of the gaps.
        profile: (A,) int16 row of the daily profiles.
        start: (A,) float64 virtual seconds; nothing is sent before.
        ends: (A,) float64 virtual seconds; nothing is sent after.
        beat: (A, 5) float32 period, phase, mean requests a burst, seconds between them, jitter of the burst (s);
            `PERIODIC` only. The mean may be below 1: bursts may be empty.
        parts: (A,) how many parts each account's demand has.
        part_share: shares of the parts, end to end; those of an account add up to 1.
        part_list: list that each part draws from.
        networks: (A,) how many networks each uses.
        network: their numbers, end to end.
        dwell: (A,) float64 seconds for which a network is kept; 0: another for each request.
        key: (A,) uint64 of the account's random numbers.
    """

    rate: NDArray[np.float64]
    kind: NDArray[np.uint8]
    shape: NDArray[np.float64]
    profile: NDArray[np.int16]
    start: NDArray[np.float64]
    ends: NDArray[np.float64]
    beat: NDArray[np.float32]
    parts: NDArray[np.int64]
    part_share: NDArray[np.float64]
    part_list: NDArray[np.int32]
    networks: NDArray[np.int64]
    network: NDArray[np.int32]
    dwell: NDArray[np.float64]
    key: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.rate)


class Sent(NamedTuple):
    """B requests as they were sent, by account, then time.

    Args:
        time: (B,) float64 virtual seconds.
        account: (B,) int32 row of the senders.
        prompt: (B,) int32 row of the library.
        listed: (B,) int32 list it was drawn from.
        input_tokens: (B,) int32.
        output_tokens: (B,) int32 that a full answer takes.
        network: (B,) int32.
    """

    time: NDArray[np.float64]
    account: NDArray[np.int32]
    prompt: NDArray[np.int32]
    listed: NDArray[np.int32]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    network: NDArray[np.int32]

    @classmethod
    def concat(cls, parts: Sequence[Sent], threads: int = 1) -> Sent:
        """All rows, in order; ``threads`` columns at a time."""
        columns = list(zip(*parts, strict=True)) if parts else [(np.zeros(0, kind),) for kind in _SENT]
        if threads == 1:
            return cls(*map(np.concatenate, columns))
        with ThreadPoolExecutor(threads) as pool:
            return cls(*pool.map(np.concatenate, columns))


_SENT = (np.float64, np.int32, np.int32, np.int32, np.int32, np.int32, np.int32)


class Streams:
    """Senders with their clocks.

    Args:
        profiles: (K, 24) relative intensity of each hour of the day.
        lists: prompts; may grow until requests are drawn.
        threads: that draw at a time.
    """

    def __init__(self, profiles: NDArray[np.float64], lists: PromptLists, threads: int = 1) -> None:
        share = np.asarray(profiles, np.float64) / np.asarray(profiles, np.float64).sum(1, keepdims=True)
        self._cumulative = np.concatenate([np.zeros((len(share), 1)), np.cumsum(share, 1)], 1)
        self._cumulative[:, -1] = 1.0
        self._share = np.diff(self._cumulative, axis=1)
        self._lists, self._threads = lists, threads
        self.senders: Senders | None = None
        self._clock = np.zeros(0)
        self._state = np.zeros(0, np.uint64)
        self._left = np.zeros(0, np.int64)
        self._beaten = np.zeros(0)
        self._scale = np.zeros(0)

    def __len__(self) -> int:
        return len(self._clock)

    def add(self, new: Senders) -> NDArray[np.int32]:
        """More senders, which are copied; their rows."""
        assert all((each > 0).all() for each in (new.rate, new.parts, new.networks)), "who sends, sends from somewhere"
        assert (new.beat[new.kind == PERIODIC, 0] > 0).all(), "a schedule has a period"
        first = len(self)
        self.senders = _joined([new] if self.senders is None else [self.senders, new])
        self.senders.beat[:, 2] = np.maximum(self.senders.beat[:, 2], LEAST_BURST)
        rows = np.arange(first, first + len(new), dtype=np.int32)
        self._clock = np.concatenate([self._clock, np.zeros(len(new))])
        self._state = np.concatenate([self._state, new.key.astype(np.uint64)])
        self._left = np.concatenate([self._left, np.zeros(len(new), np.int64)])
        self._beaten = np.concatenate([self._beaten, np.zeros(len(new))])
        self._scale = np.concatenate([self._scale, _scale(new.rate, new.kind, new.shape)])
        arrivals.first(self.senders.start, *self._renewal(), self._clock, rows[np.isfinite(new.start)])
        self._clock[rows[~np.isfinite(new.start)]] = np.inf
        return rows

    def set_rate(self, rows: NDArray[np.integer], rate: NDArray[np.float64], now: float) -> None:
        """Let these accounts send ``rate`` (requests a day, more than 0) from ``now`` on: what is left of each gap is
        stretched alike, in operational time. A schedule keeps its period; bursts from the next beat on are larger or
        smaller."""
        s = self.senders
        assert s is not None
        assert (rate > 0).all(), "who is to send nothing is stopped"
        factor, periodic = s.rate[rows] / rate, s.kind[rows] == PERIODIC
        begun, renewal = np.maximum(now, s.start[rows]), ~periodic
        flow = s.profile, self._share, self._cumulative
        arrivals.stretch(rows[renewal], begun[renewal], factor[renewal], *flow, self._clock)
        s.rate[rows] = rate
        self._scale[rows] = _scale(rate, s.kind[rows], s.shape[rows])
        scheduled = rows[periodic & (factor != 1.0)]
        s.beat[scheduled, 2] = np.maximum(s.beat[scheduled, 2] / factor[periodic & (factor != 1.0)], LEAST_BURST)
        self._draw_again(scheduled, now)

    def _draw_again(self, rows: NDArray[np.integer], now: float) -> None:
        """Draw the next bursts anew where their beat is not before ``now``."""
        s = self.senders
        assert s is not None
        beat = self._beaten[rows] * s.beat[rows, 0].astype(np.float64) + s.beat[rows, 1]
        open_ = rows[np.isfinite(self._clock[rows]) & (beat >= np.maximum(now, s.start[rows]))].astype(np.int32)
        arrivals.first(np.maximum(now, s.start), *self._renewal(), self._clock, open_)

    def stop(self, rows: NDArray[np.integer], now: float) -> None:
        """No more requests of these accounts from ``now`` on."""
        if self.senders is not None:
            self.senders.ends[rows] = np.minimum(self.senders.ends[rows], now)

    def start(self, rows: NDArray[np.integer], now: float) -> None:
        """Let accounts that were waiting (``start`` not finite) begin now."""
        if self.senders is None or not len(rows):
            return
        self.senders.start[rows] = now
        arrivals.first(self.senders.start, *self._renewal(), self._clock, rows.astype(np.int32))

    def until(self, end: float) -> Sent:
        """All requests that have not been drawn yet and are sent before ``end`` (virtual seconds)."""
        return Sent.concat(self.parts(end), self._threads)

    def parts(self, end: float, first: int = 0) -> list[Sent]:
        """What `until` gives, in pieces that are not joined yet.

        Args:
            end: virtual seconds.
            first: number of the first sender, in ``Sent.account``.
        """
        s = self.senders
        if s is None:
            return []
        parts = _offsets(s.parts), s.part_share, s.part_list
        given = (*parts, *self._lists.arrays, _offsets(s.networks), s.network, s.dwell, s.key)

        def draw(bounds: tuple[int, int, int]) -> list[Sent]:
            begin, stop, room = bounds
            found: list[Sent] = []
            while begin < stop:
                out: list[NDArray[Any]] = [np.empty(room, kind) for kind in _SENT]
                n, reached = arrivals.fill(
                    begin, stop, end, self._clock, s.ends, *self._renewal(), *given, *out, LONGEST, first
                )
                found.append(
                    Sent(*(column[:n].copy() for column in out)) if n < room // 2 else Sent(*(c[:n] for c in out))
                )
                room = 2 * room if reached == begin else room
                begin = reached
            return found

        chunks = self._chunks(end)
        if self._threads == 1 or len(chunks) == 1:
            return [part for chunk in chunks for part in draw(chunk)]
        with ThreadPoolExecutor(self._threads) as pool:
            return [part for found in pool.map(draw, chunks) for part in found]

    def _chunks(self, end: float) -> list[tuple[int, int, int]]:
        """(first account, last, room) of each piece of work, by the number of requests expected."""
        s = self.senders
        assert s is not None
        waited = np.maximum(np.minimum(end, s.ends) - self._clock, 0.0) / DAY
        expected = np.cumsum(s.rate * waited + (waited > 0))
        marks = np.arange(CHUNK, expected[-1] if len(expected) else 0.0, CHUNK)
        cuts = np.searchsorted(expected, marks)
        edges = np.unique(np.concatenate([[0], cuts, [len(s)]]).astype(np.int64))
        bounds = np.concatenate([[0.0], expected])[edges]
        return [
            (int(a), int(b), int(1.3 * (y - x)) + 4096)
            for a, b, x, y in zip(edges[:-1], edges[1:], bounds[:-1], bounds[1:], strict=True)
        ]

    def _renewal(self) -> tuple[Any, ...]:
        s = self.senders
        assert s is not None
        flow = s.profile, self._share, self._cumulative
        return self._state, s.kind, s.shape, self._scale, *flow, self._left, self._beaten, s.beat


def keys(seed: int, count: int) -> NDArray[np.uint64]:
    """(count,) keys of random streams."""
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


_gamma_of = np.vectorize(math.gamma, otypes=[np.float64])


def _scale(rate: NDArray[np.float64], kind: NDArray[np.uint8], shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """(A,) days per unit of the standard gap: a gamma gap has mean 1, a standard Weibull one Γ(1 + 1/shape)."""
    mean = np.ones(len(rate))
    weibull = kind == WEIBULL
    mean[weibull] = _gamma_of(1.0 + 1.0 / shape[weibull]) if weibull.any() else mean[weibull]
    return 1.0 / (np.maximum(rate, 1e-12) * mean)


def _offsets(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _joined(parts: Sequence[Senders]) -> Senders:
    return Senders(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Senders)))
