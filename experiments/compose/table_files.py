"""Files of ``configs/table``, and the words of a command line that choose and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.build import build
from configs.errors import ConfigError
from experiments.compose.fields import RefusedError, set_fields
from experiments.compose.grids import choice_of
from experiments.compose.hydra_errors import in_words
from experiments.compose.hydra_session import session
from experiments.compose.resolved import resolved
from experiments.compose.search_path import SEARCH_PATH
from experiments.report.paper.table_spec import TableSpec

TABLE = "table"
"""The group."""


class TableWords(NamedTuple):
    """What the words say.

    Args:
        names: of the tables that are asked for.
        fields: overrides of their fields.
        others: all else.
    """

    names: tuple[str, ...]
    fields: tuple[str, ...]
    others: tuple[str, ...]


def table_words(words: Sequence[str]) -> TableWords:
    """Take ``+table=NAME`` and ``table.FIELD=VALUE`` out of the words.

    Raises:
        ConfigError: fields without a table.
    """
    chosen = [w for w in words if w.lstrip("+").partition("=")[0] == TABLE]
    fields = tuple(w for w in words if w.lstrip("+~").startswith(f"{TABLE}."))
    others = tuple(w for w in words if w not in chosen and w not in fields)
    names = tuple(dict.fromkeys(name for w in chosen for name in w.partition("=")[2].split(",") if name))
    if fields and not names:
        raise ConfigError(fields[0].partition("=")[0], fields[0], "is a field of a table: say which with +table=NAME")
    return TableWords(names, fields, others)


def table_specs(words: Sequence[str]) -> dict[str, TableSpec]:
    """The tables that a command line asks for, by name.

    Raises:
        ConfigError: there is no such table, or it says something that cannot be.
    """
    own = table_words(words)
    fields = [w if w.startswith("~") else f"++{w.lstrip('+')}" for w in own.fields]  # the class says which there are
    search = [w for w in own.others if w.lstrip("+").startswith(f"{SEARCH_PATH}=")]
    found = {}
    with session(search) as hydra:
        for name in own.names:
            config = OmegaConf.create({TABLE: choice_of(TABLE, name, search, hydra)})
            try:
                set_fields(config, hydra.parse(fields))
            except OverrideParseException as error:
                raise in_words(error, own.fields) from error
            except (RefusedError, OmegaConfBaseException) as error:
                raise ConfigError(TABLE, " ".join(own.fields), "sets what is not there, or several values") from error
            found[name] = build(resolved(config)[TABLE], TableSpec, TABLE)
    return found
