"""Words for families, defenses and the axes of the threat model. A name that is not listed stands for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED

FAMILIES = {"chain": "reasoning", "code": "coding", "facts": "knowledge", "tool": "tool use", POOLED: "pooled"}
ORDER = tuple(FAMILIES)
AXES = {
    "task": "task",
    "teacher": "teacher",
    "student": "student",
    "api": "interface",
    "queries": "queries",
    "data": "data",
    "accounts": "accounts",
    "hours": "hours",
}
STACKS = ("defense", "judge", "recover", "refine")
"""Settings that hold parts by name."""


def family_name(family: str) -> str:
    """``chain`` → ``reasoning``."""
    return FAMILIES.get(family, family)


def family_order(families: Sequence[str]) -> list[str]:
    """Known families in the order of `FAMILIES`, then others by name."""
    return sorted(families, key=lambda f: (ORDER.index(f) if f in ORDER else len(ORDER) - 2, f))


def told_apart(summaries: Sequence[Summary]) -> list[Summary]:
    """The same summaries, with labels that differ wherever their cells do.

    Cells that agree in threat model, defense and attack get the settings in which they differ, in parentheses: settings of
    the defense behind its label, all others behind the attack's.
    """
    alike: dict[tuple[object, ...], list[Summary]] = {}
    for s in summaries:
        alike.setdefault((s.threat, s.defense, s.attack), []).append(s)
    found = {}
    for group in alike.values():
        leaves = [dict(_leaves(s.configuration)) for s in group]
        paths = sorted({path for each in leaves for path in each})
        differing = [path for path in paths if len({str(each.get(path)) for each in leaves}) > 1]
        # The short facts repeat what the settings say in full.
        if any(path.startswith("settings.") for path in differing):
            differing = [path for path in differing if path.startswith("settings.")]
        for s, own in zip(group, leaves, strict=True):
            mine = [path for path in differing if path.startswith("settings.defense.")]
            other = [path for path in differing if path not in mine]
            found[id(s)] = replace(s, defense=_with(s.defense, mine, own), attack=_with(s.attack, other, own))
    return [found[id(s)] for s in summaries]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _with(label: str, paths: Sequence[str], leaves: Mapping[str, object]) -> str:
    """The label with the settings that a cell has, null ones left out."""
    parts = ", ".join(_setting(path, leaves[path]) for path in paths if leaves.get(path) is not None)
    return f"{label} ({parts})" if parts else label


def _setting(path: str, value: object) -> str:
    """``keep=0.5``; of a class that was chosen the name of the part in a stack, else of the class (``harvest=Random``)."""
    *above, part, last = path.split(".")
    if last != "_target_":
        return f"{last}={value}"
    return part if above and above[-1] in STACKS else f"{part}={str(value).rpartition('.')[2]}"


def is_passive(summary: Summary) -> bool:
    """Whether the attack does not answer to the defense, as its parts say (`experiments.cell.Cell.facts`). A cell stored
    before they did is not known to be passive."""
    return summary.configuration.get("adaptive") is False


def seeds_text(summaries: Sequence[Summary]) -> str:
    """``2 seeds``, or a range where cells differ."""
    counts = sorted({len(s.seeds) for s in summaries})
    if not counts:
        return "no seeds"
    return f"{counts[0]} seed{'s' if counts[0] != 1 else ''}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]} seeds"


def seeds_caveat(summaries: Sequence[Summary]) -> str:
    """What the number of seeds allows to conclude; '' from three on."""
    fewest = min((len(s.seeds) for s in summaries), default=3)
    if all(len(s.seeds) == 1 for s in summaries):
        return (
            "With 1 seed the intervals cover held-out items only, not teachers or training runs, and nothing is tested."
        )
    if fewest <= 2:
        return (
            f"With {fewest} seed{'s' * (fewest > 1)} a row's interval rests on how much seeds differ in the other rows: a "
            "row that varies more than they do has too narrow a one."
        )
    return ""
