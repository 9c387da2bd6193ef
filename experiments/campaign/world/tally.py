"""The compiled loops that add up a campaign's requests, each in one pass. Knows nothing of who is judged or why.

Sums per account are taken in the order of the rows, so that they come out as `numpy.bincount` has them, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lm.compiled import compiled

SERVED, REFUSED, BLOCKED, ALTERED, HIDDEN, COLUMNS = 0, 1, 2, 3, 4, 5
"""Columns of what `outcomes` counts."""
ASKED, LOST, WHOLE, WITHOUT, CHANGED, FOREIGN, FATES = 0, 1, 2, 3, 4, 5, 6
"""Columns of what `harvest` counts."""


@compiled
def outcomes(
    account: Any,
    status: Any,
    input_tokens: Any,
    output_tokens: Any,
    hides: Any,
    alters: Any,
    input_price: float,
    output_price: float,
    fate: Any,
    dollars: Any,
    counts: Any,
    spent: Any,
) -> None:
    """What became of B requests.

    Args:
        account: (B,) of A.
        status: (B,) HTTP status.
        input_tokens: (B,) int32.
        output_tokens: (B,) int32.
        hides: (A,) bool whether answers to an account come without their working.
        alters: (A,) bool whether they are altered; such are not hidden too.
        input_price: dollars per million input tokens.
        output_price: dollars per million output tokens.
        fate: (5, B) bool, written: see `SERVED`.
        dollars: (B,) written: price of the served, 0 for the others.
        counts: (5, A) int64, added to.
        spent: (A,) float64, added to.
    """
    for i in range(len(account)):
        a = account[i]
        served, refused = status[i] == 200, status[i] == 429
        altered = served and alters[a]
        hidden = served and hides[a] and not altered
        fate[SERVED, i], fate[REFUSED, i], fate[BLOCKED, i] = served, refused, not (served or refused)
        fate[ALTERED, i], fate[HIDDEN, i] = altered, hidden
        price = 0.0
        if served:
            price = (input_tokens[i] * input_price + output_tokens[i] * output_price) / 1e6
            counts[SERVED, a] += 1
            counts[ALTERED, a] += altered
            counts[HIDDEN, a] += hidden
        elif refused:
            counts[REFUSED, a] += 1
        else:
            counts[BLOCKED, a] += 1
        dollars[i] = price
        spent[a] += price


@compiled
def admitted(
    account: Any,
    status: Any,
    input_tokens: Any,
    output_tokens: Any,
    dollars: Any,
    time: Any,
    begin: float,
    stop: float,
    totals: Any,
) -> None:
    """Add requests, tokens and dollars of what was admitted in [begin, stop) to ``totals`` (3, A). ``output_tokens`` is (B,)
    or (1,)."""
    each = len(output_tokens) == len(account)
    for i in range(len(account)):
        if status[i] == 200 and begin <= time[i] < stop:
            a = account[i]
            totals[0, a] += 1.0
            totals[1, a] += input_tokens[i] + np.float64(output_tokens[i if each else 0])
            totals[2, a] += dollars[i]


@compiled
def harvest(
    account: Any,
    listed: Any,
    served: Any,
    hidden: Any,
    altered: Any,
    contaminated: Any,
    dollars: Any,
    operation: Any,
    capability: Any,
    owner: Any,
    first: int,
    wide: int,
    counts: Any,
    usable: Any,
    active: Any,
    came: Any,
    tokens: Any,
) -> None:
    """What B requests of attackers' accounts brought.

    Args:
        account: (B,) ids.
        listed: (B,) list of prompts each was drawn from.
        served, hidden, altered: (B,) bool.
        contaminated: (B,) bool, or (1,) where none is.
        dollars: (B,) list price.
        operation: of each list, -1 for a customer's.
        capability: of each list.
        owner: (A - first,) operation of each attackers' account.
        first: id of the first of them.
        wide: number of capabilities.
        counts: (operations·wide, 6) int64, added to: see `ASKED`.
        usable: (A,) int64, added to: answers for distillation as the teacher gave them.
        active: (A - first,) bool, set where an account was served.
        came: (operations, 2) int64, added to: exchanges that came through and look whole; requests of own accounts.
        tokens: (operations,) list price of own requests for distillation, added to.
    """
    some = len(contaminated) == len(account)
    for i in range(len(account)):
        a = account[i] - first
        whose, wanted = owner[a], operation[listed[i]]
        if whose >= 0:
            came[whose, 1] += 1
        if served[i]:
            active[a] = True
        if wanted < 0:
            continue
        at = wanted * wide + capability[listed[i]]
        foreign = some and contaminated[i]
        whole = served[i] and not hidden[i] and not altered[i] and not foreign
        counts[at, ASKED] += 1
        counts[at, LOST] += not served[i]
        counts[at, WHOLE] += whole
        counts[at, WITHOUT] += hidden[i]
        counts[at, CHANGED] += altered[i]
        counts[at, FOREIGN] += foreign
        usable[account[i]] += whole
        came[wanted, 0] += served[i] and not hidden[i]
        if whose >= 0:
            tokens[whose] += dollars[i]
