"""A request log as the traffic that detectors see. Knows nothing of detectors or of labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.campaign.logs.request_log import RequestLog
from teacher.api.accounts import Accounts
from teacher.api.schema import Requests


def requests_of(log: RequestLog, rows: NDArray[np.int64] | slice) -> Requests:
    """Rows as requests; columns that the log lacks are 0, for detectors that do not read them."""
    time = log.time[rows]
    nothing = np.zeros(len(time), np.int32)
    prompt = log.prompt[rows] if len(log.prompt) else nothing
    tokens = log.input_tokens[rows] if len(log.input_tokens) else nothing
    network = log.network[rows] if len(log.network) else nothing
    return Requests(time, log.account[rows], prompt.astype(np.int64), tokens, nothing.astype(np.int64), network)


def tokens_of(log: RequestLog, rows: NDArray[np.int64] | slice) -> NDArray[np.int32]:
    """(B,) tokens of these rows' answers; 0 where the log has none, for detectors that do not read them."""
    return log.output_tokens[rows] if len(log.output_tokens) else np.zeros(len(log.time[rows]), np.int32)


def accounts_of(log: RequestLog) -> Accounts:
    """The log's accounts; means of payment, clients and organisations that are not said are each account's own."""
    accounts, count = Accounts(), len(log.names)
    own = {}
    for name in ("payment", "fingerprint", "organisation"):
        given = log.of_account[name]
        own[name] = np.where(given >= 0, given, len(log.values[name]) + np.arange(count))
    accounts.open(count, log.opened, own["organisation"], payment=own["payment"], fingerprint=own["fingerprint"])
    return accounts
