"""Layer conductance: the part of f(x) - f(x') that flows through each layer, at each word.

Dhamdhere, Sundararajan and Yan, "How Important Is a Neuron?", 2018, arXiv 1805.12233, equation 2, summed over a token's
hidden vector, for the state h of token i after layer l on the way x' + a (x - x'):

    C_l,i = integral over a in [0, 1] of  df/dh_l,i . dh_l,i/da  da

All layers come from one forward and one backward pass a point. The integral is taken as in Shrikumar, Su and Kundaje,
"Computationally Efficient Measures of Internal Neuron Importance", 2018, arXiv 1807.09946: slopes times the difference
of neighbouring states, with the mean of both ends' slopes ("trapezoid", ours) or the left end's at Gauss-Legendre
points ("captum": numerically Captum's LayerConductance).

Every layer's column sums to f(x) - f(x'), special tokens included: upper layers gather it at [CLS], and in the last one
a classifier of [CLS] has nothing left at the words. Layer 0 is the embedding layer's output; as nothing has mixed there
yet, its words have the scores of integrated gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from explain.engine import Batch, batch_of, predicted
from explain.inputs import Explainable, encode, frozen
from explain.pool import Pool
from explain.questions import Question, margins

Rule = Literal["trapezoid", "captum"]


@dataclass(frozen=True)
class LayerTable:
    """One question's conductance, layers x words, in logits.

    text, words: as in Attribution. layers: "embeddings", "layer 1", ... from the input up. values: (layers, words)
    floats, sub-words summed. special: (layers,) what went through [CLS], [SEP] and the like. margin, baseline_margin:
    f(x) and f(x'). completeness_error: (layers,) |sum of the layer - (f(x) - f(x'))| / max(|f(x) - f(x')|, 1e-6).
    """

    text: str
    words: tuple[str, ...]
    layers: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    special: tuple[float, ...]
    margin: float
    baseline_margin: float
    completeness_error: tuple[float, ...]


def layer_tables(
    model: Explainable,
    texts: Sequence[str],
    *,
    targets: Sequence[int] | None = None,
    n_steps: int = 50,
    rule: Rule = "trapezoid",
    batch_tokens: int = 4096,
) -> list[LayerTable]:
    """One LayerTable per text by a classifier, in order; targets: class indices, None explains each predicted class.

    Raises ValueError as explain.engine.explain does, and for a module that gives no hidden states.
    """
    encoded = [encode(model, text) for text in texts]
    return tables_of(model, predicted(model, encoded, targets, batch_tokens), n_steps, rule, batch_tokens)


def tables_of(
    model: Explainable, questions: Sequence[Question], n_steps: int = 50, rule: Rule = "trapezoid", tokens: int = 4096
) -> list[LayerTable]:
    """One LayerTable per question, in order; tokens: padded tokens in one forward."""
    found = []
    with frozen(model.module):
        for question in questions:
            batch = batch_of(model, [question], 0, tokens, Pool(model, tokens))
            found.append(_table(batch, conductance(batch, 0, n_steps, rule)))
    return found


def _table(batch: Batch, flows: Tensor) -> LayerTable:
    encoded = batch.questions[0].encoded
    margin, base = float(batch.margins[0]), float(batch.baseline_margins[0])
    owner = encoded.word_of
    values = torch.zeros(len(flows), len(encoded.words), dtype=torch.float64)
    values.index_add_(1, owner[owner >= 0], flows[:, owner >= 0])
    off = (flows.sum(1) - (margin - base)).abs() / max(abs(margin - base), 1e-6)
    return LayerTable(
        text=encoded.text,
        words=encoded.words,
        layers=("embeddings", *(f"layer {number}" for number in range(1, len(flows)))),
        values=tuple(tuple(row) for row in values.tolist()),
        special=tuple(flows[:, owner < 0].sum(1).tolist()),
        margin=margin,
        baseline_margin=base,
        completeness_error=tuple(off.tolist()),
    )


def conductance(batch: Batch, row: int, n_steps: int, rule: Rule) -> Tensor:
    """(layers + 1, tokens of the row) float64 on the CPU, from the embedding layer's output up."""
    if n_steps < 1:
        raise ValueError(f"n_steps is {n_steps}: give 1 or more")
    if rule not in ("trapezoid", "captum"):
        raise ValueError(f"rule is {rule!r}: give 'trapezoid' or 'captum'")
    along = np.linspace(0, 1, n_steps + 1)
    if rule == "captum":
        along = (np.polynomial.legendre.leggauss(n_steps + 1)[0] + 1) / 2
    total: Any = 0.0
    last: tuple[Tensor, Tensor] | None = None
    for part in np.array_split(along, -(-len(along) // batch.rows)):
        states, slopes = _layer_slopes(batch, row, part)
        if last is not None:
            states, slopes = (torch.cat(pair, dim=1) for pair in zip(last, (states, slopes), strict=True))
        weight = slopes[:, :-1] if rule == "captum" else (slopes[:, :-1] + slopes[:, 1:]) / 2
        total = total + (weight * (states[:, 1:] - states[:, :-1])).sum(-1).double().sum(1).cpu()
        last = states[:, -1:], slopes[:, -1:]
    return total


def _layer_slopes(batch: Batch, row: int, along: np.ndarray) -> tuple[Tensor, Tensor]:
    """Hidden states and df/dh, both (layers + 1, points, tokens, d) float32, at the points `along` of the way."""
    length = int(batch.attention_mask[row].sum())
    inputs, baselines = batch.inputs[row, :length], batch.baselines[row, :length]
    shares = torch.tensor(along, dtype=inputs.dtype, device=inputs.device)[:, None, None]
    x = (baselines + shares * (inputs - baselines)).requires_grad_(True)
    ones = torch.ones(x.shape[:2], dtype=batch.attention_mask.dtype, device=x.device)
    output = batch.model.outputs(x, ones, output_hidden_states=True)
    states = getattr(output, "hidden_states", None)
    if not states:
        raise ValueError("this model gives no hidden states (output_hidden_states), so no layer can be looked at")
    spread = (index[[row]].expand(len(along), *index.shape[1:]) for index in (batch.targets, batch.others))
    total = margins(output.logits.float(), *spread).sum()
    slopes = torch.autograd.grad(total, states, allow_unused=True)
    # a state that the margin does not depend on conducts nothing
    known = [torch.zeros_like(state) if slope is None else slope for state, slope in zip(states, slopes, strict=True)]
    return torch.stack([state.detach().float() for state in states]), torch.stack([slope.float() for slope in known])
