"""Admission: whether a request gets to the teacher. Accounts, then each defense in order, then the ledger.

Shared by the gateway of a lab cell and by the providers of a campaign, which have no teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.api.accounts import Accounts
from teacher.api.clock import VirtualClock
from teacher.api.hooks import AdmissionState, Hooks, Prepared, hooks_of
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import BAD_REQUEST, FORBIDDEN, UNAUTHORIZED, Prompts, Requests, Verdicts


class Admission:
    """Judges requests and logs them.

    Args:
        defenses: by name, in the order in which they act; those without `Hooks.admit` are passed over.
        accounts: who may call.
        prices: what tokens cost.
        clock: virtual time.
        ledger: log of every attempt.
        seed: of the defenses' own draws.
        prepared: what each defense's `prepare` found, by the defense's name.
    """

    def __init__(
        self,
        defenses: Mapping[str, Hooks],
        accounts: Accounts,
        prices: Prices,
        clock: VirtualClock,
        ledger: Ledger,
        seed: int = 0,
        prepared: Mapping[str, Prepared] = MappingProxyType({}),
    ) -> None:
        self.limits = {name: d for name, d in defenses.items() if "admit" in hooks_of(d)}
        self.accounts, self.prices, self.clock, self.ledger, self.seed = accounts, prices, clock, ledger, seed
        self.memory: dict[str, dict[str, Any]] = {name: {} for name in defenses}
        self._prepared = dict(prepared)

    def judge(
        self, requests: Requests, prompts: Prompts, max_tokens: int | NDArray[np.int32], fault: str | None = None
    ) -> Verdicts:
        """Judge B requests.

        The checks come in the order of a real API: parameters (400), account (401, 403), then each defense over what is
        still admitted. A request that one defense let through and a later one refused has used up the first one's
        allowance.

        Args:
            requests: in order of time, within each organisation at least.
            prompts: what `Requests.prompt` indexes.
            max_tokens: output tokens reserved for each; one number, or (B,).
            fault: what is wrong with the parameters that all of them have.
        """
        verdicts, refused_by = Verdicts.admitted(len(requests)), np.full(len(requests), "", object)
        if fault is not None:
            _refuse(verdicts, refused_by, np.ones(len(requests), np.bool_), BAD_REQUEST, fault, "interface")
        else:
            known = self.accounts.known(requests.account)
            _refuse(verdicts, refused_by, ~known, UNAUTHORIZED, "unknown_account", "accounts")
            if self.accounts.banned.any():
                banned = known.copy()
                banned[known] = self.accounts.banned[requests.account[known]]
                _refuse(verdicts, refused_by, banned, FORBIDDEN, "account_disabled", "accounts")
        for name, defense in self.limits.items():
            rows = np.flatnonzero(verdicts.ok)
            if not len(rows):
                break
            everybody = len(rows) == len(requests)
            judged = defense.admit(
                requests if everybody else requests.take(rows),
                self.state(name, prompts, max_tokens if np.ndim(max_tokens) == 0 else np.asarray(max_tokens)[rows]),
            )
            if judged is None:
                continue
            verdicts.marked[rows] |= judged.marked
            if judged.ok.all():
                continue
            said = np.flatnonzero(~judged.ok)
            refused = rows[said]
            verdicts.status[refused] = judged.status[said]
            verdicts.retry_after[refused] = judged.retry_after[said]
            verdicts.reason[refused] = judged.reason[said]
            refused_by[refused] = name
        self.ledger.append(
            requests, verdicts, refused_by, max_tokens, self.prices.dollars(requests.input_tokens, max_tokens)
        )
        if len(requests):
            self.clock.advance(float(requests.time.max()))
        return verdicts

    @property
    def shut_out(self) -> NDArray[np.bool_]:
        """(A,) which accounts are banned, or shut out by a defense (`Hooks.shut_out`)."""
        found = self.accounts.banned.copy()
        for name, defense in self.limits.items():
            found[defense.shut_out(self.memory[name])] = True
        return found

    def state(self, name: str, prompts: Prompts, max_tokens: int | NDArray[np.int32]) -> AdmissionState:
        """What the named defense sees and remembers."""
        prepared = self._prepared.get(name, {})
        memory = self.memory.setdefault(name, {})
        return AdmissionState(self.ledger, memory, self.accounts, self.prices, max_tokens, prompts, prepared, self.seed)


def _refuse(
    verdicts: Verdicts, refused_by: NDArray[np.object_], rows: NDArray[np.bool_], status: int, reason: str, by: str
) -> None:
    if rows.any():
        verdicts.status[rows], verdicts.reason[rows], refused_by[rows] = status, reason, by
