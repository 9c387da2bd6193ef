"""Pretrained causal language models from the hub, a local folder or a GGUF file. Safetensors and GGUF only: nothing is
unpickled, and no code that comes with a model is run. Knows nothing of teachers or students."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import lru_cache, partial
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from configs.errors import ConfigError, require
from lm.gguf import check_file, forget_quantization
from lm.language_model import LanguageModel
from lm.marked_format import MarkedFormat
from lm.spans import backend_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PIN = "sha256:"


@dataclass(frozen=True)
class Pretrained:
    """Which pretrained model, and how its responses read.

    Args:
        path: hub name, local folder with safetensors weights, or a ``.gguf`` file (dequantised on loading).
        revision: pins the weights: a commit of the hub, or ``sha256:…`` of local files (see `fingerprint`); "" takes what
            is there. Pin it in published configs: it is part of every stored key, while the content of a path is not.
        dtype: float32, bfloat16 or float16. With the last two, greedy text depends on the shape of the batch.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        system: system message put before every prompt; "" leaves it to the chat template.
        chat_template: a Jinja chat template instead of the tokenizer's own, "" for its own.
        think_open: tag that begins the working, "" for none; see `lm.marked_format.MarkedFormat`.
        think_close: tag that ends it.
        answer_markers: markers any of which begins the answer where there are no tags; [] for none.
        batch_tokens: tokens (rows x length) processed at once.
    """

    path: str
    revision: str = ""
    dtype: str = "float32"
    device: str = "auto"
    system: str = ""
    chat_template: str = ""
    think_open: str = "<think>"
    think_close: str = "</think>"
    answer_markers: tuple[str, ...] = ("Answer:", "The answer is")
    batch_tokens: int = 16_384

    def __post_init__(self) -> None:
        require(bool(self.path), "path", self.path, "must name a model: hub name, local folder or .gguf file")
        if self.dtype not in DTYPES:
            raise ConfigError("dtype", self.dtype, "is not a number format for weights", DTYPES)
        require(self.batch_tokens >= 1, "batch_tokens", self.batch_tokens, "must be at least 1")

    @property
    def label(self) -> str:
        """Short name for tables: the last part of the path."""
        return Path(self.path).name

    def open(self) -> LanguageModel:
        """The pretrained model on its device, in evaluation mode.

        Raises:
            ConfigError: nothing there, not cached and no connection, pickled weights only, weights that do not match
                ``revision``, no chat template, a slow tokenizer, a missing optional package, or no such device.
        """
        tokenizer = self.tokenizer()
        return self.wrap(self.model(), tokenizer)

    def wrap(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
        """A language model of these parts, on the configured device and in evaluation mode."""
        form = MarkedFormat(tokenizer, self.think_open, self.think_close, self.answer_markers)
        model = model.to(self.torch_device()).eval()
        return LanguageModel(model, tokenizer, form, self.batch_tokens, self.system)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with a chat template, an end of sequence and a padding token."""
        tokenizer: PreTrainedTokenizerBase = self._fetch(AutoTokenizer.from_pretrained)
        backend_of(tokenizer)
        if self.chat_template:
            tokenizer.chat_template = self.chat_template
        require(bool(tokenizer.chat_template), "chat_template", "", f"{self.path} brings none: give one")
        require(tokenizer.eos_token_id is not None, "path", self.path, "its tokenizer has no end-of-sequence token")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    def model(self) -> PreTrainedModel:
        """The weights, on the CPU."""
        load = partial(AutoModelForCausalLM.from_pretrained, dtype=DTYPES[self.dtype], use_safetensors=True)
        model: PreTrainedModel = self._fetch(load)
        return forget_quantization(model)

    def weight_bytes(self, changes: Mapping[str, int] | None = None) -> int:
        """Size of the weights, from the configuration of a local folder alone; 0 for other paths.

        Args:
            changes: entries of the model's configuration that are different.
        """
        folder = Path(self.path).expanduser()
        return _weight_bytes(folder, self.dtype, tuple((changes or {}).items())) if folder.is_dir() else 0

    def torch_device(self) -> torch.device:
        """Where the model goes."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return torch.empty(0, device=self.device).device
        except (RuntimeError, AssertionError) as error:
            raise ConfigError("device", self.device, "is not available here", ("auto", "cpu", "cuda", "mps")) from error

    def _fetch(self, load: Any) -> Any:
        """Call a ``from_pretrained`` on local files, or on the hub's cache and then the hub."""
        with _quiet():
            local = self._local()
            try:
                if local is not None:
                    return load(trust_remote_code=False, local_files_only=True, **local)
                return self._from_hub(load)
            except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
                line = " ".join(str(error).split())[:300]
                raise ConfigError("path", self.path, f"could not be loaded: {line}") from error

    def _local(self) -> dict[str, str] | None:
        """Arguments of ``from_pretrained`` for local files; None for a hub name."""
        place = Path(self.path).expanduser()
        if place.suffix == ".gguf":
            check_file(place)
            self._check_pin([place])
            return {"pretrained_model_name_or_path": str(place.parent), "gguf_file": place.name}
        if place.is_dir():
            weights = sorted(place.glob("*.safetensors"))
            if not weights:
                has = "only pickled weights, which are never loaded" if list(place.glob("*.bin")) else "none"
                raise ConfigError("path", self.path, f"must hold safetensors weights; it has {has}")
            self._check_pin(weights)
            return {"pretrained_model_name_or_path": str(place)}
        named = _HUB_NAME.fullmatch(self.path) is not None
        require(named, "path", self.path, "is no folder, no .gguf file, and cannot be a hub name")
        return None

    def _check_pin(self, files: list[Path]) -> None:
        if not self.revision:
            return
        local = self.revision.startswith(_PIN)
        require(local, "revision", self.revision, f"local files are pinned by {_PIN}…, see lm.huggingface.fingerprint")
        found = fingerprint(files)
        require(found == self.revision, "revision", self.revision, f"the files at {self.path} are {found}")

    def _from_hub(self, load: Any) -> Any:
        """What is cached comes first, so that a machine without a connection works and does not wait."""
        named = {"pretrained_model_name_or_path": self.path, "revision": self.revision or "main"}
        try:
            return load(trust_remote_code=False, local_files_only=True, **named)
        except OSError:
            pass
        try:
            return load(trust_remote_code=False, **named)
        except OSError as error:
            reason = (
                "is not in the local cache and could not be downloaded. On a machine with a connection run "
                f"`hf download {self.path}` and copy the folder here, then give that folder as path; or check name, "
                "revision and access rights"
            )
            raise ConfigError("path", self.path, reason) from error


def fingerprint(files: list[Path]) -> str:
    """``sha256:…`` over the content of the given weight files, in the order of their names."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return _PIN + whole.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of loading, which would break those of the run; GGUF loading writes its own, to stderr."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


@lru_cache(maxsize=64)
def _weight_bytes(folder: Path, dtype: str, changes: tuple[tuple[str, int], ...]) -> int:
    try:
        with _quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            for name, value in changes:
                setattr(config, name, value)
            model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
            model.tie_weights()  # which transformers 5.0 leaves undone here
    except (OSError, ValueError, ImportError, KeyError):  # said in words when it is loaded
        return 0
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
