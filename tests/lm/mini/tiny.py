"""A mini model with random, non-zero weights: its outputs are arbitrary but depend on everything."""

import torch

from lm.from_words import fresh_model, mini_language_model
from lm.language_model import LanguageModel


def tiny(seed: int = 0, width: int = 32, layers: int = 2, scale: float = 0.3) -> LanguageModel:
    model = fresh_model(width, layers, 4, seed)
    noise = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=noise).to(parameter.device)
    return mini_language_model(model)
