"""How a cell is measured: part of every key that depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from configs.errors import require
from configs.identity import added, identity
from experiments.campaign.config.population import Population

TRANSCRIPTS = 8


@dataclass(frozen=True)
class Measure:
    """Sizes of the held-out test and of the honest population.

    Args:
        heldout: held-out items per family on which teacher and students are scored (fewer where a family has fewer).
        harder: items per family that take more steps than any training item; 0 for none.
        temperature: of the sampled score and of honest users' requests.
        population: honest accounts, as in campaigns; all of their requests are judged, and the held-out items are asked in a
            random sample of these.
        hours: window over which honest requests arrive, virtual time.
        patience: seconds an honest user waits for one answer before giving up.
        transcripts: answers of each family that are kept as text, of the API to the attacker and of students to held-out
            items, for people to read; 0 for none. In no key: no number depends on it, and rows that are stored keep what
            they have.
        pass_items: held-out items per family of which pass@k samples many responses, where an attack refines: the first of
            those that are scored; None for all of them, 0 for no pass@k.
    """

    heldout: int = 200
    harder: int = 50
    temperature: float = 1.0
    population: Population = field(default_factory=lambda: Population(accounts=1000))
    hours: float = 24.0
    patience: float = 600.0
    transcripts: int = added(TRANSCRIPTS)
    pass_items: int | None = added(None)

    def __post_init__(self) -> None:
        require(self.heldout >= 1, "heldout", self.heldout, "must be at least 1")
        require(self.harder >= 0, "harder", self.harder, "must be at least 0")
        require(self.temperature > 0, "temperature", self.temperature, "must be positive")
        require(self.hours > 0, "hours", self.hours, "must be positive")
        require(self.patience >= 0, "patience", self.patience, "must be at least 0")
        require(self.transcripts >= 0, "transcripts", self.transcripts, "must be at least 0")
        most = f"must be null or from 0 to heldout, {self.heldout}"
        require(self.pass_items is None or 0 <= self.pass_items <= self.heldout, "pass_items", self.pass_items, most)

    def identity(self) -> Any:
        """What of it is in the keys of stages that depend on all of it."""
        return identity(replace(self, transcripts=TRANSCRIPTS, pass_items=None))

    def memory(self) -> int:
        """Bytes that the honest population takes at least."""
        return self.population.memory(self.hours / 24)
