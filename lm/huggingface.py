"""Pretrained causal language models with their chat templates and ways of writing, as configured. Knows nothing of teachers
or students. Parts name such models in their fields, so that nothing that computes is imported before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.content import content_of
from configs.errors import ConfigError, require
from configs.identity import Part, added
from lm.later import torch
from tasks.base import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lm.checkpoint import Checkpoint
    from lm.language_model import LanguageModel
    from lm.marked_format import MarkedFormat

_LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""Files of a folder that loading reads: weights, configurations, tokenizer, chat template."""
_ASKED = 64
"""Prompts of each family and split whose lengths are looked at before anything runs; of these the longest are encoded."""
_ENCODED = 8


@dataclass(frozen=True)
class Pretrained(Part):
    """Which pretrained model, and how its responses read. A part that uses a model besides those of the cell (a rewriter, a
    judge) has it as a field, ``rewriter: Pretrained | None = None``, and opens it with `lm.by_spec.opened`.

    Args:
        path: hub name, local folder with safetensors weights, or a ``.gguf`` file (dequantised on loading).
        revision: pins the weights: a commit of the hub, or ``sha256:…`` of local files (`lm.checkpoint.fingerprint`); ""
            takes what is there. Pin it in published configs: of a name on the hub, stored results know nothing else. Local
            files are known by their content, wherever they lie.
        dtype: float32, bfloat16 or float16. With the last two, greedy text depends on the shape of the batch.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``gpus``: whole layers spread
            over all GPUs, for a model that one cannot hold.
        system: system message put before every prompt; "" leaves it to the chat template.
        chat_template: a Jinja chat template instead of the tokenizer's own, "" for its own, ``plain`` for the words alone,
            as a base model reads them.
        think_open: tag that begins the working, "" for none; see `lm.marked_format.MarkedFormat`. ``auto``: both tags as the
            tokenizer and its chat template tell (`lm.markers`), none where they tell nothing.
        think_close: tag that ends it.
        answer_markers: markers any of which begins the answer where there are no tags; [] for none.
        batch_tokens: tokens (rows x length) processed at once; 0 finds out how many fit by trying (`lm.room`). Half
            precision rounds by the batch, so what is to be the same everywhere names a number.
        quantize: "" for weights as they are, ``8bit`` or ``4bit`` for linear layers rounded by bitsandbytes on loading.
    """

    kind: ClassVar[str] = "model"
    name: ClassVar[str] = "pretrained"
    version: ClassVar[int] = 3
    places: ClassVar[tuple[str, ...]] = ("path",)

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
    quantize: str = added("")

    def __post_init__(self) -> None:
        from lm.checkpoint import DTYPES
        from lm.placement import check_placement

        require(bool(self.path), "path", self.path, "must name a model: hub name, local folder or .gguf file")
        if self.dtype not in DTYPES:
            raise ConfigError("dtype", self.dtype, "is not a number format for weights", DTYPES)
        require(self.batch_tokens >= 0, "batch_tokens", self.batch_tokens, "must be at least 1, or 0 for what fits")
        check_placement(self.device, self.quantize, self.path)

    @property
    def label(self) -> str:
        """Short name for tables: the last part of the path."""
        return Path(self.path).name

    @property
    def origin(self) -> str:
        """Which weights these are: `path` and `revision`."""
        return f"{self.path}@{self.revision}"

    def content(self) -> str:
        """See `configs.identity.Part.content`: of local files, all that loading reads; "" for a name on the hub, whose
        content is what ``revision`` says."""
        return self._content

    @cached_property
    def _content(self) -> str:
        place = Path(self.path).expanduser()
        try:
            if place.is_dir():
                return content_of(file for file in place.iterdir() if file.suffix in _LOADED and file.is_file())
            return content_of([place]) if place.is_file() else ""
        except OSError as error:
            raise ConfigError("path", self.path, f"cannot be read: {error.strerror}") from error

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its files are."""
        from lm.checkpoint import Checkpoint

        return Checkpoint(self.path, self.revision, self.dtype, self.quantize)

    @property
    def changes(self) -> Mapping[str, int]:
        """Entries of the model's configuration that are different here; where there are any, the checkpoint's weights are
        not used."""
        return {}

    @property
    def sizes(self) -> Mapping[str, int]:
        """Entries of the configuration by which this model's sizes differ from the checkpoint's."""
        return self.changes

    def in_use(self) -> int:
        """Bytes of the weights and of what the largest batch takes (`lm.footprint`); 0 where it is not a local folder."""
        from lm.footprint import footprint_of
        from lm.room import UNKNOWN

        found = footprint_of(self.checkpoint, dict(self.sizes))
        return 0 if found is None else found.sampling(self.batch_tokens or UNKNOWN)

    def check(self, task: Task, max_tokens: int) -> None:
        """See `ModelSpec.check`: tensors, tokenizer, chat template, lengths. A ``.gguf`` file, and what has to be
        downloaded first, are examined when they are loaded."""
        if not self.checkpoint.at_hand:
            return
        from lm.language_model import encoded_prompts
        from lm.sizes import require_room

        tokenizer, positions = _examined(self.checkpoint, self.chat_template, self.system, tuple(self.changes.items()))
        asked = encoded_prompts(tokenizer, self.system, _longest(task))
        require_room(positions, asked.lengths, np.full(len(asked), max_tokens))

    def open(self) -> LanguageModel:
        """The pretrained model on its device, in evaluation mode.

        Raises:
            ConfigError: nothing there, not cached and no connection, pickled weights only, weights that do not match
                ``revision`` or the model, no chat template, a slow tokenizer, a missing optional package, or no such device.
        """
        tokenizer = self.tokenizer()
        return self.wrap(self.checkpoint.model(self.device), tokenizer)

    def wrap(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
        """A language model of these parts, on the configured device and in evaluation mode.

        Raises:
            ConfigError: they do not fit each other, or the chat template cannot be filled in.
        """
        from lm.grouped import attend_in_groups
        from lm.half_norm import quick_norms
        from lm.handle import end_ids
        from lm.language_model import LanguageModel
        from lm.loaded import without_dropout
        from lm.placement import placed
        from lm.sizes import require_tokens

        require_tokens(tokenizer, int(model.get_input_embeddings().weight.shape[0]), self.path)
        form = self.format(tokenizer, tuple(end_ids(tokenizer, model).tolist()))
        model = placed(without_dropout(model), self.device).eval()
        attend_in_groups(model)
        quick_norms(model)
        lm = LanguageModel(model, tokenizer, form, self.batch_tokens, self.system)
        return lm if self.batch_tokens else lm.with_batch_tokens()

    def format(self, tokenizer: PreTrainedTokenizerBase, ends: tuple[int, ...]) -> MarkedFormat:
        """How responses read that end with one of these ids."""
        from lm.marked_format import MarkedFormat
        from lm.markers import AUTO, marks_of
        from lm.template import prompt_style

        opens, closes = self.think_open, self.think_close
        if opens == AUTO:
            opens, closes, _ = marks_of(tokenizer)
        after = prompt_style(tokenizer, self.system).after
        return MarkedFormat(tokenizer, opens, closes, self.answer_markers, opening=after, ends=ends)

    @property
    def spread(self) -> bool:
        """Whether it is on all GPUs together."""
        return self.device == "gpus"

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with a chat template, an end of sequence and a padding token."""
        return _tokenizer(self.checkpoint, self.chat_template)

    def torch_device(self) -> torch.device:
        """Where the model's inputs go."""
        from lm.placement import single_device

        return single_device(self.device)


