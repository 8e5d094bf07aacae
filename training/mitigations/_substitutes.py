"""What the word-level mitigations share: which pieces of a batch are whole words with substitutes, and which those are.

Everything is in token ids. A word can be replaced where it is one lower-case piece of the vocabulary, no stop word, and
outside the entities of a tagged sentence; its substitutes are such words, too. So lengths, masks and labels stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from training.hooks import IGNORE, Batch, State, cross_entropy

Find = Callable[[str], list[str]]


@dataclass(frozen=True)
class Substitutes:
    """ids (vocabulary, 1 + most): each piece, its substitutes, then itself again; counts (vocabulary,): how many
    substitutes it has; continues (vocabulary,): whether it goes on with the word before it."""

    ids: torch.Tensor
    counts: torch.Tensor
    continues: torch.Tensor

    def places(self, state: State, batch: Batch) -> torch.Tensor:
        """(n, length), true on words that may be replaced."""
        following = torch.nn.functional.pad(self.continues[batch.input_ids[:, 1:]], (0, 1))
        whole = batch.word_mask.bool() & ~following
        return whole & (self.counts[batch.input_ids] > 0) & _outside_entities(state, batch)


def near(lexicon: Any, most: int, cosine: float) -> Find:
    """The nearest `most` words in the lexicon's vectors, of at least this cosine."""
    vectors, index, stop = lexicon.vectors, lexicon.vectors.index, lexicon.stopwords

    def find(word: str) -> list[str]:
        if word in stop or word not in index:
            return []
        around = vectors.neighbours[index[word]][1 : most + 1]
        return [vectors.words[i] for i in around[vectors.matrix[around] @ vectors.matrix[index[word]] >= cosine]]

    return find


def synonyms(lexicon: Any) -> Find:
    """The lexicon's WordNet synonyms."""
    return lambda word: [] if word in lexicon.stopwords else lexicon.synonyms(word)


def remembered(state: State, name: str, find: Callable[[], Find]) -> Substitutes:
    """The substitutes of mitigation `name`, made at its first step."""
    if name not in state.memory:
        state.memory[name] = table(state.tokenizer, find(), next(state.module.parameters()).device)
    return state.memory[name]


def table(tokenizer: Any, find: Find, device: torch.device | str = "cpu") -> Substitutes:
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    if any(piece.startswith("##") for piece in pieces):  # WordPiece marks what goes on, the others what begins
        continues = [piece.startswith("##") for piece in pieces]
        words = ["" if going_on else piece for piece, going_on in zip(pieces, continues, strict=True)]
    else:
        mark = "Ġ" if any(piece.startswith("Ġ") for piece in pieces) else "▁"
        continues = [p[:1].isalnum() and not p.startswith(mark) and p not in special for p in pieces]
        words = [piece[1:] if piece.startswith(mark) else "" for piece in pieces]
    own = {word: i for i, word in enumerate(words) if word.isalpha() and word.islower() and pieces[i] not in special}
    found = {i: [own[other] for other in find(word) if other in own and other != word] for word, i in own.items()}
    counts = torch.tensor([len(found.get(i, ())) for i in range(len(pieces))])
    ids = torch.arange(len(pieces)).unsqueeze(1).repeat(1, 1 + int(counts.max()))
    for i, others in found.items():
        ids[i, 1 : 1 + len(others)] = torch.tensor(others, dtype=torch.long)
    return Substitutes(ids.to(device), counts.to(device), torch.tensor(continues).to(device))


def with_words(state: State, batch: Batch, ids: torch.Tensor) -> Batch:
    """`batch` with other words; embeddings that an outer mitigation has shifted keep their shift."""
    if batch.embeddings is None:
        return replace(batch, input_ids=ids)
    now, before = replace(batch, input_ids=ids, embeddings=None), replace(batch, embeddings=None)
    return replace(now, embeddings=batch.embeddings + state.embed(now) - state.embed(before))


@contextmanager
def judging(state: State) -> Iterator[None]:
    """Inside, the model runs without dropout."""
    state.module.eval()
    try:
        yield
    finally:
        state.module.train()


def losses(state: State, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of each text, (n,), of the model alone, and its logits."""
    logits = cross_entropy(state, batch).logits.float()
    labels = batch.labels.reshape(len(logits), -1)
    by_class = logits.reshape(len(logits), labels.shape[1], -1).transpose(1, 2)
    each = torch.nn.functional.cross_entropy(by_class, labels, ignore_index=IGNORE, reduction="none")
    return each.sum(dim=1) / (labels != IGNORE).sum(dim=1).clamp_min(1), logits


def _outside_entities(state: State, batch: Batch) -> torch.Tensor:
    """(n, length), true on every piece of a text; of a tagged sentence on the first pieces of its O words."""
    if batch.labels.ndim == 1:
        return torch.ones_like(batch.input_ids, dtype=torch.bool)
    if state.settings.head == "token":
        return batch.labels == state.context.task.labels.index("O")
    spans = batch.labels.reshape(*batch.input_ids.shape, -1)
    inside = torch.zeros_like(batch.input_ids, dtype=torch.bool)
    for width in range(spans.shape[-1]):
        for ahead in range(width + 1):
            inside[:, ahead:] |= (spans[:, :, width] > 0)[:, : inside.shape[1] - ahead]
    return (spans[:, :, 0] != IGNORE) & ~inside
