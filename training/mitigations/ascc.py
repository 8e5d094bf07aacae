"""ASCC: the prediction must not move when each word becomes the worst mixture of itself and its near synonyms.

Dong, Luu, Ji and Liu, "Towards Robustness Against Natural Language Word Substitutions", ICLR 2021, arXiv 2107.13541:
word i becomes sum_j p_ij E(s_ij), p_i = softmax(w_i) over itself and its synonyms, a point of their convex hull. Some
steps of Adam on w maximise KL(f(e) || f(e')) - alpha * H(p), H the mean entropy, which draws p to a corner of the hull,
that is to a real word. Then CE(f(e)) + beta * KL(f(e) || f(e')) is minimised, p held constant and the embeddings not.

alpha = 10, beta = 4 and 5 steps are the defaults of the TextDefender code for BERT (Li et al. 2021, arXiv 2108.12777);
one re-run (Raina et al. 2024, arXiv 2402.17509) has beta = 40. Adam's rate 1 is the authors' code's for BERT.

Deviations: synonyms are near words in GloVe counter-fitted to WordNet (the authors': other counter-fitted vectors)
that are single pieces of the vocabulary; 7 of a film review's 25 pieces have any. H is the mean over those. For tagging
only words outside entities are mixed. Dropout stays on in the search and is drawn anew in each pass; w has no weight
decay. 7 forward and 7 backward passes a step; 5 of the latter go back to w only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import divergence
from training.mitigations._substitutes import Substitutes, near, remembered

FAMILY = "adversarial"
SOURCE = "Dong et al. 2021, arXiv 2107.13541"
PASSES = (7, 7)
VERSION = 1
TASKS = ("classification", "tagging")
NEEDS = ("stopwords", "vectors")
USES = ("attacks/lexicon.py", "attacks/vectors.py", "attacks/wordnet.py", "attacks/stopwords.py")


@dataclass(frozen=True)
class Config:
    alpha: float = 10.0
    """Weight of the entropy in the search, >= 0; TextDefender's."""
    beta: float = 4.0
    """Weight of the divergence in the loss, >= 0; TextDefender's."""
    steps: int = 5
    """Steps of Adam on the mixture's weights, 1..50; TextDefender's."""
    rate: float = 1.0
    """Adam's learning rate on the mixture's weights, > 0; the authors' code's for BERT."""
    candidates: int = 8
    """Near synonyms of a word at most, 1..50; the suite's, untuned."""
    cosine: float = 0.7
    """Least cosine of a near synonym, 0 <= cosine <= 1; that of the suite's TextFooler."""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("steps", "candidates"):
            if not 1 <= getattr(self, name) <= 50:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 1..50")
        if not 0 < self.rate < 1e3:
            raise ValueError(f"rate is {self.rate}; it must lie in 0 < rate < 1000")
        if not 0 <= self.cosine <= 1:
            raise ValueError(f"cosine is {self.cosine}; it must lie in 0 <= cosine <= 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    known = remembered(state, "ascc", lambda: near(state.context.lexicon(), config.candidates, config.cosine))
    clean = forward(batch)
    places = known.places(state, batch)
    log_p = _search(forward, state, batch, clean.logits.detach(), places, known, config)
    moved = forward(batch.with_embeddings(mixed(state.embed(batch), _hull(state, batch, places, known), places, log_p)))
    distance = divergence(clean.logits, moved.logits, batch.labels)
    return Output(clean.loss + config.beta * distance, clean.logits)


def _search(
    forward: Forward,
    state: State,
    batch: Batch,
    target: torch.Tensor,
    places: torch.Tensor,
    known: Substitutes,
    config: Config,
) -> torch.Tensor:
    """log p, (words, 1 + most), -inf where a word has fewer synonyms."""
    counts = known.counts[batch.input_ids[places]].unsqueeze(1)
    missing = torch.arange(known.ids.shape[1], device=counts.device) > counts
    embeddings, hull = state.embed(batch).detach(), _hull(state, batch, places, known).detach()
    # as the authors draw them: N(0, 2 / (length * synonyms)), nearly even weights
    scale = (2 / (batch.input_ids.shape[1] * known.ids.shape[1])) ** 0.5
    weights = (torch.randn(missing.shape, generator=state.generator) * scale).to(target.device).requires_grad_()
    adam = torch.optim.Adam([weights], lr=config.rate)
    for _ in range(config.steps):
        log_p = log_softmax(weights, missing)
        moved = forward(batch.with_embeddings(mixed(embeddings, hull, places, log_p)))
        gain = divergence(target, moved.logits, batch.labels) * len(target) - config.alpha * entropy(log_p)
        (weights.grad,) = torch.autograd.grad(-gain, weights)
        adam.step()
    return log_softmax(weights.detach(), missing)


def log_softmax(weights: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(weights.masked_fill(missing, -torch.inf), dim=1)


def entropy(log_p: torch.Tensor) -> torch.Tensor:
    """Mean of -sum p log p over the words, 0 log 0 = 0; 0 without words."""
    return -(log_p.exp() * log_p.clamp_min(-1e4)).sum() / max(1, len(log_p))


def _hull(state: State, batch: Batch, places: torch.Tensor, known: Substitutes) -> torch.Tensor:
    """(words, 1 + most, hidden): the embeddings of each word of `places` and its synonyms."""
    return state.module.get_input_embeddings()(known.ids[batch.input_ids[places]])  # type: ignore[operator]


def mixed(embeddings: torch.Tensor, hull: torch.Tensor, places: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """`embeddings` with E(s_0) of each word of `places` replaced by sum_j p_j E(s_j)."""
    shift = torch.zeros_like(embeddings)
    shift[places] = ((log_p.exp().unsqueeze(-1) * hull).sum(dim=1) - hull[:, 0]).to(shift.dtype)
    return embeddings + shift
