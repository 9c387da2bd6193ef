"""Columnar prompt -> completion rows: what a model is trained on. Knows nothing of where they came from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lm.columnar import Columnar, per_row, per_token
from lm.ragged import Ragged

T = TypeVar("T")


@dataclass(frozen=True)
class Examples(Columnar):
    """B training rows over one tokenizer.

    Args:
        prompts: B rows of prompt token ids (chat template included).
        completions: B rows of completion token ids; the end of sequence is there only where it is to be learnt.
        channel: (N,) uint8 `lm.types.Channel` of each completion token.
        weight: (N,) float32 loss weight of each completion token; 0 for tool results and whatever is not to be learnt.
        item: (B,) int64 which prompt of the attacker's pool a row belongs to; -1 for rows from elsewhere.
        cut: (B,) bool whether part of the response is visibly missing (a hidden or truncated trace).
        top_ids: (N, k) int32 ids of the k sold logprobs of each completion token (-1 where missing), or None.
        top_logprobs: (N, k) float32 (-inf where missing), or None.
        logprob: (N,) float32 log-probability that each completion token was drawn with (NaN where not known), or None.
        request: (B,) int64 number of the request that each row answers (-1 for rows from elsewhere), or None.
        account: (B,) int64 number of the attacker's account that asked for it (-1 for rows from elsewhere), or None.
    """

    tokens_in: ClassVar[str] = "completions"

    prompts: Ragged = per_row()
    completions: Ragged = per_row()
    channel: NDArray[np.uint8] = per_token()
    weight: NDArray[np.float32] = per_token()
    item: NDArray[np.int64] = per_row()
    cut: NDArray[np.bool_] = per_row()
    top_ids: NDArray[np.int32] | None = per_token(-1, default=None)
    top_logprobs: NDArray[np.float32] | None = per_token(-np.inf, default=None)
    logprob: NDArray[np.float32] | None = per_token(np.nan, default=None)
    request: NDArray[np.int64] | None = per_row(-1, default=None)
    account: NDArray[np.int64] | None = per_row(-1, default=None)

    def with_weight(self, weight: NDArray[np.float32]) -> Examples:
        """The same rows with other token weights (N,)."""
        return replace(self, weight=weight.astype(np.float32))


def to_arrays(record: Any) -> dict[str, NDArray[Any]]:
    """Flat arrays of a columnar dataclass (`Examples`, `Generations`, `Responses`, ...), for storage as safetensors.
    A `Ragged` field ``x`` becomes ``x.values`` and ``x.offsets``; None fields are left out; scalars become 0-d arrays."""
    arrays: dict[str, NDArray[Any]] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(value, Ragged):
            arrays[f"{f.name}.values"], arrays[f"{f.name}.offsets"] = value.values, value.offsets
        elif value is not None:
            arrays[f.name] = np.asarray(value)
    return arrays


def from_arrays(kind: type[T], arrays: dict[str, NDArray[Any]]) -> T:
    """Inverse of `to_arrays`."""
    values: dict[str, Any] = {}
    for f in fields(kind):  # type: ignore[arg-type]
        if f"{f.name}.values" in arrays:
            values[f.name] = Ragged(arrays[f"{f.name}.values"], arrays[f"{f.name}.offsets"])
        elif f.name in arrays:
            array = arrays[f.name]
            values[f.name] = array.item() if array.ndim == 0 else array
    return kind(**values)
