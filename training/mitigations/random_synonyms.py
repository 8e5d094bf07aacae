"""Random synonyms, online: of a few random replacements of each text, training takes the one with the largest loss.

Ivgi and Berant, "Achieving Model Robustness through Discrete Adversarial Training", EMNLP 2021, arXiv 2104.05062: at
each step k random replacements of each text are scored by forward passes of the current model, without dropout, and the
loss is clean * L(x) + (1 - clean) * L(worst of the k).

k, the share of the words and `clean` are the suite's and were not tuned; the authors' code tries 50 a text.

Deviations: synonyms are WordNet's, of any sense, not near words of counter-fitted vectors, and no part of speech,
language model or sentence encoder filters them. Words and synonyms are single pieces of the vocabulary, no stop words;
for tagging only words outside entities are replaced. Of a text's pieces a share is replaced, at least one, as far as
they have synonyms. k scoring passes, forward only, and two forward and two backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._substitutes import Substitutes, judging, losses, remembered, synonyms, with_words

FAMILY = "adversarial"
SOURCE = "Ivgi and Berant 2021, arXiv 2104.05062"
PASSES = (7, 2)
VERSION = 1
TASKS = ("classification", "tagging")
NEEDS = ("stopwords", "synonyms")
USES = ("attacks/lexicon.py", "attacks/wordnet.py", "attacks/stopwords.py")


@dataclass(frozen=True)
class Config:
    candidates: int = 5
    """k, random replacements of each text, 1..100; the suite's, untuned (the authors' code: 50)."""
    share: float = 0.25
    """Share of a text's pieces that are replaced, 0 < share <= 1; that of the suite's attack `random_synonym`."""
    clean: float = 0.5
    """Weight of the loss on the text itself, 0 <= clean <= 1; the suite's, untuned."""

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= 100:
            raise ValueError(f"candidates is {self.candidates}; it must lie in 1..100")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share <= 1")
        if not 0 <= self.clean <= 1:
            raise ValueError(f"clean is {self.clean}; it must lie in 0 <= clean <= 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    known = remembered(state, "random_synonyms", lambda: synonyms(state.context.lexicon()))
    worst = with_words(state, batch, _worst(state, batch, known, config))
    clean, hard = forward(batch), forward(worst)
    return Output(config.clean * clean.loss + (1 - config.clean) * hard.loss, clean.logits)


def _worst(state: State, batch: Batch, known: Substitutes, config: Config) -> torch.Tensor:
    """(n, length) ids: for each text the one of k random replacements on which the model's loss is largest."""
    places = known.places(state, batch)
    tries = torch.stack([_replaced(state, batch, places, known, config.share) for _ in range(config.candidates)])
    with torch.no_grad(), judging(state):
        scores = torch.stack([losses(state, with_words(state, batch, ids))[0] for ids in tries])
    return tries[scores.argmax(dim=0), torch.arange(len(batch.input_ids), device=tries.device)]


def _replaced(state: State, batch: Batch, places: torch.Tensor, known: Substitutes, share: float) -> torch.Tensor:
    """(n, length) ids with a random synonym at a share of each text's pieces, drawn among those that have one."""
    order, pick = torch.rand((2, *places.shape), generator=state.generator).to(places.device)
    rank = order.masked_fill(~places, torch.inf).argsort(dim=1).argsort(dim=1)
    chosen = places & (rank < (batch.word_mask.sum(dim=1) * share).round().clamp_min(1)[:, None])
    counts = known.counts[batch.input_ids]
    # in 1..counts; 0, the piece itself, where there is no synonym
    index = 1 + (pick * counts).long().clamp_max(counts - 1)
    other = known.ids[batch.input_ids].gather(2, index.unsqueeze(2)).squeeze(2)
    return torch.where(chosen, other, batch.input_ids)
