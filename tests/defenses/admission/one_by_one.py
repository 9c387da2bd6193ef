"""Token buckets one event after the other in plain Python: what the compiled loop is compared with."""

from __future__ import annotations

import math

import numpy as np

from teacher.api.clock import DAY, MONTH
from teacher.api.schema import RATE_LIMITED, Verdicts

KINDS = ("requests", "input_tokens", "output_tokens")
SLACK = 1e-9


class OneByOne:
    """Judges as ``defense``, a `TokenBucket`, says; keeps its own memory."""

    def __init__(self, defense):
        self.defense, self.levels = defense, (defense, *defense.tiers)
        self.held = {}

    def admit(self, requests, state):
        verdicts = Verdicts.admitted(len(requests))
        tiers = self.promoted(requests, state)
        spend = Spend(requests, state, self.defense.scope)
        reserved = np.broadcast_to(state.max_tokens, (len(requests),)).tolist()
        events = zip(requests.time.tolist(), requests.account.tolist(), requests.input_tokens.tolist(), strict=True)
        for i, (now, account, input_tokens) in enumerate(events):
            level = self.levels[tiers[i]]
            keys = owners(account, state, self.defense.scope)
            reason = spend.over(i, level) or self.draw(keys, now, (1.0, input_tokens, reserved[i]), level)
            if reason is None:
                spend.add(i)
                continue
            verdicts.status[i] = RATE_LIMITED
            verdicts.reason[i], wait = reason if isinstance(reason, tuple) else (reason, math.nan)
            verdicts.retry_after[i] = math.ceil(wait) if math.isfinite(wait) else math.nan
        return verdicts

    def draw(self, keys, now, cost, level):
        """(reason, seconds) where the buckets do not hold enough."""
        reason, longest = None, 0.0
        finite = [kind for kind, name in enumerate(KINDS) if math.isfinite(getattr(level, f"{name}_per_minute"))]
        for key in keys:
            bucket = self.held.setdefault(key, [now, math.inf, math.inf, math.inf])
            passed = max(0.0, now - bucket[0])
            bucket[0] += passed
            for kind in finite:
                a_minute = getattr(level, f"{KINDS[kind]}_per_minute")
                rate, capacity = a_minute / 60.0, a_minute * level.burst_minutes
                bucket[kind + 1] = have = min(capacity, bucket[kind + 1] + rate * passed)
                short = cost[kind] - have
                if short > SLACK:
                    if cost[kind] > capacity + SLACK:
                        reason, longest = "too_large", math.inf
                    elif short / rate > longest:
                        reason, longest = KINDS[kind], short / rate
        if longest:
            return reason, longest
        for key in keys:
            for kind in finite:
                self.held[key][kind + 1] -= cost[kind]
        return None

    def promoted(self, requests, state):
        tiers = []
        for now, who in zip(requests.time.tolist(), requests.account.tolist(), strict=True):
            tier = min(int(state.accounts.tier[who]), len(self.defense.tiers))
            for number, limits in enumerate(self.defense.tiers, start=1):
                age = (now - state.accounts.created[who]) / DAY
                if state.accounts.spend[who] >= limits.entry_spend and age >= limits.entry_age_days:
                    tier = max(tier, number)
            tiers.append(tier)
        np.maximum.at(state.accounts.tier, requests.account, tiers)
        return tiers


def owners(account, state, scope):
    organisation = ("organisation", int(state.accounts.organisation[account]))
    return {
        "account": [("account", account)],
        "organisation": [organisation],
        "both": [("account", account), organisation],
    }[scope]


class Spend:
    """Dollars of each owner in the virtual day and month of each request, reserved ones included."""

    def __init__(self, requests, state, scope):
        reserved = np.broadcast_to(state.max_tokens, (len(requests),))
        self.cost = state.prices.dollars(requests.input_tokens, reserved).tolist()
        self.keys, self.spent = [], []
        whose = [owners(account, state, scope)[-1] for account in requests.account.tolist()]
        for length in (DAY, MONTH):
            windows = np.floor(requests.time / length).tolist()
            spent = {}
            for window in sorted(set(windows)):
                dollars = state.ledger.dollars_between(window * length, (window + 1) * length, len(state.accounts))
                for account, paid in enumerate(dollars.tolist()):
                    key = (window, owners(account, state, scope)[-1])
                    spent[key] = spent.get(key, 0.0) + paid
            self.keys.append(list(zip(windows, whose, strict=True)))
            self.spent.append(spent)

    def over(self, row, level):
        caps = {"daily_spend": level.dollars_per_day, "monthly_spend": level.dollars_per_month}
        for (reason, cap), keys, spent in zip(caps.items(), self.keys, self.spent, strict=True):
            if spent[keys[row]] + self.cost[row] > cap + SLACK:
                return reason
        return None

    def add(self, row):
        for keys, spent in zip(self.keys, self.spent, strict=True):
            spent[keys[row]] += self.cost[row]
