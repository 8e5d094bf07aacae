"""Explains texts: batches them, runs one method over a frozen module, sums sub-words into words.

What is explained is the logit margin f(x) = logit[target] - logit[other]. `other` is the strongest rival on
the unperturbed input and stays the same while the input changes, so f is linear in the logits: multiplying
them by a constant multiplies every score by it and no rank moves. The baseline x' has every word piece
replaced by the embedding of [MASK]; special tokens and padding are equal in x and x' and so get no share.

A method is a module of `explain.methods` with

    VERSION: int                      raised whenever scores change
    TASKS: tuple[str, ...]            ("classification",)
    HAS_COMPLETENESS: bool            whether scores promise to sum to f(x) - f(x')
    Config                            frozen dataclass; Config() gives the defaults
    attribute(batch, config) -> (b, t) float tensor, one score per token of `batch`

A method that scores whole words calls `batch.place` to put each score on the word's first piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from explain.attribution import Attribution
from explain.inputs import Encoded, Explainable, encode, frozen
from explain.metrics import completeness_error


@dataclass(frozen=True, eq=False)
class Batch:
    """What a method gets: b texts, t tokens (right-padded), d embedding width.

    inputs, baselines (b, t, d) float32; attention_mask, word_of (b, t) int64 (word_of is -1 outside words);
    targets, others (b,) int64; margins, baseline_margins (b,) float32; seeds: one per text, from (seed, text)
    alone; rows: the most rows one forward may hold, b at least.
    """

    model: Explainable
    inputs: Tensor
    baselines: Tensor
    attention_mask: Tensor
    word_of: Tensor
    targets: Tensor
    others: Tensor
    margins: Tensor
    baseline_margins: Tensor
    seeds: tuple[int, ...]
    rows: int

    def forward(self, embeds: Tensor, attention_mask: Tensor, targets: Tensor, others: Tensor) -> Tensor:
        """embeds (m, t, d) and per-row attention_mask (m, t), targets, others (m,) -> margins (m,)."""
        return _margins(self.model.logits(embeds, attention_mask), targets, others)

    def select(self, rows: Sequence[int]) -> Batch:
        """The same batch with only these rows."""
        kept = torch.tensor(list(rows), dtype=torch.long)  # on the CPU it indexes tensors of any device
        names = ("inputs", "baselines", "attention_mask", "word_of", "targets", "others", "margins", "baseline_margins")
        parts: dict[str, Any] = {name: getattr(self, name)[kept] for name in names}
        return replace(self, **parts, seeds=tuple(self.seeds[row] for row in rows))

    def place(self, scores: Sequence[Sequence[float]]) -> Tensor:
        """One list of word scores per text -> (b, t), each on its word's first piece, zero elsewhere."""
        placed = torch.zeros(self.word_of.shape, dtype=torch.float64)
        for row, values in enumerate(scores):
            seen = self.word_of[row].tolist()
            for word, value in enumerate(values):
                placed[row, seen.index(word)] = value
        return placed


class Method(Protocol):
    """The shape of a module in `explain.methods`."""

    VERSION: int
    TASKS: tuple[str, ...]
    HAS_COMPLETENESS: bool
    Config: Any

    def attribute(self, batch: Batch, config: Any) -> Tensor:
        """One score per token, (b, t)."""


