"""``moatbench completion`` and what the shells call while a line is being typed.

Groups, their choices and all fields come from `suggestions`; commands, options, sweeps and experiments are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import HydraException

from configs.errors import ConfigError, MoatBenchError
from experiments.cli.arguments import COMPLETE, CommandLine
from experiments.cli.commands import COMMANDS
from experiments.cli.roots import CAMPAIGN, ROOTS, root_of
from experiments.cli.subcommand import CARE, KINDS, SHELLS
from experiments.cli.suggestions import suggested
from experiments.compose.compose import ROOT, expand
from experiments.compose.grids import CLAIM, EXPERIMENT, experiments_of
from experiments.compose.hydra_session import HydraSession, session
from experiments.compose.table_files import TABLE, table_words

BASH = """\
_moatbench() {
    local IFS=$'\\n'
    local line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }" part="${COMP_WORDS[COMP_CWORD]}"
    case "$part" in =|:) part="" ;; esac
    local done="${word%"$part"}"
    COMPREPLY=($(moatbench complete-line "$line" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$done"}")
}
complete -o nospace -F _moatbench moatbench
"""

OWN_WORDS = {"calibrate": ("drop=", "family="), "game": ("price=", "family=")}
"""Command -> words of it that are no overrides; the ``seed=`` of ``calibrate`` looks like one."""

SCRIPTS = {
    "bash": BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + BASH,
    "fish": "complete -c moatbench -f -a '(moatbench complete-line (commandline -cp | string collect))'\n",
}


def main(asked: CommandLine) -> int:
    """Print a shell's script, or the completions of a line, one on a line."""
    if asked.command == COMPLETE:
        print("\n".join(complete(" ".join(asked.words))))
        return 0
    shell = asked.words[0] if asked.words else ""
    if shell not in SCRIPTS:
        raise ConfigError("completion", shell, "is not a shell that is known here", SHELLS)
    print(SCRIPTS[shell], end="")
    return 0


def complete(line: str) -> list[str]:
    """What the last word of a line can become; words that are then finished end in a space.

    Args:
        line: all that is typed so far, the program's name included.
    """
    words = line.split()[1:]
    word = "" if line.endswith(" ") or not words else words.pop()
    if not words:
        return _starting(word, COMMANDS)
    command = COMMANDS.get(words[0])
    if command is None:
        return []
    options = {option.flag: option for option in command.options}
    before = options.get(words[-1])
    if before is not None and before.choices is not None:
        return _starting(word, before.choices)
    if word.startswith("-"):
        return _starting(word, [*options, "--help"])
    if words[0] == "completion":
        return _starting(word, SHELLS)
    if words[0] == "store":
        return _for_store(word, words[1:])
    kinds = _starting(word, KINDS) if words[0] == "list" else []
    if words[0] == CLAIM and not any("=" not in w and not w.startswith("-") for w in words[1:]):
        with session() as hydra:
            kinds = _starting(word, hydra.files(words[1:]).options(CLAIM))
    own_words = OWN_WORDS.get(words[0], ())
    if own_words:
        kinds = [own for own in own_words if own.startswith(word)]
        words = [w for w in words if not w.startswith(own_words)]
    others = [w for w in words[1:] if "=" in w and not w.startswith("-")]
    if words[0] == TABLE:
        others = list(table_words(others).others)
    return kinds + sorted({f for root in _roots(words[0], [word, *others]) for f in _overrides(word, others, root)})


def _roots(command: str, words: list[str]) -> tuple[str, ...]:
    """What the overrides of a command may be of; ``show`` takes cells and campaigns, until one of them says which."""
    if command == "show":
        told = root_of(words)
        return ROOTS if told is None else (told,)
    return (CAMPAIGN,) if command == CAMPAIGN else (ROOT,)


def _for_store(word: str, words: list[str]) -> list[str]:
    """What to do, then what is in the store that is named."""
    plain = [w for w in words if "=" not in w and not w.startswith("-")]
    if not plain:
        return _starting(word, CARE)
    from experiments.cli.store import names

    return _starting(word, names(plain, words)) + [part for part in ["store="] if part.startswith(word)]


def _overrides(word: str, others: list[str], root: str) -> list[str]:
    key, equals, value = word.partition("=")
    before, comma, last = value.rpartition(",")
    opening = "" if comma or not last.startswith("[") else "["
    plain = f"{key}{equals}{last.removeprefix('[')}"
    with session(others) as hydra:
        found = _within_cell(plain, _one_cell(others, hydra, root), hydra, root)
    head = f"{key}={opening}{before}{comma}"
    return [head + f.removeprefix(f"{key}=") for f in found] if equals else sorted(found)


def _within_cell(word: str, others: list[str], hydra: HydraSession, root: str) -> list[str]:
    start, equals, _ = word.partition("=")
    try:
        if equals and start.lstrip("+") == EXPERIMENT:
            names = experiments_of(root, hydra.files(others))
            return [f"{start}={name}" for name in names if f"{start}={name}".startswith(word)]
        if equals and (group := start.lstrip("+")) in (CLAIM, TABLE):
            options = hydra.files(others).options(group)
            return [f"{start}={name}" for name in options if f"{start}={name}".startswith(word)]
        known = {str(part) for part in hydra.base(root, ())}
        found = suggested(word, others, hydra, root)
    except (MoatBenchError, HydraException):
        return []
    more = [f"+{group}=" for group in (EXPERIMENT, CLAIM, TABLE) if group.startswith(word.lstrip("+"))]
    return [f for f in found if _part(f) in known and not f.endswith("_target_=")] + more


def _part(name: str) -> str:
    """The part of a configuration that something that could be typed is about."""
    return re.split(r"[=./@]", name.lstrip("+~"))[0]


def _one_cell(others: list[str], hydra: HydraSession, root: str) -> list[str]:
    """Overrides of the last cell of a sweep, so that fields of what it chooses can be completed."""
    plain = [o for o in others if o.lstrip("+").partition("=")[0] != EXPERIMENT]
    try:
        return list(expand(plain, hydra, root)[-1][-1])
    except (MoatBenchError, HydraException):
        return []


def _starting(word: str, choices: Iterable[str]) -> list[str]:
    return [f"{choice} " for choice in choices if choice.startswith(word)]
