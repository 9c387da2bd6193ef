"""Honest accounts that look like attackers: bursts at night, machine pacing, one template, many networks, requests for every
step. Without them a false-alarm rate says little. All figures are proposals (source I), the kinds are those that providers
name.
"""

from __future__ import annotations

from typing import NamedTuple


class HardNegative(NamedTuple):
    """A kind of honest account.

    Args:
        name: of the kind.
        groups: of the library, that its prompts come from.
        like: the workload whose rates and lengths it has.
        busier: mean rate as a multiple of an ordinary account's.
        own: share of its requests from its own few prompts.
        breadth: how many of these it has.
        networks: how many it uses.
        cloud: whether they are a cloud's.
        flat: whether it sends round the clock.
        shape: of its gamma gaps; 0: gaps as its workload has them.
        period_days: of its schedule; 0: none.
        spacing: seconds between the requests of a burst.
        together: whether all of the kind run at the same time.
    """

    name: str
    groups: tuple[str, ...]
    like: str
    busier: float
    own: float
    breadth: int
    networks: int
    cloud: bool = True
    flat: bool = True
    shape: float = 0.0
    period_days: float = 0.0
    spacing: float = 1.0
    together: bool = False


HARD_NEGATIVES = (
    HardNegative("nightly_evaluation", ("evaluation",), "reasoning", 4.0, 1.0, 200, 1, period_days=1.0),
    HardNegative("ci_agent", ("ci",), "code", 3.0, 0.95, 5, 4, flat=False, shape=0.3),
    HardNegative("rag_backfill", ("rag",), "long_context", 5.0, 1.0, 2, 2, period_days=7.0, spacing=0.5),
    HardNegative("synthetic_data", ("synthetic",), "reasoning", 5.0, 0.98, 5, 2, shape=1.0),
    HardNegative("llm_gateway", ("chat", "code", "reasoning", "conversation"), "chat_large", 8.0, 0.05, 50, 1),
    HardNegative("shared_key", ("chat", "code"), "chat_mid", 4.0, 0.2, 50, 30, cloud=False, flat=False),
    HardNegative(
        "fallback_router", ("chat", "conversation"), "chat_large", 3.0, 0.1, 50, 3, period_days=3.0, together=True
    ),
    HardNegative("release_benchmark", ("benchmark",), "reasoning", 2.0, 1.0, 300, 2, period_days=15.0, together=True),
    HardNegative("reasoning_audit", ("audit", "reasoning"), "reasoning", 2.0, 0.8, 20, 1, cloud=False, flat=False),
)
