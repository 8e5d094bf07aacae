"""How faithful attributions are to the model they explain: the metrics, with a model behind the masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explain import metrics
from explain.attribution import Attribution
from explain.engine import text_seed
from explain.inputs import Encoded, Explainable, encode, frozen
from explain.search import Search


@dataclass(frozen=True)
class Faithfulness:
    """What masking words says about one attribution.

    dnaopc: the headline in [-1, 1], None where no order of words matters (see metrics.dnaopc).
    comprehensiveness, sufficiency: AOPC over all prefixes on the target's raw probability, shown and never
    ranked. masked_keeps_class: whether the text with every word masked keeps the predicted class.
    forwards: rows run through the model for this attribution that an earlier one of the text had not run.
    """

    dnaopc: float | None
    comprehensiveness: float
    sufficiency: float
    masked_keeps_class: bool
    forwards: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


class _Masked:
    """One text's logits under any word mask, each computed once."""

    def __init__(self, model: Explainable, encoded: Encoded, batch_tokens: int) -> None:
        self._model, self._encoded = model, encoded
        self._rows = max(1, batch_tokens // len(encoded.ids))
        self.logits = metrics.MaskCache(self._evaluate)

    def _evaluate(self, keep: NDArray[np.bool_]) -> NDArray[np.floating]:
        ids, word_of = self._encoded.ids, self._encoded.word_of
        kept = torch.from_numpy(np.ascontiguousarray(keep))
        # a column for "no word" at the end, where index -1 finds it: special tokens always stay
        kept = torch.cat([kept, torch.ones(len(kept), 1, dtype=torch.bool)], dim=1)
        rows = torch.where(kept[:, word_of], ids, self._model.mask_id)
        answers = []
        with torch.no_grad():
            for part in rows.split(self._rows):
                embeds = self._model.embed(part)
                mask = torch.ones(part.shape, dtype=torch.long, device=embeds.device)
                answers.append(self._model.logits(embeds, mask).cpu())
        return torch.cat(answers).double().numpy()

    def margins(self, target: int, other: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        logits = self.logits(keep)
        return logits[:, target] - logits[:, other]

    def probability(self, target: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        logits = self.logits(keep)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers[:, target] / powers.sum(axis=1)


def faithfulness(
    model: Explainable,
    attributions: Sequence[Attribution],
    *,
    search: Search | None = None,
    seed: int = 0,
    batch_tokens: int = 4096,
) -> list[Faithfulness]:
    """One Faithfulness per Attribution, in order.

    Attributions of the same text share their masked inputs: give all explainers' in one call, or the search
    for the best order is paid for each. seed: breaks ties between equal scores, per text. The module is
    given back as it was. Raises ValueError when an attribution's words are not the model's tokenizer's.
    """
    settings = Search() if search is None else search
    masked: dict[str, _Masked] = {}
    results: dict[int, Faithfulness] = {}
    # texts together, so that one text's logits are in memory at a time
    by_text = sorted(range(len(attributions)), key=lambda index: attributions[index].text)
    with frozen(model.module):
        for index in by_text:
            attribution = attributions[index]
            if attribution.text not in masked:
                encoded = encode(model, attribution.text)
                masked = {attribution.text: _Masked(model, encoded, batch_tokens)}
                words = encoded.words
            if words != attribution.words:
                raise ValueError(
                    f"the attribution of {attribution.text[:40]!r} has other words than this model's tokenizer "
                    "gives: score it with the model it was made on"
                )
            results[index] = _score(masked[attribution.text], attribution, settings, seed)
    return [results[index] for index in range(len(attributions))]


def _score(masked: _Masked, attribution: Attribution, search: Search, seed: int) -> Faithfulness:
    before = masked.logits.forwards
    tie_seed = text_seed(seed, attribution.text)

    def margins(keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return masked.margins(attribution.target, attribution.other, keep)

    def probability(keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return masked.probability(attribution.target, keep)

    found = metrics.orders(attribution.scores, tie_seed)
    ends = masked.logits(np.array([[True], [False]]).repeat(len(attribution.words), axis=1))
    return Faithfulness(
        dnaopc=metrics.dnaopc(margins, attribution.scores, tie_seed, search),
        comprehensiveness=float(np.mean([metrics.comprehensiveness(probability, order) for order in found])),
        sufficiency=float(np.mean([metrics.sufficiency(probability, order) for order in found])),
        masked_keeps_class=metrics.masked_keeps_class(ends[0], ends[1]),
        forwards=masked.logits.forwards - before,
    )
