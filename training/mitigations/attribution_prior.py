"""Attribution prior: expected gradients must give words outside the rationale no credit.

Erion, Janizek, Sturmfels, Lundberg and Lee, "Improving performance of deep learning models with axiomatic attribution
priors and expected gradients", Nature Machine Intelligence 2021, arXiv 1906.10670: CE + lambda * Omega(phi), with
phi_i(x) = E over x' ~ D, alpha ~ U(0, 1) of [(x_i - x'_i) * df(x' + alpha (x - x')) / dx_i], estimated with one
reference x' and one alpha per text and step.

Ours: Omega is the mean |phi_i| over the pieces outside the rationale (phi summed over the embedding), the term that
Joshi et al., "ER-Test", Findings of EMNLP 2022, put on such tokens; the paper's own priors for images and tables say
nothing about text. x' is another text of the batch, piece by piece, and the mask token where that text has no word;
special tokens stay x's. f is the label's logit less the largest other one, which is what the suite explains. x and x'
are inputs: the penalty does not move the embedding table. For tagging f is averaged over the labelled entity pieces.
Where data bring no rationales, pseudo-rationales stand in (training/mitigations/_rationales.py, resource
`vader-lexicon`).

It trains on the suite's headline explainer, integrated gradients, which therefore cannot judge it. Two forward passes a
step and a second derivative. The counted passes leave the latter out: f is linear in the logits it is counted at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.hooks import IGNORE, Batch, Context, Forward, Output, State
from training.mitigations import _rationales
from training.task import Example

FAMILY = "interpretability"
SOURCE = "Erion et al. 2021, arXiv 1906.10670"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")
TRAINED_ON_EXPLAINERS = ("integrated_gradients", "gradient_shap")
USES = ("training/resources.lock",)


@dataclass(frozen=True)
class Config:
    weight: float = 1.0
    """lambda >= 0, the weight of the penalty; the largest of 0.1, 1 and 10 at which BERT-tiny still learnt
    movie_reviews (250 steps, validation accuracy)."""

    def __post_init__(self) -> None:
        _rationales.check_weight(self.weight)


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    return _rationales.with_rationales(examples, context)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    output = forward(batch)
    if batch.rationale is None:
        return output
    rows = len(batch.labels)
    turn = int(torch.randint(1, rows, (1,), generator=state.generator)) if rows > 1 else 0
    alpha = torch.rand(rows, 1, 1, generator=state.generator)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
        found = attributions(forward, batch, reference(state, batch, turn), state.embed(batch), alpha, output.logits)
    penalty = _rationales.mean_over(found.abs(), _rationales.outside(batch))
    return Output(output.loss + config.weight * penalty, output.logits)


def reference(state: State, batch: Batch, turn: int) -> torch.Tensor:
    """x' (n, length, hidden): at words of each text the piece of the text `turn` rows on, elsewhere the text's own."""
    mask_id = getattr(state.tokenizer, "mask_token_id", None)
    if mask_id is None:
        mask_id = getattr(state.tokenizer, "unk_token_id", None) or 0
    own = state.embed(batch).detach()
    mask = state.module.get_input_embeddings()(torch.full_like(batch.input_ids[:1, :1], mask_id))  # type: ignore[operator]
    there = batch.word_mask.roll(-turn, dims=0) == 1 if turn else torch.zeros_like(batch.word_mask, dtype=torch.bool)
    other = torch.where(there.unsqueeze(-1), own.roll(-turn, dims=0), mask.detach())
    return torch.where(batch.word_mask.unsqueeze(-1) == 1, other, own)


def attributions(
    forward: Forward, batch: Batch, start: torch.Tensor, end: torch.Tensor, alpha: torch.Tensor, clean: torch.Tensor
) -> torch.Tensor:
    """phi (n, length) at x' + alpha (x - x'), x' being `start` and x `end`; differentiable in the parameters."""
    step = end.detach() - start
    point = (start + alpha.to(step) * step).requires_grad_()
    moved = forward(batch.with_embeddings(point)).logits.float()
    known = batch.labels.masked_fill(batch.labels == IGNORE, 0).unsqueeze(-1)
    rival = clean.detach().scatter(-1, known, -torch.inf).argmax(dim=-1, keepdim=True)
    margin = (moved.gather(-1, known) - moved.gather(-1, rival)).squeeze(-1)
    return (step * _rationales.gradient(_rationales.per_text(margin, batch), point)).sum(dim=-1)
