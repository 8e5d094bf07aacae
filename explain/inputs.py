"""From a text to what a model is explained on: word-aligned ids, embeddings, and a module held still."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from explain import last_layer


@dataclass(frozen=True)
class Explainable:
    """A model to explain.

    module: called as module(inputs_embeds=(n, t, d), attention_mask=(n, t)).logits -> (n, classes) for a
    classifier, (n, t, classes) for a tagger or a causal language model, with get_input_embeddings(), as
    Hugging Face's *ForSequenceClassification and *ForTokenClassification are; position ids must not depend
    on padding at the right. tokenizer: a fast Hugging Face tokenizer. max_length: tokens kept, specials
    included. Raises ValueError when the tokenizer is not a fast one (offsets are needed) or max_length < 3.
    """

    module: torch.nn.Module
    tokenizer: Any
    max_length: int
    _decided: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not getattr(self.tokenizer, "is_fast", False):
            raise ValueError("explaining needs a fast tokenizer (it reports offsets): load it with AutoTokenizer")
        if self.max_length < 3:
            raise ValueError(f"max_length is {self.max_length}: give 3 or more, two tokens are special")

    @property
    def mask_id(self) -> int:
        """The id that stands for "no information": [MASK], else the unknown token, else padding."""
        for name in ("mask_token_id", "unk_token_id", "pad_token_id"):
            value = getattr(self.tokenizer, name, None)
            if value is not None:
                return int(value)
        raise ValueError("the tokenizer has no mask, unknown or padding token: there is nothing to mask words with")

    @property
    def pad_id(self) -> int:
        """The id put right of short texts; the attention mask hides it, so any id would do."""
        value = getattr(self.tokenizer, "pad_token_id", None)
        return self.mask_id if value is None else int(value)

    def embed(self, ids: Tensor) -> Tensor:
        """ids (n, t) -> word embeddings (n, t, d), always float32."""
        table: Any = self.module.get_input_embeddings()  # type: ignore[operator]
        return table(ids.to(table.weight.device)).detach().float()

    def logits(self, embeds: Tensor, attention_mask: Tensor, places: Tensor | None = None) -> Tensor:
        """embeds (n, t, d) float32, attention_mask (n, t) -> logits (n, [t,] classes) float32, differentiable.

        places: (n, k) int64, the tokens of each row that are read, for a tagger: -> (n, k, classes). Raises ValueError
        on fewer than two classes, and where places are asked of a model with one row of logits a text.
        """
        if self._short(embeds, attention_mask, places):
            return last_layer.logits(self.module, self._cast(embeds), attention_mask, places).float()
        output = self.outputs(embeds, attention_mask).logits.float()
        if output.ndim not in (2, 3) or output.shape[-1] < 2:
            raise ValueError(
                f"logits of shape {tuple(output.shape)}: only classifiers and taggers with 2 classes or more fit"
            )
        if places is None:
            return output
        if output.ndim != 3:
            raise ValueError(
                f"logits of shape {tuple(output.shape)}: a class of the whole text is asked of (n, classes), places of "
                "(n, tokens, classes)"
            )
        return output.gather(1, places[..., None].expand(-1, -1, output.shape[-1]))

    def outputs(self, embeds: Tensor, attention_mask: Tensor, **asked: bool) -> Any:
        """What the module answers, with further outputs `asked` for (output_hidden_states, output_attentions).

        The cast to the module's own type happens here, so that a bfloat16 module gets bfloat16 and the
        caller's interpolation and gradients stay float32.
        """
        return self.module(inputs_embeds=self._cast(embeds), attention_mask=attention_mask, **asked)

    def _cast(self, embeds: Tensor) -> Tensor:
        table: Any = self.module.get_input_embeddings()  # type: ignore[operator]
        return embeds.to(table.weight.dtype)

    def _short(self, embeds: Tensor, attention_mask: Tensor, places: Tensor | None) -> bool:
        """Whether the last layer is computed only where it is read: tried once each, on the first inputs seen."""
        way = "class" if places is None else "places"
        if way not in self._decided:
            self._decided[way] = last_layer.fits(self.module, self._cast(embeds.detach()), attention_mask, places)
        return self._decided[way] and not self.module.training and last_layer.known(self.module)


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text as the model sees it. ids, word_of: (t,) int64; word_of is -1 at tokens that belong to no word.

    kept: for a sentence given as words, which of them `words` are; else ().
    """

    text: str
    words: tuple[str, ...]
    ids: Tensor
    word_of: Tensor
    dropped: int
    kept: tuple[int, ...] = ()


def encode(model: Explainable, text: str) -> Encoded:
    """Tokenise a text as the model is fed it and say which whitespace word each token belongs to.

    The text itself is tokenised (not its list of words), so the ids are those of the prediction for every
    tokenizer; tokens find their word by character offset. Raises ValueError when no word is left.
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if not spans:
        raise ValueError("the text is empty: there is no word to explain")
    encoding = model.tokenizer(text, truncation=True, max_length=model.max_length, return_offsets_mapping=True)
    owner = [-1] * len(text)
    for index, (start, end) in enumerate(spans):
        owner[start:end] = [index] * (end - start)
    found = [
        next((owner[c] for c in range(start, end) if owner[c] >= 0), -1) for start, end in encoding["offset_mapping"]
    ]
    present = sorted({word for word in found if word >= 0})
    if not present:
        raise ValueError(f"the tokenizer sees no word in {text[:40]!r}: there is nothing to explain")
    rank = {word: place for place, word in enumerate(present)} | {-1: -1}
    return Encoded(
        text=text,
        words=tuple(text[slice(*spans[word])] for word in present),
        ids=torch.tensor(encoding["input_ids"], dtype=torch.long),
        word_of=torch.tensor([rank[word] for word in found], dtype=torch.long),
        dropped=len(spans) - len(present),
    )


def encode_words(model: Explainable, words: Sequence[str]) -> Encoded:
    """A sentence given as words, tokenised as taggers are fed it; the text is the words joined by spaces.

    Words that are cut off or invisible to the tokenizer are dropped. Raises ValueError when none is left.
    """
    encoding = model.tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=model.max_length)
    found = encoding.word_ids()
    present = sorted({word for word in found if word is not None})
    if not present:
        raise ValueError(f"the tokenizer sees no word in {' '.join(words)[:40]!r}: there is nothing to explain")
    rank: dict[int | None, int] = {word: place for place, word in enumerate(present)}
    return Encoded(
        text=" ".join(words),
        words=tuple(words[word] for word in present),
        ids=torch.tensor(encoding["input_ids"], dtype=torch.long),
        word_of=torch.tensor([rank.get(word, -1) for word in found], dtype=torch.long),
        dropped=len(words) - len(present),
        kept=tuple(present),
    )


@contextmanager
def frozen(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode and no parameter gradients inside; every flag as it was outside, after errors too.

    Gradients with respect to inputs work inside even where the caller is under no_grad or inference_mode.
    """
    training = [(part, part.training) for part in module.modules()]
    trainable = [(weight, weight.requires_grad) for weight in module.parameters()]
    try:
        module.eval()
        for weight, _ in trainable:
            weight.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for part, mode in training:
            part.training = mode
        for weight, needed in trainable:
            weight.requires_grad_(needed)
