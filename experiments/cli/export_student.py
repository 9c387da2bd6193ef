"""``moatbench export-student``: a model of a cell as a folder that transformers, and any tool that stands on it, loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError, require
from experiments.cli.arguments import CommandLine
from lm.huggingface import Pretrained

if TYPE_CHECKING:
    from experiments.study import OpenCell
    from lm.language_model import LanguageModel


def main(asked: CommandLine) -> int:
    """Write the folder and say what is in it."""
    from experiments.study import open_cell

    require(bool(asked.options.to), "--to", asked.options.to, "must name a folder that is not there yet")
    folder = Path(asked.options.to).expanduser()
    require(not folder.exists(), "--to", str(folder), "is there already: name another folder, or remove it")
    lm = pretrained_of(open_cell(asked.words), asked.options.model or "student")
    write(lm, folder)
    print(
        f"{folder}: weights, configuration, tokenizer and chat template; load it with transformers, or as student.path"
    )
    return 0


def pretrained_of(cell: OpenCell, name: str) -> LanguageModel:
    """A language model of a cell, adapters merged.

    Raises:
        ConfigError: the cell has no such model, or it is no model of transformers.
        MoatBenchError: it is not stored yet.
    """
    lm = cell.model(name).lm
    spec = cell.spec(name)
    if not isinstance(spec, Pretrained):
        reason = (
            f"is a {type(spec).__name__} here; only models of transformers (student=hf) can be given to other tools"
        )
        raise ConfigError("--model", name, reason)
    return lm


def write(lm: LanguageModel, folder: Path) -> None:
    """Write a model as transformers does; the folder appears when all of it is there."""
    parts = folder.with_name(f".{folder.name}.parts")
    lm.tokenizer.save_pretrained(parts)
    lm.model.save_pretrained(parts)
    parts.rename(folder)
