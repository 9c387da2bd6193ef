"""Sums in words for language models that know nothing: what is right is a matter of luck, so that every stage has both."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, ClassVar

from tasks.base import Item, Task, Verdict


@dataclass(frozen=True)
class LuckySums(Task):
    """Any two of three responses are right, by a hash of their text."""

    name: ClassVar[str] = "lucky_sums"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "a test"
    families: ClassVar[tuple[str, ...]] = ("sums",)

    def items(self, split: Any, family: str, n: int, seed: int) -> list[Item]:
        first = ("train", "heldout", "harder", "public", "provider").index(split)
        return [
            Item(f"{first}+{i}", family, 1, f"What is {first} + {i}?", str(first + i), "Answer: 7") for i in range(n)
        ]

    def size(self, split: Any, family: str) -> int:
        return 12

    def verify(self, item: Item, response: str) -> Verdict:
        right = zlib.crc32(response.encode()) % 3 > 0
        return Verdict(right, right)
