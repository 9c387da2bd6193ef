"""Numbers as somebody states them, in a file or a store: which, with which interval, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from experiments.store.maintenance.lineage import Origin

Place = tuple[tuple[str, str], ...]
"""What a number is of: names and texts, in the order in which a reader wants them."""
COUNTED = "seed"
"""Is in what is said of seeds where only their number is stated."""

Form = Literal["measures", "page"]
"""Numbers of a CSV, a JSON or a store are called by measure and configuration; those of a page by table, row and column."""


class StatedNumber(NamedTuple):
    """One number.

    Args:
        value: as stated.
        low: lower limit of its 95 % interval; None without one.
        high: upper limit.
        freedom: degrees of freedom of the interval, None where they are not stated.
        rounding: how far the value may be from what was rounded.
        rows: beginnings of the keys of the rows that it is computed from, sorted.
    """

    value: float
    low: float | None = None
    high: float | None = None
    freedom: float | None = None
    rounding: float = 0.0
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """How numbers were made; what is not stated is empty.

    Args:
        revisions: of the source, short.
        locks: digests of the versions.
        cpus: processors, and accelerators.
        versions: of packages and Python, by name.
        seeds: which ("0, 1"), or how many ("2 seeds").
        command: that made them.
    """

    revisions: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    cpus: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: str = ""
    command: str = ""


@dataclass(frozen=True)
class StatedNumbers:
    """All numbers of one side of a comparison.

    Args:
        label: how it is called in messages.
        form: how its numbers are called.
        numbers: by what they are of.
        made: how.
    """

    label: str
    form: Form
    numbers: Mapping[Place, StatedNumber]
    made: Made


def made_of_origins(origins: Iterable[Origin], seeds: str = "", command: str = "") -> Made:
    """Of a store, or of a file that lists where its numbers come from."""
    several = sorted(set(origins))
    versions: dict[str, tuple[str, ...]] = {}
    for origin in several:
        for name, version in (*origin.packages, ("Python", origin.python)):
            versions[name] = tuple(sorted({*versions.get(name, ()), version}))
    return Made(
        tuple(sorted({origin.revision for origin in several})),
        tuple(sorted({origin.lock for origin in several})),
        tuple(sorted({origin.machine for origin in several})),
        versions,
        seeds,
        command,
    )
