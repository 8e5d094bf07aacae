"""A2T: a share of each batch's texts is attacked by swapping words for near ones, and both versions are trained on.

Yoo and Qi, "Towards Improving Adversarial Training of NLP Models", Findings of EMNLP 2021, arXiv 2109.00544: training
minimises L(x) + alpha * L(A(x)), A an attack on the current model: words in the order of the L1 norm of the gradient at
their embeddings, each swapped for the one of its 20 nearest words (cosine at least 0.8) that raises the loss most, if
any does, until the prediction is wrong or 10 % of the words are swapped (4 where that is more). A share gamma of the
texts is attacked. As in the authors' code (TextAttack) each adversarial text weighs alpha times a clean one.

alpha, gamma and the attack's numbers are the authors'; how many words are tried is the suite's.

Deviations: the attack is a batched search in token ids. The suite's attack engine (recipe `a2t`) needs 0.11 s a text,
eight times what BERT-tiny's training costs at this gamma, and once an epoch it would hide from the step times. So no
part of speech and no sentence encoder filters; words and substitutes are single pieces of the vocabulary, near in GloVe
counter-fitted to WordNet; for tagging they lie outside entities. The texts are drawn in each batch, from the first step
on, not once an epoch after a clean one. A text that no swap fools is trained on at its worst, one that is wrong already
as it is. 1 clean pass, 2 over the attacked texts, and for each word tried one over its candidates, forward only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State, cross_entropy
from training.mitigations._substitutes import Substitutes, judging, losses, near, remembered, with_words

FAMILY = "adversarial"
SOURCE = "Yoo and Qi 2021, arXiv 2109.00544"
PASSES = (9, 3)
VERSION = 1
TASKS = ("classification", "tagging")
NEEDS = ("stopwords", "vectors")
USES = ("attacks/lexicon.py", "attacks/vectors.py", "attacks/wordnet.py", "attacks/stopwords.py")
NEAREST, COSINE = 20, 0.8
SHARE, FEW = 0.1, 4


@dataclass(frozen=True)
class Config:
    alpha: float = 1.0
    """Weight of an adversarial text against a clean one, >= 0; the authors'."""
    gamma: float = 0.2
    """Share of each batch's texts that are attacked, 0 < gamma <= 1, at least one text; the authors'."""
    tried: int = 6
    """Words tried in each text, those of the largest gradient first, 1..100; the suite's, untuned."""

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise ValueError(f"alpha is {self.alpha}; it must not be negative")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; it must lie in 0 < gamma <= 1")
        if not 1 <= self.tried <= 100:
            raise ValueError(f"tried is {self.tried}; it must lie in 1..100")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    known = remembered(state, "a2t", lambda: near(state.context.lexicon(), NEAREST, COSINE))
    clean = forward(batch)
    count = math.ceil(config.gamma * len(batch.labels))
    order = torch.randperm(len(batch.labels), generator=state.generator).to(batch.labels.device)
    unlabelled = (batch.labels[order].reshape(len(order), -1) == IGNORE).all(dim=1)
    part = batch.select(order[unlabelled.int().argsort(stable=True)[:count]])
    with judging(state):
        ids = attacked(state, part, known, config.tried)
    hard = forward(with_words(state, part, ids))
    return Output(clean.loss + config.alpha * count / len(batch.labels) * hard.loss, clean.logits)


def attacked(state: State, batch: Batch, known: Substitutes, tried: int) -> torch.Tensor:
    """(n, length) ids of `batch` after the search."""
    ids, places = batch.input_ids, _order(state, batch, known)[:, :tried]
    allowed = (batch.word_mask.sum(dim=1) * SHARE).ceil().clamp_min(FEW)
    swaps = torch.zeros_like(allowed)
    every = torch.arange(len(ids), device=ids.device)
    for step in range(tried):
        place = places[:, step] if step < places.shape[1] else torch.full_like(every, -1)
        open_ = (place >= 0) & (swaps < allowed)
        # of each text the version so far and, where it may go on, one for each substitute of the word
        options = known.ids[ids[every, place.clamp_min(0)]]
        wanted = torch.arange(options.shape[1], device=ids.device) <= known.counts[options[:, 0]].unsqueeze(1)
        wanted &= open_.unsqueeze(1) | (torch.arange(options.shape[1], device=ids.device) == 0)
        text, option = wanted.nonzero(as_tuple=True)
        versions = ids[text].scatter(1, place.clamp_min(0)[text].unsqueeze(1), options[text, option].unsqueeze(1))
        with torch.no_grad():
            each, logits = losses(state, with_words(state, batch.select(text), versions))
        scores = torch.full(wanted.shape, -torch.inf, device=ids.device).index_put((text, option), each)
        wrong = torch.zeros_like(open_)
        if batch.labels.ndim == 1:
            wrong = logits[option == 0].argmax(dim=1) != batch.labels
        best = torch.where(wrong, 0, scores.argmax(dim=1))
        ids = ids.scatter(1, place.clamp_min(0).unsqueeze(1), options[every, best].unsqueeze(1))
        swaps += best > 0
    return ids


def _order(state: State, batch: Batch, known: Substitutes) -> torch.Tensor:
    """(n, words): the places that may be swapped, the largest L1 norm of the gradient first, then -1."""
    embeddings = state.embed(batch).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(state, batch.with_embeddings(embeddings)).loss, embeddings)
    places = known.places(state, batch)
    score = gradient.float().abs().sum(dim=-1).masked_fill(~places, -1.0)
    order = score.argsort(dim=1, descending=True)
    return order.where(places.gather(1, order), -1)
