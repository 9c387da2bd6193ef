"""Files that hold command lines: experiments, and claims with the grid that lets them be judged."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from configs.errors import ConfigError, require
from experiments.compose.config_files import ConfigFiles
from experiments.compose.experiment_notes import NOTES, ExperimentNotes, notes_in
from experiments.compose.hydra_session import HydraSession, session
from experiments.compose.resolved import resolved
from experiments.compose.search_path import SEARCH_PATH, forgotten
from experiments.compose.whole import whole

CELL = "cell"
"""What grids are of, where a file does not say otherwise."""
EXPERIMENT, CLAIM = "experiment", "claim"
"""Groups whose files have grids."""
PAGE = "docs/experiments.md"
FIELDS = (*NOTES, "grids", "claims", "of", "reference", "setting")
"""Of an experiment's file. ``setting`` is what its grids have in common: command lines that each of them begins with.
``claims`` are fields of claims that differ here, by the claim's name: families and strengths, where these are others."""


def experiment_names(arguments: Sequence[str]) -> list[str]:
    """Names of the experiments, and claims, whose grids a command line asks for."""
    asked = [a.partition("=")[2] for a in arguments if a.lstrip("+").partition("=")[0] in (EXPERIMENT, CLAIM)]
    return [name for value in asked for name in value.split(",")]


def reference_of(arguments: Sequence[str]) -> str:
    """The defense that others are compared with, as the first experiment of a command line that names one says; else "".

    Raises:
        ConfigError: it is no name.
    """
    name, said = _first_said(arguments, "reference", "")
    require(isinstance(said, str), f"{EXPERIMENT}.{name}.reference", said, "must be the name of a defense")
    return str(said)


