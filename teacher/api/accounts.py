"""The accounts table, in columns. Knows nothing of what limits apply to whom."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

NEVER = -np.inf


class Accounts:
    """Every account the provider has opened; an account's id is its row.

    Attributes:
        organisation: (A,) int32 the organisation each belongs to.
        tier: (A,) int16 the usage tier reached so far, 0 for a new account.
        created: (A,) float64 virtual seconds at which it was opened.
        banned: (A,) bool.
        spend: (A,) float64 dollars billed so far.
        payment: (A,) int32 hash of the means of payment; equal ones are the same card.
        fingerprint: (A,) int32 hash of the client software as its requests show it.
        network: (A,) int32 the network (/24) it was opened from and uses unless its requests say otherwise.
        verified_until: (A,) float64 virtual seconds until which an identity check stands; `NEVER` where there was none.
        work: (A,) float64 seconds of proof-of-work done so far.
        lot: (A,) int64 what random draws about an account depend on: its id, unless it was opened with others.
        genuine: (A,) bool whether there is a real, own identity behind it. Not for a provider to see: only an identity check
            may ask, and it errs.
    """

    def __init__(self) -> None:
        self.organisation = np.zeros(0, np.int32)
        self.tier = np.zeros(0, np.int16)
        self.created = np.zeros(0, np.float64)
        self.banned = np.zeros(0, np.bool_)
        self.spend = np.zeros(0, np.float64)
        self.payment = np.zeros(0, np.int32)
        self.fingerprint = np.zeros(0, np.int32)
        self.network = np.zeros(0, np.int32)
        self.verified_until = np.zeros(0, np.float64)
        self.work = np.zeros(0, np.float64)
        self.lot = np.zeros(0, np.int64)
        self.genuine = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self.organisation)

    def open(
        self,
        count: int,
        created: float | NDArray[np.float64] = 0.0,
        organisation: NDArray[np.integer] | None = None,
        tier: int = 0,
        *,
        payment: NDArray[np.integer] | None = None,
        fingerprint: NDArray[np.integer] | None = None,
        network: NDArray[np.integer] | None = None,
        genuine: bool | NDArray[np.bool_] = True,
        lot: NDArray[np.integer] | None = None,
    ) -> NDArray[np.int32]:
        """Open ``count`` accounts.

        Args:
            count: how many.
            created: when, in virtual seconds; one for all or (count,).
            organisation: (count,) of each; None makes each an organisation of its own.
            tier: the usage tier they start in.
            payment: (count,) means of payment; None gives each its own.
            fingerprint: (count,) client software; None gives all the same.
            network: (count,) network; None gives each its own.
            genuine: whether real, own identities are behind them; one for all or (count,).
            lot: (count,) what random draws about them depend on; None for their ids. Accounts that are opened with lots of
                their own fare alike whoever has been opened before.

        Returns:
            (count,) their ids.
        """
        first = len(self)
        own = {name: _unused(getattr(self, name), count) for name in ("organisation", "payment", "network")}
        columns = {
            "organisation": own["organisation"] if organisation is None else organisation,
            "tier": tier,
            "created": created,
            "banned": False,
            "spend": 0.0,
            "payment": own["payment"] if payment is None else payment,
            "fingerprint": 0 if fingerprint is None else fingerprint,
            "network": own["network"] if network is None else network,
            "verified_until": NEVER,
            "work": 0.0,
            "lot": np.arange(first, first + count) if lot is None else lot,
            "genuine": genuine,
        }
        for name, values in columns.items():
            held = getattr(self, name)
            added = np.broadcast_to(np.asarray(values, held.dtype), (count,))
            setattr(self, name, np.concatenate([held, added]))
        return np.arange(first, first + count, dtype=np.int32)

    def ban(self, ids: NDArray[np.integer]) -> None:
        """Ban these accounts: every later request of theirs is a 403."""
        self.banned[ids] = True

    def known(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(B,) whether each of these ids is an account here."""
        return np.asarray((ids >= 0) & (ids < len(self)))

    def charge(self, ids: NDArray[np.integer], dollars: NDArray[np.float64]) -> None:
        """Bill (B,) dollars to accounts (B,); an account may occur more than once."""
        np.add.at(self.spend, ids, dollars)

    def frame(self) -> pl.DataFrame:
        """One row an account, what only the world knows left out."""
        names = [name for name in vars(self) if name not in ("genuine", "lot")]
        return pl.DataFrame({"id": np.arange(len(self), dtype=np.int32), **{n: getattr(self, n) for n in names}})


def _unused(held: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """(count,) numbers above all that are held."""
    free = int(held.max()) + 1 if len(held) else 0
    return np.arange(free, free + count)
