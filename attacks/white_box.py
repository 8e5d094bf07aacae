"""What a white-box attack sees of a victim beyond its probabilities: pieces, embeddings and gradients.

The loss is the margin of Carlini and Wagner 2017 (arXiv 1608.04644): the largest other logit minus the gold label's, so
it is > 0 exactly when the prediction is not the gold label. For two classes its gradient is a positive multiple of
the cross-entropy's. The cross-entropy's vanishes where the softmax saturates, and then a victim with large logits looks
robust; the margin's only scales with the logits, so no temperature enters here.

Texts go through one by one or in equal lengths, without padding, so that a result depends on the text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from attacks.victim import Victim


@dataclass(frozen=True, eq=False)
class Pieces:
    """One text as the model reads it.

    `ids` (t,) int64; `spans` (t, 2) the characters of each piece; `special` (t,) True where it is none of the text.
    """

    ids: Tensor
    spans: Tensor
    special: Tensor

    def at(self, character: int) -> int | None:
        """The piece that holds a character of the text; None where it was cut off."""
        inside = (self.spans[:, 0] <= character) & (character < self.spans[:, 1]) & ~self.special
        found = inside.nonzero()
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, eq=False)
class Gradient:
    """Of n texts: `loss` (n,), `logits` (n, classes), `embeddings` (n, t, d) = d loss / d embedding. All float32."""

    loss: Tensor
    logits: Tensor
    embeddings: Tensor


@dataclass(frozen=True, eq=False)
class WhiteBox:
    """A module and tokenizer opened for an attack; nothing here changes the module.

    module: called as module(inputs_embeds=(n, t, d), attention_mask=(n, t)).logits -> (n, classes), with
    get_input_embeddings(), as Hugging Face's *ForSequenceClassification are. tokenizer: a fast one. max_length: pieces
    kept, special ones included. Raises ValueError for a tokenizer that is not fast, which knows no offsets.
    """

    module: torch.nn.Module
    tokenizer: Any
    max_length: int
    _words: dict[str, int | None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not getattr(self.tokenizer, "is_fast", False):
            raise ValueError(
                "a white box needs a fast tokenizer (tokenizer.json), which knows the characters of a piece"
            )

    def pieces(self, text: str) -> Pieces:
        """The text as the victim is fed it, cut at `max_length`."""
        coded = self.tokenizer(
            text,
            truncation=True,
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        return Pieces(
            torch.tensor(coded["input_ids"]),
            torch.tensor(coded["offset_mapping"]).reshape(-1, 2),
            torch.tensor(coded["special_tokens_mask"], dtype=torch.bool),
        )

    def one_piece(self, word: str) -> int | None:
        """The id of a word that is one piece inside a text; None for a word of several pieces, or an unknown one."""
        if word not in self._words:
            ids = self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            known = len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id
            self._words[word] = ids[0] if known else None
        return self._words[word]

    def embed(self, ids: Tensor) -> Tensor:
        """Ids of any shape -> their word embeddings (..., d), float32, without a gradient."""
        with _evaluating(self.module), torch.no_grad():
            return self._table(ids.to(self._table.weight.device)).float()

    @property
    def mean_norm(self) -> float:
        """The mean L2 norm of the vocabulary's embeddings: the unit of a radius."""
        return float(self._table.weight.detach().float().norm(dim=1).mean())

    def logits(self, embeddings: Tensor) -> Tensor:
        """Embeddings (n, t, d) of texts of one length -> logits (n, classes), float32."""
        with _evaluating(self.module), torch.no_grad():
            return self._forward(embeddings)

    def gradient(self, embeddings: Tensor, label: int) -> Gradient:
        """The loss of `label` at embeddings (n, t, d) of texts of one length, and its gradient there."""
        with _evaluating(self.module):
            at = embeddings.detach().clone().requires_grad_()
            logits = self._forward(at)
            loss = margin(logits, label)
            (found,) = torch.autograd.grad(loss.sum(), at)
        return Gradient(loss.detach(), logits.detach(), found)

    def swap_losses(self, text: str, swaps: Sequence[tuple[int, str]], label: int) -> list[float | None]:
        """First-order estimates of the loss after each swap (first character of a word, the new word); one gradient.

        L + (e_new - e_old) . dL/de_old with the word's first piece as the old one. None where the new word is not one
        piece, or the old one was cut off.
        """
        pieces = self.pieces(text)
        embeddings = self.embed(pieces.ids)
        found = self.gradient(embeddings[None], label)
        pairs = [(pieces.at(start), self.one_piece(word)) for start, word in swaps]
        known = [(old, new) for old, new in pairs if old is not None and new is not None]
        if not known:
            return [None] * len(swaps)
        old, new = (torch.tensor(ids) for ids in zip(*known, strict=True))
        rise = ((self.embed(new) - embeddings[old]) * found.embeddings[0, old]).sum(dim=1)
        values = iter((found.loss + rise).tolist())
        return [None if None in pair else next(values) for pair in pairs]

    @property
    def _table(self) -> Any:
        return self.module.get_input_embeddings()  # type: ignore[operator]

    def _forward(self, embeddings: Tensor) -> Tensor:
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
        # the cast stands here, so that steps and gradients stay float32 where the module's own type is narrower
        return self.module(inputs_embeds=embeddings.to(self._table.weight.dtype), attention_mask=mask).logits.float()


def margin(logits: Tensor, label: int) -> Tensor:
    """(n, classes) -> (n,): the largest other logit minus the label's."""
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return others.amax(dim=1) - logits[:, label]


def required(victim: Victim, recipe: str) -> WhiteBox:
    """The victim's white box. Raises ValueError when it offers none."""
    if victim.white_box is None:
        raise ValueError(
            f"'{recipe}' needs the victim's gradients, and this victim offers only its predictions; give it a module "
            "and tokenizer, Victim(..., white_box=WhiteBox(module, tokenizer, max_length)), or leave the recipe out"
        )
    return victim.white_box


def spend(goal: Any) -> bool:
    """Counts one gradient call of TextAttack's goal function as a query; False when the budget is used up."""
    if goal.num_queries >= goal.query_budget:
        return False
    goal.num_queries += 1
    return True


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode and gradients inside, whatever is around; every mode as it was outside, after errors too.

    Weights keep their flags: torch.autograd.grad gives nothing but what it is asked for.
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