def claim_fields_of(arguments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By the name of a claim, its fields as the first experiment of a command line that sets any says; else {}.

    Raises:
        ConfigError: it is no mapping of a claim's name to its fields, or there is no such claim.
    """
    name, said = _first_said(arguments, "claims", {})
    field = f"{EXPERIMENT}.{name}.claims"
    require(isinstance(said, Mapping), field, said, "must be fields by the name of a claim")
    if said:
        with session(arguments) as hydra:
            known = hydra.files(_search(arguments)).options(CLAIM)
        for claim, fields in said.items():
            if claim not in known:
                raise ConfigError(field, claim, "there is no such claim", known)
            require(isinstance(fields, Mapping), f"{field}.{claim}", fields, "must be fields of the claim")
            require("_target_" not in fields, f"{field}.{claim}", "_target_", "is what the claim is")
    return {str(claim): dict(fields) for claim, fields in said.items()}


def _first_said(arguments: Sequence[str], key: str, nothing: Any) -> tuple[str, Any]:
    """The first experiment of a command line that says something of a field, and what; else "" and ``nothing``."""
    names = [a.partition("=")[2].split(",") for a in arguments if _is_experiment(a)]
    if not names:
        return "", nothing
    with session(arguments) as hydra:
        files = hydra.files(_search(arguments))
        for name in itertools.chain.from_iterable(names):
            found = files.read(f"{EXPERIMENT}/{name}")
            said = None if found is None else resolved(found.config).get(key)
            if said:
                return name, said
    return "", nothing


def _search(arguments: Sequence[str]) -> list[str]:
    return [a for a in arguments if a.lstrip("+").startswith(f"{SEARCH_PATH}=")]


def grids_of(
    group: str, name: str, hydra: HydraSession, search: Sequence[str] = (), root: str = CELL
) -> list[list[str]]:
    """The command lines of ``configs/GROUP/NAME.yaml``, in words.

    Args:
        group: `EXPERIMENT` or `CLAIM`; what else a claim's file holds is for its class to check.
        name: of the experiment.
        hydra: an open session.
        search: overrides of Hydra's search path.
        root: what its grids are of; an experiment says so where it is not of cells (``of: campaign``).

    Raises:
        ConfigError: there is no such file, it holds other things than `FIELDS`, or grids of something else.
    """
    field = f"{group}.{name}"
    node = choice_of(group, name, search, hydra) if group == CLAIM else _experiment(name, hydra, search, root)
    of = node.get("of", CELL)
    if of != root:
        how = "moatbench campaign" if of == "campaign" else "moatbench sweep"
        raise ConfigError(group, name, f"has grids of a {of}: run it with {how} +{group}={name}")
    setting, grids = node.get("setting") or [], node.get("grids") or []
    if not grids or not _are_texts(grids):
        raise ConfigError(f"{field}.grids", grids, f"must be a list of at least one command line ({PAGE} shows one)")
    require(_are_texts(setting), f"{field}.setting", setting, "must be a list of command lines")
    common = [word for line in setting for word in _words(line, f"{field}.setting")]
    return [[*common, *_words(line, f"{field}.grids")] for line in grids]


def _are_texts(lines: Any) -> bool:
    return isinstance(lines, list) and all(isinstance(line, str) for line in lines)


def notes_of(arguments: Sequence[str]) -> dict[str, ExperimentNotes]:
    """What the files of the experiments that a command line names say besides their grids, by name.

    Raises:
        ConfigError: there is no such experiment, or its notes are not texts.
    """
    names = [name for a in arguments if _is_experiment(a) for name in a.partition("=")[2].split(",")]
    if not names:
        return {}
    with session(arguments) as hydra:
        files = hydra.files(_search(arguments))
        read = {name: files.read(f"{EXPERIMENT}/{name}") for name in names}
    return {n: notes_in(resolved(f.config), f"{EXPERIMENT}.{n}") for n, f in read.items() if f is not None}


def _is_experiment(argument: str) -> bool:
    return argument.lstrip("+").partition("=")[0] == EXPERIMENT


def choice_of(group: str, name: str, arguments: Sequence[str], hydra: HydraSession) -> Any:
    """One choice of a group that no cell has, composed: a mapping in plain containers.

    Args:
        group: as ``claim``.
        name: of the choice.
        arguments: of the command line, of which those count that are about the group's fields or the search path.
        hydra: an open session.

    Raises:
        ConfigError: there is no such choice, or it does not compose.
    """
    search = _search(arguments)
    files = hydra.files(search)
    if name not in files.options(group):
        raise ConfigError(group, name, f"there is no such {group}", files.options(group), note=forgotten(search))
    own = [a for a in arguments if a.lstrip("+~").startswith(f"{group}.")]
    read = files.read(f"{group}/{name}")
    if own or read is None or read.defaults_list or read.header["package"]:
        return whole((*search, *own), hydra, f"{group}/{name}")[group]
    # what composing it would give, in a tenth of the time
    return resolved(OmegaConf.create({group: read.config}))[group]


def _experiment(name: str, hydra: HydraSession, search: Sequence[str], root: str) -> Mapping[str, Any]:
    folder, _, last = f"{EXPERIMENT}/{name}".rpartition("/")
    files = hydra.files(search)
    if last not in files.options(folder):
        reason = f"there is no such experiment ({PAGE} says how to write one)"
        raise ConfigError(EXPERIMENT, name, reason, experiments_of(root, files), note=forgotten(search))
    node: Mapping[str, Any] = whole((*search, f"+{EXPERIMENT}={name}"), hydra, root)[EXPERIMENT]
    for key in node:
        if key not in FIELDS:
            reason = f"is not a field of an experiment's file ({PAGE} shows one)"
            raise ConfigError(f"{EXPERIMENT}.{name}.{key}", node[key], reason, FIELDS, meant=str(key))
    notes_in(node, f"{EXPERIMENT}.{name}")
    return node


def _words(line: str, field: str) -> list[str]:
    """The words of a command line in a file. Where configurations come from, and whose, is for the user alone to say."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(field, line, f"is not a command line ({error}; {PAGE} shows some)") from error
    for word in words:
        require(not word.lstrip("+~").startswith("hydra."), field, word, "is for the user's own command line only")
    return words


def experiments_of(root: str, files: ConfigFiles) -> list[str]:
    """Names of the experiments whose grids are of this root, as they are typed."""
    names = [f"{folder}/{name}" for folder in _folders(EXPERIMENT, files) for name in files.options(folder)]
    read = {name: files.read(name) for name in names}
    wanted = [name for name, found in read.items() if found is not None and found.config.get("of", CELL) == root]
    return sorted(name.removeprefix(f"{EXPERIMENT}/") for name in wanted)


def _folders(group: str, files: ConfigFiles) -> list[str]:
    inner = [_folders(f"{group}/{name}", files) for name in files.groups(group)]
    return [group, *itertools.chain.from_iterable(inner)]
