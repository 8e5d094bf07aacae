"""Explains texts: batches them, runs one method over a frozen module, sums sub-words into words.

What is explained is the logit margin f(x) = logit[target] - logit[other] (explain.questions: of one class of the
text, or the mean of margins at several places). `other` is the strongest rival on
the unperturbed input and stays the same while the input changes, so f is linear in the logits: multiplying
them by a constant multiplies every score by it and no rank moves. The baseline x' has every word piece
replaced by the embedding of [MASK]; special tokens and padding are equal in x and x' and so get no share.

A method is a module of `explain.methods` with

    VERSION: int                      raised whenever scores change
    TASKS: tuple[str, ...]            ("classification", "tagging")
    HAS_COMPLETENESS: bool            whether scores promise to sum to f(x) - f(x')
    COSTLY: bool                      True where it takes dozens of passes a text (may be left out)
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
from explain.pool import Pool
from explain.questions import Question, ask, indices


@dataclass(frozen=True, eq=False)
class Batch:
    """What a method gets: b texts, t tokens (right-padded), d embedding width.

    inputs, baselines (b, t, d) float32; attention_mask, word_of (b, t) int64 (word_of is -1 outside words);
    targets, others: what is asked, (b,) int64, or (b, k, 2) and (b, k) where places are read (explain.questions);
    margins, baseline_margins (b,) float32; seeds: one per text, from (seed, text) alone; rows: the most rows one
    forward may hold, b at least; questions: one per row, where several may be about one text; pool: answers to
    word masks that others asked for before.
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
    questions: tuple[Question, ...]
    pool: Pool

    def forward(self, embeds: Tensor, attention_mask: Tensor, targets: Tensor, others: Tensor) -> Tensor:
        """embeds (m, t, d) and per-row attention_mask (m, t), targets, others (m, ...) -> margins (m,)."""
        return ask(self.model, embeds, attention_mask, targets, others)

    def select(self, rows: Sequence[int]) -> Batch:
        """The same batch with only these rows."""
        kept = torch.tensor(list(rows), dtype=torch.long)  # on the CPU it indexes tensors of any device
        names = ("inputs", "baselines", "attention_mask", "word_of", "targets", "others", "margins", "baseline_margins")
        parts: dict[str, Any] = {name: getattr(self, name)[kept] for name in names}
        seeds, questions = tuple(self.seeds[row] for row in rows), tuple(self.questions[row] for row in rows)
        return replace(self, **parts, seeds=seeds, questions=questions)

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
    pool: Pool | None = None,
) -> list[Attribution]:
    """One Attribution per text, in the order of `texts`, by a classifier.

    explainer: a module of explain.methods. targets: class indices; None explains each predicted class.
    config: the method's Config; None takes its defaults. batch_tokens: padded tokens in one forward (one
    text is always let in), which bounds memory. pool: shared with other explainers and metrics of the same
    model. The module is run in eval mode with frozen parameters and is given back as it was. Raises
    ValueError on an empty text, a bad target or logits that are not finite.
    """
    if targets is not None and len(targets) != len(texts):
        raise ValueError(f"{len(targets)} targets for {len(texts)} texts: give one target per text, or none")
    if batch_tokens < 1:
        raise ValueError(f"batch_tokens is {batch_tokens}: give 1 or more")
    encoded = [encode(model, text) for text in texts]
    asked = predicted(model, encoded, targets, batch_tokens)
    return answer(model, asked, explainer, config=config, seed=seed, batch_tokens=batch_tokens, pool=pool)


def answer(
    model: Explainable,
    questions: Sequence[Question],
    explainer: Method | Any,
    *,
    config: Any = None,
    seed: int = 0,
    batch_tokens: int = 4096,
    pool: Pool | None = None,
) -> list[Attribution]:
    """One Attribution per question, in order; arguments as for `explain`. Several questions may share a text."""
    settings = explainer.Config() if config is None else config
    pool = Pool(model, batch_tokens) if pool is None else pool
    pool.expect(questions)
    encoded = [question.encoded for question in questions]
    done: dict[int, Attribution] = {}
    with frozen(model.module):
        for chunk in chunks(encoded, batch_tokens):
            batch = batch_of(model, [questions[index] for index in chunk], seed, batch_tokens, pool)
            scores = (
                explainer.attribute(batch, settings).detach().cpu().double()
            )  # in this order: not every device has float64
            for row, index in enumerate(chunk):
                done[index] = _attribution(batch, row, scores[row], explainer.HAS_COMPLETENESS)
    return [done[index] for index in range(len(questions))]


