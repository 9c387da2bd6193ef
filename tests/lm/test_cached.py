"""A model goes on from its own cache by whichever name it knows it; one that knows none is refused."""

import pytest
import torch

from lm.cached import NAMES, CachedModel
from lm.decoder import TorchDecoder
from tests.lm.mini.tiny import tiny


class Output(dict):
    """What a model returns, by key and by attribute."""

    __getattr__ = dict.__getitem__


class Old(torch.nn.Module):
    """Takes and returns its cache as ``past_key_values`` alone, and swallows every other name."""

    name, device = "past_key_values", torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.inner = tiny(scale=0.15).model

    def forward(self, input_ids, attention_mask, past_key_values=None, use_cache=None, **kwargs):
        return self.answer(input_ids, attention_mask, past_key_values)

    def answer(self, ids, mask, cache):
        output = self.inner(ids, attention_mask=mask, cache=cache, use_cache=True)
        found = next(output[name] for name in NAMES if name in output)
        return Output({"logits": output.logits, self.name: found})


class New(Old):
    name = "cache"

    def forward(self, input_ids, attention_mask, cache=None, use_cache=None, **kwargs):
        return self.answer(input_ids, attention_mask, cache)


class Stateful(Old):
    def forward(self, input_ids, attention_mask, state=None, **kwargs):
        return self.answer(input_ids, attention_mask, state)


class Forgetful(Old):
    def forward(self, input_ids, attention_mask, cache=None, **kwargs):
        return Output(logits=self.answer(input_ids, attention_mask, None)["logits"])


@pytest.mark.parametrize("kind", [Old, New])
@torch.no_grad()
def test_texts_grow_under_both_names(kind):
    model, texts = kind(), [[5, 9, 30, 7], [8, 50]]
    decoder = TorchDecoder(model, [torch.tensor(t, dtype=torch.int32).numpy() for t in texts], 0)
    logits = decoder.start()
    for step in range(6):
        for text, row in zip(texts, logits, strict=True):
            alone = model.inner(torch.tensor([text])).logits[0, -1]
            torch.testing.assert_close(row, alone, atol=1e-3, rtol=1e-3)
            text.append(10 + step)
        logits = decoder.next(torch.arange(2).numpy(), torch.tensor([10 + step] * 2))


def test_a_model_without_a_cache_is_refused():
    with pytest.raises(TypeError, match="Stateful takes its cache neither as cache nor as past_key_values"):
        CachedModel(Stateful())
    ids = torch.tensor([[5, 9]])
    with pytest.raises(TypeError, match="Forgetful returned no cache"):
        CachedModel(Forgetful()).read(ids, torch.ones_like(ids))