def _tokenizer(checkpoint: Checkpoint, chat_template: str) -> PreTrainedTokenizerBase:
    from lm.spans import backend_of
    from lm.template import PLAIN, give_template

    tokenizer = checkpoint.tokenizer()
    backend_of(tokenizer)
    if chat_template:
        give_template(tokenizer, chat_template)
    reason = f"{checkpoint.path} brings none: give one, or {PLAIN!r} for a model that was never taught to chat"
    require(bool(tokenizer.chat_template), "chat_template", "", reason)
    require(tokenizer.eos_token_id is not None, "path", checkpoint.path, "its tokenizer has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@lru_cache(maxsize=8)
def _examined(
    checkpoint: Checkpoint, chat_template: str, system: str, changes: tuple[tuple[str, int], ...]
) -> tuple[PreTrainedTokenizerBase, int | None]:
    """Tokenizer and number of positions of a checkpoint that is in order; once for all cells of a sweep.

    Raises:
        ConfigError: it is not, or the chat template cannot be filled in.
    """
    from lm.sizes import positions_of, require_tokens
    from lm.template import prompt_style

    tokenizer, config = _tokenizer(checkpoint, chat_template), checkpoint.config(dict(changes))
    require_tokens(tokenizer, getattr(config.get_text_config(decoder=True), "vocab_size", None), checkpoint.path)
    prompt_style(tokenizer, system)
    if changes:
        checkpoint.check_shape(dict(changes))
    else:
        checkpoint.check_tensors()
    return tokenizer, positions_of(config)


def _longest(task: Task) -> tuple[str, ...]:
    """Long prompts among those that attackers and users may ask. What is asked later is compared again, all of it
    (`lm.generate.generate`)."""
    texts = {
        item.prompt
        for split in ("train", "heldout")
        for family in task.families
        for item in task.items(split, family, min(_ASKED, task.size(split, family)), 0)
    }
    return tuple(sorted(texts, key=lambda text: (-len(text), text))[:_ENCODED])
