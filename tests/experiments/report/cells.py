"""A small grid of cells with a known truth, for reports."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.cell_result import CellResult
from tests.experiments.measure.synthetic import TRUTH, cell, result

TWIN, TEACHER = TRUTH["undefended"], TRUTH["teacher"]


def one(name: str, strength: tuple[str, float] | None, chain: float, users: float, seed: int, attack: str = "imitate",
        tool: float | None = None, refused: float = 0.0, waited: float = 0.0, **changes: object) -> CellResult:  # fmt: skip
    """A cell of one defense that touches the chain family only, unless a tool accuracy is given."""
    label = f"{name}({strength[0]}={strength[1]:g})" if strength else name
    names = [] if name == "none" else [name]
    stated = {"adaptive": attack != "imitate"} | changes
    described = cell(label, names, strength[1] if strength else None, attack, seed, **stated)
    student = TWIN | {"chain": chain} | ({} if tool is None else {"tool": tool})
    return result(described, student, TEACHER | {"chain": users}, refused, waited=waited)


def grid(seeds: Sequence[int] = (1, 2), attacks: Sequence[str] = ("imitate", "adaptive")) -> list[CellResult]:
    """Hidden traces, a limit, and three decoding defenses at two strengths each, of which the first hurts the student."""
    cells = []
    for seed in seeds:
        for attack in attacks:
            cells += [
                one("none", None, 0.95, 0.99, seed, attack),
                one("trace_hidden", None, 0.11, 0.99, seed, attack, tool=0.3),
                one("query_quota", None, 0.5, 0.99, seed, attack, refused=0.02, accepted=300),
                one("token_bucket", None, 0.93, 0.99, seed, attack, waited=12.5),
            ]
            for weak, strong in (((0.2, 0.55, 0.95), (0.3, 0.42, 0.90)),):
                cells += [one("antidistillation", ("lam", x), s, u, seed, attack) for x, s, u in (weak, strong)]
            cells += [one("permuted", ("lam", x), 0.92, u, seed, attack) for x, u in ((0.2, 0.95), (0.3, 0.9))]
            cells += [one("temperature", ("tau", x), 0.9, u, seed, attack) for x, u in ((1.3, 0.945), (1.5, 0.89))]
    return cells
