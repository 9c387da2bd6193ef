"""Training an output head alone: the hidden states of the frozen trunk before it, computed once, a step on them, and the
model with another head. Knows no defense."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from lm.batch import collate
from lm.batches import LOGITS_PER_BATCH, length_batches
from lm.examples import Examples
from lm.types import Channel

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

TEMPERATURE = 2.0
"""At which teacher and student are compared."""


@dataclass(frozen=True)
class HeadStates:
    """What an output head reads before each completion token.

    Args:
        head: a copy of it in at least 32 bits, a linear layer.
        hidden_Nd: (N, d) hidden states, rows in order of the examples' completion tokens.
        rows: the examples.
    """

    head: nn.Module
    hidden_Nd: Tensor
    rows: Examples

    @classmethod
    @torch.no_grad()
    def of(cls, lm: LanguageModel, rows: Examples) -> HeadStates:
        """Run the trunk over all rows.

        Raises:
            ValueError: the model's logits are not what its output layer gives (scaled or capped afterwards).
        """
        read: list[Tensor] = []
        head = lm.model.get_output_embeddings()
        watch = head.register_forward_pre_hook(lambda module, given: read.append(given[0]))
        pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else int(lm.ends[0])
        total = rows.prompts.lengths + rows.completions.lengths
        found: Tensor | None = None
        try:
            for part in length_batches(total, min(lm.batch_tokens, max(1, LOGITS_PER_BATCH // lm.vocabulary))):
                batch = collate(rows, part, pad, lm.device)
                inputs: dict[str, Any] = {"input_ids": batch.input_BT, "attention_mask": batch.mask_BT}
                logits_BTV = lm.model(**inputs, use_cache=False).logits
                hidden_BTd = read[-1]
                completions = rows.completions.take(part)
                prompt = rows.prompts.lengths[part][completions.row_of_value]
                line, column = (
                    torch.from_numpy(i).to(lm.device)
                    for i in (completions.row_of_value, prompt + completions.position - 1)
                )
                here_nd = hidden_BTd[line, column]
                if not torch.allclose(head(here_nd[:64]), logits_BTV[line[:64], column[:64]], rtol=1e-2, atol=1e-2):
                    raise ValueError("its logits are not those of its output layer, and only that can be tuned")
                read.clear()
                if found is None:
                    found = here_nd.new_empty((len(rows.completions.values), here_nd.shape[1]), dtype=torch.float32)
                found[torch.from_numpy(rows.completions.value_index(part)).to(lm.device)] = here_nd.float()
        finally:
            watch.remove()
        assert found is not None, "no rows"
        return cls(copy.deepcopy(head).float(), found, rows)


@torch.no_grad()
def with_head(lm: LanguageModel, parameters: Mapping[str, Tensor]) -> LanguageModel:
    """The model with these parameters of its output head; a head that is tied to the input embedding is untied. All other
    weights are shared with it and left as they are."""
    shared = {id(tensor): tensor for tensor in (*lm.model.parameters(), *lm.model.buffers())}
    model = copy.deepcopy(lm.model, shared)  # modules of its own around the same tensors
    head = copy.deepcopy(lm.model.get_output_embeddings())
    for name, parameter in head.named_parameters():
        parameter.copy_(parameters[name])
    model.set_output_embeddings(head)
    model.config.tie_word_embeddings = False
    return lm.with_model(model.eval())


class HeadTuning:
    """Adam on the teacher's head.

    Args:
        teacher: its head is trained, in place of the copy.
        student: its head stays.
        alpha: what KL(teacher ‖ student) is multiplied by.
        shared: how many tokens both know, the first of each.
    """

    def __init__(self, teacher: HeadStates, student: HeadStates, alpha: float, shared: int) -> None:
        self.teacher, self.student, self.alpha, self.shared = teacher, student, alpha, shared
        self.head = teacher.head.requires_grad_(True)
        self._optimizer = torch.optim.Adam(self.head.parameters())

    def step(self, rows: NDArray[np.integer], lr: float) -> float:
        """One step on these traces; returns the loss before it."""
        loss, divergence = self.parts(rows)
        total = loss - self.alpha * divergence
        self._optimizer.zero_grad()
        total.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        return float(total.detach())

    def parts(self, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy, by the weights of the targets, and mean KL over the tokens of the working; each is 0 where
        these traces have none."""
        examples, device = self.teacher.rows, self.teacher.hidden_Nd.device
        at = examples.completions.value_index(rows)
        learnt = examples.weight[at] > 0
        at, working = at[learnt], (examples.channel[at] == Channel.TRACE)[learnt]
        where = torch.from_numpy(at).to(device)
        logits_nV = self.head(self.teacher.hidden_Nd[where])
        target_n = torch.from_numpy(examples.completions.values[at].astype(np.int64)).to(device)
        weight_n = torch.from_numpy(examples.weight[at]).to(device)
        each_n = cross_entropy(logits_nV, target_n, reduction="none")
        loss = (each_n * weight_n).sum() / weight_n.sum().clamp_min(1e-9)
        if not working.any():
            return loss, logits_nV.sum() * 0
        ours = log_softmax(logits_nV[torch.from_numpy(working).to(device)][:, : self.shared] / TEMPERATURE, -1)
        with torch.no_grad():
            hidden_md = self.student.hidden_Nd[torch.from_numpy(at[working]).to(self.student.hidden_Nd.device)]
            theirs = log_softmax(self.student.head(hidden_md)[:, : self.shared] / TEMPERATURE, -1).to(device)
        return loss, (ours.exp() * (ours - theirs)).sum(-1).mean()
