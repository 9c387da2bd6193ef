"""Logits that say little of the context beyond the token: a learned linear map of them, folded into the output layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.errors import ConfigError, require
from defenses.base import Defense, Preparation, Prepared, Serving
from defenses.strength import Strength
from lm.later import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from defenses.serving.head import HeadStates
    from lm.language_model import LanguageModel

WIDEST = 8192
"""Tokens up to which the map may be a full matrix: with its gradient and Adam's moments it then takes 1 GiB."""
LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class CmiTransform(Defense):
    """Serves softmax(M z) instead of softmax(z), where M minimises CE(Y, softmax(M z)) + λ·I(X; Ŷ | Y).

    From the paper (of which only the abstract could be read here): that the information about the query X in the logits
    given the label Y is what distillation lives on, and that a matrix learnt for the logits removes it while utility is
    kept. From Yang et al. (arXiv 2309.09123): the estimate I(X; Ŷ | Y) = E KL(P_X ‖ Q_Y), with P_X = softmax(M z) and Q_y
    the mean of P_X where the label is y.

    This project's own: X is the prompt with the text so far and Y the token that the teacher said next, in correct traces
    of its own; utility is their cross-entropy, added and not a constraint; Q_y is the mean in each batch, so that a token
    that is said once there counts as 0 and the estimate is too small by about 1/(times that a token is said); all means go
    by the weights of the tokens, at temperature 1. M = 1 + D starts at the identity, with D a full matrix, or at most of
    rank ``rank``. It is folded into the output layer (weight M W, bias M b), so text and sold logprobs are of one
    distribution; the trunk's hidden states are computed once (`defenses.serving.head`).

    Adam without weight decay at a constant rate. Prepared: ``left`` (V, V), D itself, or (V, r), and ``right`` (r, V), whose
    product is D; nothing at λ = 0, where the teacher itself is served.

    Args:
        lam: λ, at least 0.
        rank: r, at least 0; 0 for a full matrix, which larger vocabularies cannot have.
        steps: of training M.
        lr: learning rate, positive.
        batch: traces a step.
        traces: clean traces to train on.

    Raises:
        ConfigError: on preparing, when the vocabulary is too large for a full matrix, when the teacher's logits are more
            than an output layer of its hidden states, or when training diverges.
    """

    name: ClassVar[str] = "cmi_transform"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Fang et al. 2026, arXiv 2602.03396"
    checked: ClassVar[str] = "the estimate as a difference of entropies, label by label; its gradient by autograd"
    strength: ClassVar[Strength | None] = Strength("lam", 0, 10)

    lam: float
    rank: int = 0
    steps: int = 200
    lr: float = 0.001
    batch: int = 32
    traces: int = 512

    def __post_init__(self) -> None:
        require(0 <= self.lam < float("inf"), "lam", self.lam, "must be at least 0 and finite")
        require(self.rank >= 0, "rank", self.rank, "must be at least 0; 0 is a full matrix")
        require(self.steps >= 1, "steps", self.steps, "must be at least 1")
        require(0 < self.lr < float("inf"), "lr", self.lr, "must be positive and finite")
        require(self.batch >= 1, "batch", self.batch, "must be at least 1")
        require(self.traces >= 1, "traces", self.traces, "must be at least 1")

    def prepare(self, context: Preparation) -> Prepared:
        """The factors of M - 1, in 32 bits."""
        from defenses.serving.head import HeadStates

        if self.lam == 0:
            return {}
        rows = context.clean_traces(self.traces)
        try:
            states = HeadStates.of(context.teacher, rows)
        except ValueError as error:
            kind = type(context.teacher.model).__name__
            raise ConfigError("defense.cmi_transform", kind, str(error)) from error
        factors = self._identity(states.head(states.hidden_Nd[:1]).shape[1], context.rng, states.hidden_Nd.device)
        optimizer = torch.optim.Adam(factors.values(), lr=self.lr)
        for step in range(self.steps):
            chosen = context.rng.choice(len(rows), min(self.batch, len(rows)), replace=False)
            loss, information = objective(states, factors, chosen)
            total = loss + self.lam * information
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            fine = bool(torch.isfinite(total))
            require(fine, "defense.cmi_transform.lam", self.lam, f"makes training diverge at lr={self.lr}")
            note = f"loss {loss.item():.3f}, information {information.item():.3f} nats" if step % 10 == 0 else ""
            context.progress(step + 1, self.steps, note)
        return {name: p.detach().cpu() for name, p in factors.items()}

    def serve(self, serving: Serving) -> LanguageModel:
        """The teacher with M folded into its output layer; the trunk's weights are shared with it and left as they are."""
        from defenses.serving.head import with_head

        if self.lam == 0:
            return serving.teacher
        head = serving.teacher.model.get_output_embeddings()
        factors = {name: serving.prepared[name] for name in (LEFT, RIGHT) if name in serving.prepared}
        with torch.no_grad():
            folded = {
                name: mapped(factors, p.float().cpu().view(len(p), -1).T).T.reshape(p.shape)
                for name, p in head.named_parameters()
            }
        return with_head(serving.teacher, folded)

    def _identity(self, width: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        """Factors of D = 0. Those of a low rank start as LoRA's do: one is 0 and the other random."""
        if not self.rank:
            field, why = "defense.cmi_transform.rank", f"must be at least 1 for {width} tokens (full up to {WIDEST})"
            require(width <= WIDEST, field, self.rank, why)
            return {LEFT: torch.zeros(width, width, device=device, requires_grad=True)}
        require(self.rank <= width, "defense.cmi_transform.rank", self.rank, f"must be at most {width}, the vocabulary")
        right_rV = torch.from_numpy(rng.normal(size=(self.rank, width)).astype(np.float32) / width**0.5).to(device)
        left_Vr = torch.zeros(width, self.rank, device=device)
        return {LEFT: left_Vr.requires_grad_(True), RIGHT: right_rV.requires_grad_(True)}


def mapped(factors: Mapping[str, Tensor], z_NV: Tensor) -> Tensor:
    """(N, V) M z of each row z, of logits or of an output layer's transposed weight and bias."""
    inner = z_NV @ factors[RIGHT].T if RIGHT in factors else z_NV
    return z_NV + inner @ factors[LEFT].T


def objective(states: HeadStates, factors: Mapping[str, Tensor], rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and information of the mapped logits on these traces, in nats, by the weights of the tokens."""
    examples, device = states.rows, states.hidden_Nd.device
    at = examples.completions.value_index(rows)
    at = at[examples.weight[at] > 0]
    with torch.no_grad():
        logits_NV = states.head(states.hidden_Nd[torch.from_numpy(at).to(device)])
    said_N = torch.from_numpy(examples.completions.values[at].astype(np.int64)).to(device)
    weight_N = torch.from_numpy(examples.weight[at]).to(device)
    logp_NV = torch.log_softmax(mapped(factors, logits_NV), -1)
    share_N = weight_N / weight_N.sum().clamp_min(1e-9)
    loss = -(share_N * logp_NV.gather(1, said_N[:, None])[:, 0]).sum()
    return loss, conditional_information(logp_NV, said_N, share_N)


def conditional_information(logp_NV: Tensor, label_N: Tensor, share_N: Tensor) -> Tensor:
    """Σ share·KL(P ‖ Q_label), Q_y the mean of P over the rows with label y by their shares (positive, of sum 1); nats."""
    labels, row_N = label_N.unique(return_inverse=True)
    with torch.no_grad():  # Q_y minimises what it is in, so nothing flows through it
        p_NV = logp_NV.exp() * share_N[:, None]
        total_Y = share_N.new_zeros(len(labels)).index_add(0, row_N, share_N)
        q_YV = p_NV.new_zeros(len(labels), p_NV.shape[1]).index_add(0, row_N, p_NV) / total_Y[:, None]
        logq_YV = q_YV.clamp_min(torch.finfo(q_YV.dtype).tiny).log()
    return (share_N * (logp_NV.exp() * (logp_NV - logq_YV[row_N])).sum(-1)).sum()
