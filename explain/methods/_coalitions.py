"""The margin of a text of which only some words are kept: what every word-masking method asks for. Not a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from explain.engine import Batch


def word_counts(batch: Batch) -> list[int]:
    """Words of each text of the batch, 1 at least."""
    return [int(count) for count in (batch.word_of.max(dim=1).values + 1).tolist()]


def margins(batch: Batch, row: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """keep (m, words of text `row`) -> f (m,), every piece of the other words at its baseline.

    Equal rows are computed once; a forward holds at most `batch.rows` rows. Padding columns are left out.
    """
    distinct, back = np.unique(keep, axis=0, return_inverse=True)
    length = int(batch.attention_mask[row].sum())
    device = batch.inputs.device
    # a column for "no word" at the end, where index -1 finds it: special tokens are equal in x and x' anyway
    kept = torch.from_numpy(np.hstack([distinct, np.ones((len(distinct), 1), dtype=bool)]))
    tokens = kept[:, batch.word_of[row, :length].cpu()].to(device)
    answers = []
    with torch.no_grad():
        for part in tokens.split(batch.rows):
            embeds = torch.where(part[:, :, None], batch.inputs[row, :length], batch.baselines[row, :length])
            ones = torch.ones(part.shape, dtype=batch.attention_mask.dtype, device=device)
            target, other = batch.targets[row].expand(len(part)), batch.others[row].expand(len(part))
            answers.append(batch.forward(embeds, ones, target, other).cpu())
    return torch.cat(answers).double().numpy()[back.reshape(-1)]
