"""Tables of arrays whose columns are declared once, with what each runs along: taking rows, joining tables and dropping
tokens follow from that. Knows nothing of what the columns mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lm.ragged import Ragged

T = TypeVar("T", bound="Columnar")
ROW, TOKEN = "row", "token"


def per_row(missing: Any = None, **options: Any) -> Any:
    """A column with one value a row: an array (B, ...) or a `Ragged`.

    Args:
        missing: stands in the rows of tables that lack the column, where another one that they are joined with has it.
        options: of `dataclasses.field`; a column that may be lacking has ``default=None``.
    """
    return field(metadata={"along": ROW, "missing": missing}, **options)


def per_token(missing: Any = None, **options: Any) -> Any:
    """A column with one value a token of the table's `Ragged` named ``tokens_in``; see `per_row`."""
    return field(metadata={"along": TOKEN, "missing": missing}, **options)


@dataclass(frozen=True)
class Columnar:
    """Base of a columnar table: a frozen dataclass whose fields are `per_row` or `per_token`.

    Class attributes:
        tokens_in: the field whose tokens the `per_token` columns run along; "" where there are none.
    """

    tokens_in: ClassVar[str] = ""

    def __len__(self) -> int:
        first = next(f for f in fields(self) if f.metadata["along"] == ROW)
        return len(getattr(self, first.name))

    def take(self: T, rows: NDArray[np.integer]) -> T:
        """The given rows, in that order; repeats allowed."""
        at = getattr(self, self.tokens_in).value_index(rows) if self.tokens_in else rows
        return self._each(lambda along, column: _taken(column, rows if along == ROW else at))

    def where(self: T, mask: NDArray[np.bool_]) -> T:
        """The rows where ``mask`` (B,) holds."""
        return self.take(np.flatnonzero(mask))

    def keep_tokens(self: T, mask: NDArray[np.bool_]) -> T:
        """Without the tokens where ``mask`` (N,) is False; every row stays, maybe empty.

        Raises:
            ValueError: the mask has another length.
        """
        self._require_one_a_token(mask)
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["along"] == TOKEN}
        changed = {name: None if column is None else column[mask] for name, column in kept.items()}
        return replace(self, **{self.tokens_in: getattr(self, self.tokens_in).keep(mask)}, **changed)

    def _require_one_a_token(self, mask: NDArray[np.bool_]) -> None:
        tokens = len(getattr(self, self.tokens_in).values)
        if len(mask) != tokens:
            raise ValueError(
                f"mask has {len(mask):,} entries, the {type(self).__name__.lower()} have {tokens:,} tokens"
            )

    @classmethod
    def concat(cls: type[T], parts: Sequence[T]) -> T:
        """Rows of all parts (one at least), in order. Where some lack a column, or have it narrower than others, it is
        filled up with what is missing."""
        joined: dict[str, Any] = {}
        for f in fields(cls):
            columns = [getattr(part, f.name) for part in parts]
            present = [column for column in columns if column is not None]
            if not present:
                joined[f.name] = None
            elif isinstance(present[0], Ragged):
                joined[f.name] = Ragged.concat(present)
            else:
                lengths = [
                    len(p) if f.metadata["along"] == ROW else len(getattr(p, cls.tokens_in).values) for p in parts
                ]
                shape = np.max([column.shape[1:] for column in present], axis=0).astype(int).tolist()
                filled = [_filled(c, n, shape, present[0].dtype, f) for c, n in zip(columns, lengths, strict=True)]
                joined[f.name] = np.concatenate(filled)
        return cls(**joined)

    def _each(self: T, change: Callable[[str, Any], Any]) -> T:
        made = {f.name: change(f.metadata["along"], getattr(self, f.name)) for f in fields(self)}
        return replace(self, **made)


def _taken(column: Any, at: NDArray[np.integer]) -> Any:
    if column is None:
        return None
    return column.take(at) if isinstance(column, Ragged) else column[at]


def _filled(column: Any, length: int, shape: list[int], dtype: Any, told: Any) -> NDArray[Any]:
    """A column of this length and width; what it lacks is what the field says is missing."""
    if column is not None and list(column.shape[1:]) == shape:
        return np.asarray(column)
    missing = told.metadata["missing"]
    assert missing is not None, f"{told.name} says what stands where it is missing"
    whole = np.full((length, *shape), missing, dtype)
    if column is not None:
        whole[(slice(None), *(slice(0, n) for n in column.shape[1:]))] = column
    return whole
