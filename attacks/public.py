"""Data that everybody has, as an attacker gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lm.examples import Examples


class Public(Protocol):
    """Rows that everybody has."""

    def __call__(self, n: int, seed: int = 0) -> Examples:
        """n rows in the teacher's tokens; those of another seed are drawn anew from the same public data."""
        ...


class PublicTexts(Protocol):
    """Prompts and responses that everybody has."""

    def __call__(self, n: int, seed: int = 0) -> tuple[list[str], list[str]]:
        """n prompts and their responses: those that `Public` gives as rows for the same n and seed."""
        ...
