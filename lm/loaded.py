"""What is changed of a pretrained model before it is used, so that models of all architectures behave alike here. Knows no
files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def token_ids(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest id of a token."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


def trimmed(model: PreTrainedModel, tokens: int) -> PreTrainedModel:
    """The same model without the rows of its embeddings that stand for no token.

    Many tables are padded to a round number of rows, models of one family to different ones (Qwen2.5: 151,936 up to 3B,
    152,064 above). What a padding row says is noise that a defense can lift above the rest, and a student of the same
    tokenizer with fewer rows could not read it. Changed in place.

    Args:
        model: any causal language model.
        tokens: ids of its tokenizer, 0 where that is not known.
    """
    if 0 < tokens < int(model.get_input_embeddings().weight.shape[0]):
        model.resize_token_embeddings(tokens, mean_resizing=False)
    return model


def without_spare_rows(config: PreTrainedConfig, tokens: int) -> PreTrainedConfig:
    """The configuration of a model that `trimmed` leaves as it is. Changed in place."""
    text = config.get_text_config(decoder=True)
    if 0 < tokens < (getattr(text, "vocab_size", None) or 0):
        text.vocab_size = tokens
    return config


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, which trains without dropout, whatever its configuration says. Changed in place.

    The architectures of today have none; GPT-2's draws from torch's global generator, so that a fit would not give the same
    student twice.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    return model
