"""From a resolved configuration back to the overrides that describe it: for each part the choice that is nearest, and the
fields that differ from it. Knows no stored rows; whether the words give the same cell is for the caller to check."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.build import describe
from configs.errors import MoatBenchError, require
from experiments.compose.assembly import Assembly
from experiments.compose.compose import ROOT
from experiments.compose.hydra_session import STACKS, HydraSession, session
from experiments.compose.whole import whole

GROUPS = ("task", "teacher", "student", "proxy", "api", "prices", "defense", "attack", "budget", "measure", "judge")
"""Parts that are chosen by name."""
WITHIN = {"attack": ("harvest", "recover", "objective", "refine", "knowledge")}
"""Groups within a part, from which a part of it can be chosen alone."""
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
WORDS = ("null", "true", "false", "nan", "inf", "yes", "no", "on", "off")
"""What Hydra's grammar, or YAML, reads as something else than text."""
KEY = re.compile(r"[A-Za-z_][\w-]*")


def words_for(config: Mapping[str, Any], search: Sequence[str] = ()) -> list[str]:
    """Overrides that are meant to describe a cell's resolved configuration.

    Args:
        config: parts of a cell as they are kept with a row: where and how it ran left out.
        search: overrides of the search path, without which parts of other packages have no name.

    Raises:
        ConfigError: something in the place of a part is none.
    """
    with session(search) as hydra:
        default = _plain(hydra, search)
        words = [word for group in GROUPS for word in _of_group(hydra, search, group, config, default)]
    rest = {name: value for name, value in config.items() if name not in GROUPS}
    words += [f"{name}={_literal(value)}" for name, value in rest.items() if value != default.get(name)]
    return [*search, *words]


def _of_group(
    hydra: HydraSession, search: Sequence[str], group: str, config: Mapping[str, Any], default: Mapping[str, Any]
) -> Iterator[str]:
    wanted, usual = config.get(group) or {}, default.get(group) or {}
    require(isinstance(wanted, Mapping), group, wanted, "is not a part that could be chosen")
    if _alike(wanted, usual):
        return
    stacked = group in STACKS
    choice, found = _stack(hydra, search, group, wanted) if stacked else _nearest(hydra, search, group, wanted, usual)
    yield from choice
    for part in WITHIN.get(group, ()):
        inner, own, known = f"{group}/{part}", wanted.get(part) or {}, found.get(part) or {}
        if _alike(own, known):
            continue
        pick = _stack(hydra, search, inner, own) if inner in STACKS else _nearest(hydra, search, inner, own, known)
        if pick[0] and _distance(own, pick[1]) < _distance(own, known):
            yield from pick[0]
            found = {**found, part: pick[1]}
    yield from _fields(group, wanted, found)


def _nearest(
    hydra: HydraSession, search: Sequence[str], group: str, wanted: Mapping[str, Any], usual: Mapping[str, Any]
) -> tuple[list[str], Mapping[str, Any]]:
    """The choice that differs in the fewest fields, as a word (none for what is chosen anyway), and what it says."""
    best, word, found = _distance(wanted, usual), list[str](), usual
    for name, said in _options(hydra, search, group):
        if (away := _distance(wanted, said)) < best:
            best, word, found = away, [f"{group}={name}"], said
    return word, found


def _stack(
    hydra: HydraSession, search: Sequence[str], group: str, wanted: Mapping[str, Any]
) -> tuple[list[str], Mapping[str, Any]]:
    """Choices whose parts come in this order, each the longest that fits, and what they say together."""
    options, names, said = list(_options(hydra, search, group)), list[str](), dict[str, Any]()
    left = list(wanted)
    while left:
        fitting = [(name, own) for name, own in options if own and left[: len(own)] == list(own)]
        if not fitting:
            break  # the rest is written out, field by field
        name, own = min(fitting, key=lambda one: (-len(one[1]), _distance(wanted, {**said, **one[1]}), one[0]))
        names.append(name)
        said |= own
        left = left[len(own) :]
    return [f"{group}={names[0]}" if len(names) == 1 else f"{group}=[{','.join(names)}]"], said


def _options(hydra: HydraSession, search: Sequence[str], group: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Choices of a group, and what each makes of the configuration; those that need more to be said are left out."""
    top, _, part = group.partition("/")
    for name in hydra.files(search).options(group):
        word = f"{group}=[{name}]" if group in STACKS else f"{group}={name}"
        try:
            said = _plain(hydra, [*search, word])[top]
        except MoatBenchError:
            continue
        yield name, (said.get(part) if part else said) or {}


def _plain(hydra: HydraSession, words: Sequence[str]) -> Mapping[str, Any]:
    """As `experiments.cell_from` keeps it with a row."""
    composed = Assembly(hydra, ROOT).config(words)
    described: Mapping[str, Any] = describe(whole(words, hydra, ROOT) if composed is None else composed)
    return described


def _fields(place: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Overrides that make the one out of the other."""
    for name in found.keys() - wanted.keys():
        yield f"~{place}.{name}"
    for name, value in wanted.items():
        here = f"{place}.{name}"
        if name not in found:
            yield f"+{here}={_literal(value)}"
        elif isinstance(value, Mapping) and isinstance(found[name], Mapping) and (value or not found[name]):
            yield from _fields(here, value, found[name])
        elif value != found[name]:
            yield f"{here}={_literal(value)}"


def _distance(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """In how many fields two parts differ; another class counts for more than any number of fields of the same one."""
    ours, theirs = dict(_leaves(wanted)), dict(_leaves(found))
    places = ours.keys() | theirs.keys()
    return sum(
        100 if place.endswith("_target_") else 1
        for place in places
        if place not in ours or place not in theirs or ours[place] != theirs[place]
    )


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one == other and list(one) == list(other)


def _leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{place}.{name}")
    else:
        yield place, node


def _literal(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(str(name))}:{_literal(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    quoted = re.sub(r"(\\*)'", lambda found: 2 * found[1] + r"\'", text)
    closed = re.sub(r"(\\+)$", lambda found: 2 * found[1], quoted)
    return f"'{closed}'"


def _key(name: str) -> str:
    return name if KEY.fullmatch(name) else _literal(name)
