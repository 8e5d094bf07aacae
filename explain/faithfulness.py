"""How faithful attributions are to the model they explain: the metrics, with a model behind the masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explain import metrics
from explain.attribution import Attribution
from explain.engine import text_seed
from explain.inputs import Explainable, encode, frozen
from explain.pool import Pool
from explain.questions import Question
from explain.search import Search, best_gap, prefix_masks


@dataclass(frozen=True)
class Faithfulness:
    """What masking words says about one attribution.

    dnaopc: the headline in [-1, 1], None where no order of words matters (see metrics.dnaopc).
    correlation: Pearson's r in [-1, 1] over random sets of words (see metrics.faithfulness_correlation).
    comprehensiveness, sufficiency: AOPC over all prefixes on the target's raw probability, shown and never
    ranked. masked_keeps_class: whether the text with every word masked keeps the predicted class.
    forwards: rows run through the model for this attribution that an earlier one of the text had not run.
    """

    dnaopc: float | None
    correlation: float | None
    comprehensiveness: float
    sufficiency: float
    masked_keeps_class: bool
    forwards: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


class _Masked:
    """One question under any word mask, each set of words of its text computed once."""

    def __init__(self, pool: Pool, question: Question) -> None:
        self.pool, self.question = pool, question

    def logits(self, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return self.pool.read(self.question, keep)

    def margins(self, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return self.question.margins(self.logits(keep))

    def probability(self, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return self.question.probability(self.logits(keep))


def faithfulness(
    model: Explainable,
    attributions: Sequence[Attribution],
    *,
    questions: Sequence[Question] | None = None,
    search: Search | None = None,
    seed: int = 0,
    batch_tokens: int = 4096,
    pool: Pool | None = None,
) -> list[Faithfulness]:
    """One Faithfulness per Attribution, in order.

    Attributions of the same text share their masked inputs: give all explainers' in one call, or one pool for
    all calls, or the search for the best order is paid for each. questions: what each attribution answers, needed
    for taggers; None takes the attributions for a classifier's. seed: breaks ties between equal scores, per text.
    The module is given back as it was. Raises ValueError when an attribution's words are not the model's
    tokenizer's, or on another number of questions.
    """
    settings = Search() if search is None else search
    pool = Pool(model, batch_tokens) if pool is None else pool
    asked = _questions(model, attributions) if questions is None else list(questions)
    pool.expect(asked)
    if len(asked) != len(attributions):
        raise ValueError(f"{len(asked)} questions for {len(attributions)} attributions: give one each, or none")
    results: dict[int, Faithfulness] = {}
    limits: dict[Question, tuple[float, float]] = {}
    # texts together, so that one text's logits are in memory at a time
    by_text = sorted(range(len(attributions)), key=lambda index: attributions[index].text)
    with frozen(model.module):
        for index in by_text:
            attribution = attributions[index]
            if asked[index].encoded.words != attribution.words:
                raise ValueError(
                    f"the attribution of {attribution.text[:40]!r} has other words than this model's tokenizer "
                    "gives: score it with the model it was made on"
                )
            masked, before = _Masked(pool, asked[index]), pool.rows
            # no explainer has a part in the search: once a question is enough
            if masked.question not in limits:
                limits[masked.question] = best_gap(masked.margins, len(attribution.words), settings)
            results[index] = _score(masked, attribution, limits[masked.question], seed, before)
    return [results[index] for index in range(len(attributions))]


def _questions(model: Explainable, attributions: Sequence[Attribution]) -> list[Question]:
    encoded = {text: encode(model, text) for text in dict.fromkeys(one.text for one in attributions)}
    return [Question(encoded[one.text], (one.target,), (one.other,)) for one in attributions]


def curves(
    model: Explainable, attribution: Attribution, *, orders: int = 40, seed: int = 0, batch_tokens: int = 4096
) -> metrics.Curves:
    """Deletion and insertion curves of one attribution of a classifier, with the band of `orders` random word orders.

    Raises ValueError when the attribution's words are not the model's tokenizer's, or orders < 1.
    """
    (question,) = _questions(model, [attribution])
    if question.encoded.words != attribution.words:
        raise ValueError("the attribution has other words than this model's tokenizer gives")
    return curves_of(Pool(model, batch_tokens), question, attribution.scores, orders=orders, seed=seed)


def curves_of(
    pool: Pool, question: Question, scores: Sequence[float], *, orders: int = 40, seed: int = 0
) -> metrics.Curves:
    """The same of a question, such as an entity's of a tagger: `scores` has one per word of its text.

    The probability is the question's: the mean over its places (the entity's words) of the target's. Give several
    explainers' scores of a text one pool: they share the random orders. Raises ValueError on another number of scores,
    or orders < 1.
    """
    if orders < 1:
        raise ValueError(f"orders is {orders}: give 1 or more")
    words = len(question.encoded.words)
    if len(scores) != words:
        raise ValueError(f"{len(scores)} scores for {words} words: give one score per word that the model sees")
    masked, own_seed = _Masked(pool, question), text_seed(seed, question.encoded.text)
    rng = np.random.default_rng(own_seed)
    chance = [rng.permutation(words).tolist() for _ in range(orders)]
    chosen = [metrics.orders(scores, own_seed)[0], *chance]
    kept = np.concatenate([prefix_masks(order) for order in chosen])
    with frozen(pool.model.module):
        values = masked.probability(np.concatenate([~kept, kept]))
    deletion, insertion = values.reshape(2, len(chosen), words + 1)
    bands = [np.quantile(rows[1:], share, axis=0) for rows in (deletion, insertion) for share in (0.05, 0.95)]
    return metrics.Curves(deletion[0], insertion[0], *bands)


def _score(
    masked: _Masked, attribution: Attribution, limit: tuple[float, float], seed: int, before: int
) -> Faithfulness:
    tie_seed = text_seed(seed, attribution.text)
    found = metrics.orders(attribution.scores, tie_seed)
    ends = masked.logits(np.array([[True], [False]]).repeat(len(attribution.words), axis=1))
    return Faithfulness(
        dnaopc=metrics.dnaopc(masked.margins, attribution.scores, tie_seed, limit=limit),
        correlation=metrics.faithfulness_correlation(masked.margins, attribution.scores, tie_seed),
        comprehensiveness=float(np.mean([metrics.comprehensiveness(masked.probability, order) for order in found])),
        sufficiency=float(np.mean([metrics.sufficiency(masked.probability, order) for order in found])),
        masked_keeps_class=masked.question.keeps_class(ends[0], ends[1]),
        forwards=masked.pool.rows - before,
    )
