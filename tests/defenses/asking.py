"""What a provider knows of requests, as defenses are told it in tests."""

from __future__ import annotations

import numpy as np

from teacher.api.hooks import RequestFacts


def asked(n: int = 1, **columns: object) -> RequestFacts:
    """``n`` requests of account 0 for one and the same prompt of 4 tokens, but for the given columns."""
    zeros = np.zeros(n, np.int64)
    plain = {"account": zeros, "marked": zeros, "bucket": zeros, "visit": np.arange(n), "length": zeros + 4}
    kinds = {"account": np.int32, "marked": np.bool_}
    made = {k: np.broadcast_to(columns.get(k, v), (n,)).astype(kinds.get(k, np.int64)) for k, v in plain.items()}
    return RequestFacts(**made, temperature=columns.get("temperature"))
