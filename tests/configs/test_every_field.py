"""Every field of every dataclass that a YAML can reach takes a value or refuses it in words: no traceback, no number that
means nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import configs
from configs.build import build, describe, from_mapping
from configs.errors import ConfigError
from configs.identity import identity
from configs.ranges import LARGEST, MAY_BE_INFINITE
from experiments.campaign.from_config import stage_from
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.compose.interning import Interning

WRONG = (
    math.inf,
    -math.inf,
    math.nan,
    10**40,
    1e300,
    -1,
    0,
    0.5,
    "x",
    "",
    None,
    [],
    [-1, "x"],
    {},
    {"a": 1},
    1 + LARGEST,
)
SIGNED = {
    "ADFP.key",
    "CodeProblems.harder_above",
    "DatasetTask.harder_above",
    "GaussianNoise.key",
    "Gumbel.key",
    "KGW.key",
    "LoRD.tau_2",
    "MultipleChoice.harder_above",
    "Permuted.key",
    "SynthID.key",
}
"""Fields in which a negative number means something."""


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for one in value.values():
            yield from nodes(one)


@cache
def parts() -> dict[type, Any]:
    """A built object of every dataclass that the YAML files reach; what needs packages that are not here is left out."""
    found: dict[type, Any] = {}
    for path in sorted(Path(configs.__file__).parent.rglob("*.yaml")):
        for node in nodes(OmegaConf.to_container(OmegaConf.load(path))):
            if "???" not in node.values():
                with contextlib.suppress(ConfigError):
                    gather(build(node, object, "part"), found)
    return found


def gather(value: Any, found: dict[type, Any]) -> None:
    if dataclasses.is_dataclass(value):
        found.setdefault(type(value), value)
        gather([getattr(value, f.name) for f in dataclasses.fields(value)], found)
    elif isinstance(value, (list, tuple)):
        for one in value:
            gather(one, found)
    elif isinstance(value, dict):
        gather(list(value.values()), found)


def with_value(kind: type, described: dict[str, Any], name: str, value: object) -> Any:
    node = {**described, name: value}
    if "_target_" not in described:
        return from_mapping(kind, node, "part")
    return build(node, object, "part")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def is_unlimited(kind: type, name: str) -> bool:
    hint = typing.get_type_hints(kind, include_extras=True)[name]
    return typing.get_origin(hint) is typing.Annotated and MAY_BE_INFINITE in hint.__metadata__


def test_fields_take_values_or_refuse_them_in_words():
    assert len(parts()) > 40
    taken, said = [], list[ConfigError]()
    for kind, part in parts().items():
        described = describe(part)
        for field in dataclasses.fields(part):
            for value in WRONG:
                try:
                    made = getattr(with_value(kind, described, field.name, value), field.name)
                except ConfigError as error:
                    said.append(error)
                    continue
                json.dumps(identity(made))
                infinite = is_unlimited(kind, field.name)
                fine = all(abs(n) <= LARGEST or (infinite and n == math.inf) for n in numbers(made))
                if not fine or (value == -1 and not isinstance(made, str)):
                    taken.append((f"{kind.__name__}.{field.name}", value))
    assert len(said) > 2000
    assert all("\n" not in str(error) and error.field.startswith("part") for error in said)
    assert [one for one in taken if one[0] not in SIGNED] == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))


def put(root: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    new = dict(root) if isinstance(root, dict) else list(root)
    new[path[0]] = put(root[path[0]], path[1:], value)
    return new


@pytest.mark.parametrize("root", ["cell", "campaign"])
def test_whole_configurations_are_built_or_refused_in_words(root):
    words = ["defense=temperature", "attack=filter"] if root == "cell" else ["campaign=small", "policy=linking"]
    plain = {
        k: v for k, v in compose_one(words, root).plain.items() if k not in ("store", "out", "tracking", "launcher")
    }
    interning, refused = Interning(), 0
    for path in list(leaves(plain))[1:]:  # below the whole
        for value in (None, math.inf, -1, "x", [], [1], {"a": 1}, {"_target_": "os.system"}):
            changed = put(plain, path, value)
            try:
                stage = cell_from(changed, interning).row_stage() if root == "cell" else stage_from(changed)
            except ConfigError:
                refused += 1
                continue
            assert len(stage.key) == 32
    assert refused > 500
