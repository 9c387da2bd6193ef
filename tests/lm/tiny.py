"""A random Llama of a few thousand weights with a byte-level BPE tokenizer, saved as a Hugging Face folder would be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = [
    "What is 12 + 7? Think step by step. So the total is 19.\nAnswer: 19",
    "<think>3 * 4 = 12 and 12 - 5 = 7.</think>\nAnswer: 7 <|im_end|>",
    "The answer is 3. Hence, it equals 45 or 678, naïve 日本語 🙂.",
]


def tokenizer(size: int = 400, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on a few lines; single digits, as SmolLM2 has."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator((words or TEXT) * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", chat_template=TEMPLATE)


def save(
    folder: Path, size: int = 400, words: list[str] | None = None, template: bool = True, positions: int = 2048
) -> Path:
    """Write model and tokenizer; returns the folder."""
    made = tokenizer(size, words)
    if not template:
        made.chat_template = None
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=made.eos_token_id,
        pad_token_id=made.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.empty(parameter.shape).normal_(0, 0.2, generator=generator))
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def change_tensors(folder: Path, changes: Mapping[str, torch.Tensor | None]) -> Path:
    """Replace tensors of a saved model, or drop those given as None; returns the folder."""
    file = folder / "model.safetensors"
    tensors = load_file(file) | {name: tensor for name, tensor in changes.items() if tensor is not None}
    save_file({n: t for n, t in tensors.items() if changes.get(n, t) is not None}, file, metadata={"format": "pt"})
    return folder


def change_template(folder: Path, template: str) -> Path:
    """Give a saved tokenizer another chat template; returns the folder."""
    (folder / "chat_template.jinja").write_text(template)
    return folder
