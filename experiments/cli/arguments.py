"""What can be typed after ``moatbench``: reads the command line. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from experiments.cli.commands import COMMANDS
from experiments.cli.subcommand import Option

COMPLETE = "complete-line"
"""Hidden subcommand that a shell calls with the line typed so far."""


class CommandLine(NamedTuple):
    """What was typed.

    Args:
        command: the subcommand.
        module: that does it.
        words: overrides and other plain words, in order.
        options: values of its options, by name (``dry_run``).
    """

    command: str
    module: str
    words: tuple[str, ...]
    options: argparse.Namespace


def read(arguments: Sequence[str]) -> CommandLine:
    """Parse the command line; prints help or usage and exits where that is what is asked for or needed (code 0 or 2)."""
    if arguments and arguments[0] == COMPLETE:
        return CommandLine(COMPLETE, "completion", tuple(arguments[1:]), argparse.Namespace())
    top = _parser()
    found, rest = top.parse_known_args(arguments)
    if found.command is None:
        top.print_help()
        raise SystemExit(0)
    strange = [word for word in rest if word.startswith("-")]
    if strange:
        top.error(f"{found.command} does not know {' '.join(strange)} (see moatbench {found.command} --help)")
    return CommandLine(found.command, COMMANDS[found.command].module, (*found.words, *rest), found)


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "moatbench",
        description="How much of a teacher's capability ends up in a student, under which API, at whose cost.",
        epilog=_examples([COMMANDS[name].examples[0] for name in COMMANDS]) + "\nMORE  moatbench COMMAND --help\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"moatbench {version('moatbench')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        parser = commands.add_parser(
            name,
            help=command.text,
            description=command.text[0].upper() + command.text[1:] + ".",
            epilog=_examples(command.examples) + "\n" + command.more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("words", nargs="*", metavar="WORD", help=command.takes)
        for option in command.options:
            _add(parser, option)
    return top


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.choices is None:
        parser.add_argument(option.flag, action="store_true", help=option.text)
    elif option.choices:
        text = f"{option.text}: {', '.join(option.choices)}"
        parser.add_argument(option.flag, choices=option.choices, default=option.choices[0], help=text, metavar="HOW")
    else:
        parser.add_argument(option.flag, type=option.kind, help=option.text, metavar=option.flag.strip("-").upper())


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    return "examples:\n" + "".join(f"  {line}\n      {remark}\n" for line, remark in examples)
