"""Where a pretrained model's files are and how they are read: the hub, a local folder, a GGUF file. Safetensors and GGUF
only: nothing is unpickled, and no code that comes with a model is run. Knows nothing of prompts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from configs.errors import ConfigError, require
from lm.gguf_file import check_file, forget_quantization
from lm.loaded import token_ids, trimmed, without_spare_rows
from lm.placement import held_bytes, loading

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PIN = "sha256:"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_NAMED = 4
"""Of the tensors that are wrong, so many are named."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model.

    Args:
        path: hub name, local folder with safetensors weights, or a ``.gguf`` file.
        revision: pins the weights: a commit of the hub, or ``sha256:…`` of local files (see `fingerprint`); "" for none.
        dtype: one of `DTYPES`.
        quantize: "", or a way in which weights are quantised while they are read (`lm.placement.BITS`).
    """

    path: str
    revision: str = ""
    dtype: str = "float32"
    quantize: str = ""

    @property
    def at_hand(self) -> bool:
        """Whether its files are here and are read in a moment: a local folder, or a model of the hub in the cache."""
        if self._local() is not None:
            return Path(self.path).expanduser().is_dir()
        cached = (try_to_load_from_cache(self.path, name, revision=self.revision or None) for name in _WEIGHTS)
        return any(isinstance(file, str) for file in cached)

    def require_reachable(self) -> None:
        """Refuse a name on the hub whose files are not here and cannot be downloaded. Downloads its configuration and its
        tokenizer, which are small, and no weights."""
        if self._local() is None and not self.at_hand:
            self.config()
            self.tokenizer()

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer as it is."""
        tokenizer: PreTrainedTokenizerBase = self._fetch(AutoTokenizer.from_pretrained)
        return tokenizer

    def config(self, changes: Mapping[str, int] | None = None) -> PreTrainedConfig:
        """The model's configuration, for as many rows of embeddings as there are tokens (see `lm.loaded.trimmed`).

        Args:
            changes: entries that are different.

        Raises:
            ConfigError: there is no such entry.
        """
        config: PreTrainedConfig = self._fetch(AutoConfig.from_pretrained)
        for name, value in (changes or {}).items():
            if not hasattr(config, name):
                raise ConfigError("from_scratch", name, f"is no entry of a {config.model_type} configuration")
            setattr(config, name, value)
        return config if "vocab_size" in (changes or {}) else without_spare_rows(config, self._tokens())

    def model(self, device: str = "cpu") -> PreTrainedModel:
        """The weights, on the CPU or where `lm.placement.loading` puts them, without rows of embeddings that stand for no
        token (see `lm.loaded.trimmed`).

        Raises:
            ConfigError: nothing there, or a tensor of the model is missing or has another shape (one that is tied to
                another need not be there).
        """
        model: PreTrainedModel = self._whole(**loading(device, self.quantize, DTYPES[self.dtype]))
        return trimmed(model if self.quantize else forget_quantization(model), self._tokens())

    def _tokens(self) -> int:
        """How many ids the tokenizer has; 0 for a GGUF file, which has a row for each and takes long to read."""
        return 0 if self.path.endswith(".gguf") else token_ids(self.tokenizer())

    def ends(self) -> tuple[int, ...]:
        """Ids at which its generation configuration ends a turn; () where it has none."""

        def load(pretrained_model_name_or_path: str, trust_remote_code: bool, **where: Any) -> GenerationConfig:
            return GenerationConfig.from_pretrained(pretrained_model_name_or_path, **where)

        try:
            given = self._fetch(load).eos_token_id
        except ConfigError:
            return ()
        return tuple(given) if isinstance(given, list) else () if given is None else (given,)

    def check_tensors(self) -> None:
        """Raise what `model` would, without reading a weight; does nothing where the package ``accelerate`` is missing."""
        if find_spec("accelerate"):
            self._whole(device_map="meta")

    def check_shape(self, changes: Mapping[str, int]) -> None:
        """Raise `ConfigError` where no model can be built with these entries changed, or none that reads a text. Nothing is
        computed."""
        config = self.config(changes)
        try:
            with _quiet(), torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config)
                model(torch.zeros(1, 2, dtype=torch.int64))
        except NotImplementedError:  # an architecture that looks at numbers on its way: seen when it is loaded
            return
        except (ValueError, RuntimeError, TypeError, ArithmeticError, LookupError, AssertionError) as error:
            line = " ".join(str(error).split())[:200]
            raise ConfigError("from_scratch", dict(changes), f"no model has this shape: {line}") from error

    def weight_bytes(self, changes: Mapping[str, int] | None = None) -> int:
        """Size of the weights, from the configuration of a local folder alone; 0 for other paths.

        Args:
            changes: entries of the model's configuration that are different.
        """
        folder = Path(self.path).expanduser()
        other = tuple((changes or {}).items())
        return _weight_bytes(folder, self.dtype, self.quantize, other) if folder.is_dir() else 0

    def _whole(self, **how: Any) -> Any:
        load = partial(
            AutoModelForCausalLM.from_pretrained,
            dtype=DTYPES[self.dtype],
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that all are found, and not the first one only
            **how,
        )
        model, found = self._fetch(load)
        wrong = [f"{name} is missing" for name in sorted(found["missing_keys"])]
        wrong += [f"{name} is {list(has)}, not {list(want)}" for name, has, want in sorted(found["mismatched_keys"])]
        more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        require(not wrong, "path", self.path, f"its weights are not the model's: {', '.join(wrong[:_NAMED])}{more}")
        return model

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
        require(local, "revision", self.revision, f"local files are pinned by {_PIN}…, see lm.checkpoint.fingerprint")
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
        known = file.stat()
        whole.update(_digest(file.resolve(), known.st_size, known.st_mtime_ns))
    return _PIN + whole.hexdigest()


@lru_cache(maxsize=1024)
def _digest(file: Path, size: int, changed: int) -> bytes:
    """Of one file; tokenizer, configuration and weights are fetched one by one, and gigabytes hashed once."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of loading, which would break those of the run (GGUF loading writes its own, to stderr), and
    without a report of tensors, which a `ConfigError` names."""
    shown, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()


@lru_cache(maxsize=64)
def _weight_bytes(folder: Path, dtype: str, quantize: str, changes: tuple[tuple[str, int], ...]) -> int:
    try:
        with _quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            for name, value in changes:
                setattr(config, name, value)
            model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
            model.tie_weights()  # which transformers 5.0 leaves undone here
    except (OSError, ValueError, ImportError, KeyError):  # said in words when it is loaded
        return 0
    return held_bytes(model, quantize)