def predicted(
    model: Explainable, encoded: Sequence[Encoded], targets: Sequence[int] | None = None, batch_tokens: int = 4096
) -> list[Question]:
    """A Question per text about its predicted class, or that of `targets`, and the strongest rival.

    Raises ValueError when logits are not finite, a target is no class, or the model is no classifier.
    """
    asked: dict[int, Question] = {}
    with frozen(model.module), torch.no_grad():
        for chunk in chunks(encoded, batch_tokens):
            ids, _, mask = padded(model, [encoded[index] for index in chunk])
            logits = model.logits(model.embed(ids), mask)
            if logits.ndim != 2:
                raise ValueError(f"logits of shape {tuple(logits.shape)}: only classifiers have a class of a text")
            chosen = _targets(logits, None if targets is None else [targets[index] for index in chunk])
            others = logits.scatter(1, chosen[:, None], -torch.inf).argmax(1)
            for index, target, other in zip(chunk, chosen.tolist(), others.tolist(), strict=True):
                asked[index] = Question(encoded[index], (target,), (other,))
    return [asked[index] for index in range(len(encoded))]


def chunks(encoded: Sequence[Encoded], batch_tokens: int) -> Iterator[list[int]]:
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


def padded(model: Explainable, encoded: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """ids, word_of and attention mask, (b, t) each; the mask is where the module is."""
    ids = torch.nn.utils.rnn.pad_sequence([e.ids for e in encoded], True, float(model.pad_id))
    word_of = torch.nn.utils.rnn.pad_sequence([e.word_of for e in encoded], True, -1.0)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(e.ids) for e in encoded], True, 0.0)
    return ids, word_of, mask.to(next(model.module.parameters()).device)


def batch_of(model: Explainable, questions: Sequence[Question], seed: int, batch_tokens: int, pool: Pool) -> Batch:
    """What a method gets for these questions, padded to the longest; call it inside `frozen`."""
    encoded = [question.encoded for question in questions]
    ids, word_of, mask = padded(model, encoded)
    inputs = model.embed(ids)
    baselines = model.embed(torch.where(word_of >= 0, model.mask_id, ids))
    targets, others = (index.to(inputs.device) for index in indices(list(questions)))
    with torch.no_grad():
        here, masked = (ask(model, x, mask, targets, others) for x in (inputs, baselines))
    if not bool(torch.isfinite(torch.stack([here, masked])).all()):
        raise ValueError("the model's logits are not finite: check that its training did not diverge")
    return Batch(
        model=model,
        inputs=inputs,
        baselines=baselines,
        attention_mask=mask,
        word_of=word_of,
        targets=targets,
        others=others,
        margins=here,
        baseline_margins=masked,
        seeds=tuple(text_seed(seed, e.text) for e in encoded),
        rows=max(len(encoded), batch_tokens // ids.shape[1]),
        questions=tuple(questions),
        pool=pool,
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


def _attribution(batch: Batch, row: int, tokens: Tensor, complete: bool) -> Attribution:
    question = batch.questions[row]
    encoded, owner = question.encoded, question.encoded.word_of
    summed = torch.zeros(len(encoded.words), dtype=torch.float64)
    summed.index_add_(0, owner[owner >= 0], tokens[: len(owner)][owner >= 0])
    scores = summed.tolist()
    margin, base = float(batch.margins[row]), float(batch.baseline_margins[row])
    return Attribution(
        text=encoded.text,
        words=encoded.words,
        scores=tuple(scores),
        target=question.targets[0],
        other=question.others[0],
        margin=margin,
        baseline_margin=base,
        convergence_delta=sum(scores) - (margin - base) if complete else None,
        completeness_error=completeness_error(scores, margin, base) if complete else None,
        dropped=encoded.dropped,
    )