def text_seed(seed: int, text: str) -> int:
    """A 63-bit seed from (seed, text) alone, so that neither order nor batch changes a random choice."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode()).digest()[:8], "big") >> 1


def explain(
    model: Explainable,
    texts: Sequence[str],
    explainer: Method | Any,
    *,
    targets: Sequence[int] | None = None,
    config: Any = None,
    seed: int = 0,
    batch_tokens: int = 4096,
) -> list[Attribution]:
    """One Attribution per text, in the order of `texts`.

    explainer: a module of explain.methods. targets: class indices; None explains each predicted class.
    config: the method's Config; None takes its defaults. batch_tokens: padded tokens in one forward (one
    text is always let in), which bounds memory. The module is run in eval mode with frozen parameters and
    is given back as it was. Raises ValueError on an empty text, a bad target or logits that are not finite.
    """
    if targets is not None and len(targets) != len(texts):
        raise ValueError(f"{len(targets)} targets for {len(texts)} texts: give one target per text, or none")
    if batch_tokens < 1:
        raise ValueError(f"batch_tokens is {batch_tokens}: give 1 or more")
    settings = explainer.Config() if config is None else config
    encoded = [encode(model, text) for text in texts]
    done: dict[int, Attribution] = {}
    with frozen(model.module):
        for chunk in _chunks(encoded, batch_tokens):
            wanted = None if targets is None else [targets[index] for index in chunk]
            texts_here = [encoded[index] for index in chunk]
            batch = _batch(model, texts_here, wanted, seed, batch_tokens)
            scores = (
                explainer.attribute(batch, settings).detach().cpu().double()
            )  # in this order: not every device has float64
            for row, index in enumerate(chunk):
                done[index] = _attribution(batch, row, encoded[index], scores[row], explainer.HAS_COMPLETENESS)
    return [done[index] for index in range(len(texts))]


def _chunks(encoded: Sequence[Encoded], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in groups of like length. A group fills an eighth of a forward: methods add a factor of steps."""
    group: list[int] = []
    for index in sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids)):
        longest = len(encoded[index].ids)
        if group and (len(group) + 1) * longest * 8 > batch_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _batch(
    model: Explainable, encoded: Sequence[Encoded], targets: Sequence[int] | None, seed: int, batch_tokens: int
) -> Batch:
    ids = torch.nn.utils.rnn.pad_sequence([e.ids for e in encoded], True, float(model.pad_id))
    word_of = torch.nn.utils.rnn.pad_sequence([e.word_of for e in encoded], True, -1.0)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(e.ids) for e in encoded], True, 0.0)
    inputs = model.embed(ids)
    baselines = model.embed(torch.where(word_of >= 0, model.mask_id, ids))
    mask = mask.to(inputs.device)
    with torch.no_grad():
        logits, masked = model.logits(inputs, mask), model.logits(baselines, mask)
    chosen = _targets(logits, targets)
    others = logits.scatter(1, chosen[:, None], -torch.inf).argmax(1)
    return Batch(
        model=model,
        inputs=inputs,
        baselines=baselines,
        attention_mask=mask,
        word_of=word_of,
        targets=chosen,
        others=others,
        margins=_margins(logits, chosen, others),
        baseline_margins=_margins(masked, chosen, others),
        seeds=tuple(text_seed(seed, e.text) for e in encoded),
        rows=max(len(encoded), batch_tokens // ids.shape[1]),
    )


def _targets(logits: Tensor, targets: Sequence[int] | None) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("the model's logits are not finite: check that its training did not diverge")
    if targets is None:
        return logits.argmax(1)
    classes = logits.shape[1]
    wrong = [target for target in targets if not 0 <= target < classes]
    if wrong:
        raise ValueError(f"target {wrong[0]} given, the model has classes 0 to {classes - 1}")
    return torch.tensor(list(targets), dtype=torch.long, device=logits.device)


def _margins(logits: Tensor, targets: Tensor, others: Tensor) -> Tensor:
    return (logits.gather(1, targets[:, None]) - logits.gather(1, others[:, None])).squeeze(1)


def _attribution(batch: Batch, row: int, encoded: Encoded, tokens: Tensor, complete: bool) -> Attribution:
    owner = encoded.word_of
    summed = torch.zeros(len(encoded.words), dtype=torch.float64)
    summed.index_add_(0, owner[owner >= 0], tokens[: len(owner)][owner >= 0])
    scores = summed.tolist()
    margin, base = float(batch.margins[row]), float(batch.baseline_margins[row])
    return Attribution(
        text=encoded.text,
        words=encoded.words,
        scores=tuple(scores),
        target=int(batch.targets[row]),
        other=int(batch.others[row]),
        margin=margin,
        baseline_margin=base,
        convergence_delta=sum(scores) - (margin - base) if complete else None,
        completeness_error=completeness_error(scores, margin, base) if complete else None,
        dropped=encoded.dropped,
    )
