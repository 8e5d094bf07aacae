"""How likely a text is: a trigram language model with interpolated Kneser-Ney smoothing.

Kneser and Ney 1995, "Improved backing-off for m-gram language modeling", in the interpolated form of Chen and Goodman
1998, "An empirical study of smoothing techniques for language modeling", TR-10-98. For the counts c of one order,

    p(w | h) = (max(c(h w) - D, 0) + D N(h) p(w | h')) / c(h)

with c(h) the sum of c(h w) over w, N(h) the number of words seen after h, h' the history h without its first word, and
D = n1 / (n1 + 2 n2), n1 and n2 the numbers of n-grams with a count of 1 and 2. The highest order counts occurrences,
the lower ones the different words that an n-gram was seen after. Below the single words lies the uniform distribution
over the vocabulary, so everything has a probability above 0. A history that was never seen gives p(w | h').

Choices of ours: tokens are words in lower case, punctuation is not modelled; the end of the text is a word like
others, its start is history only; the first word is predicted by the pairs (start, word), which are counted by
occurrence since nothing but the start comes before them; every word that was not seen is the one word <unknown>, whose
count is 0 (so it gets its share of the uniform distribution and no more: a word nobody wrote is not a likely one);
where n1 or n2 is 0, as in a handful of words, D is 0.5.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

VERSION = 1
START, END, UNKNOWN = 0, 1, 2
MARKS = ("<start>", "<end>", "<unknown>")  # no token can be one of these
FEW_COUNTS_DISCOUNT = 0.5
_TOKEN = re.compile(r"\w+(?:['-]\w+)*")


def tokens(text: str) -> list[str]:
    """Words in lower case, with the apostrophes and hyphens inside them."""
    return _TOKEN.findall(text.lower().replace("’", "'"))


@dataclass(frozen=True)
class _Order:
    """One order: the count of an n-gram and, for a history, (sum of its counts, number of words seen after it)."""

    counts: dict[int, int]
    histories: dict[int, tuple[int, int]]
    discount: float

    def probability(self, history: int, gram: int, lower: float) -> float:
        total, followers = self.histories.get(history, (0, 0))
        if not total:
            return lower
        kept = max(self.counts.get(gram, 0) - self.discount, 0.0)
        return (kept + self.discount * followers * lower) / total


@dataclass(frozen=True)
class Ngrams:
    """A fitted model. `words` are MARKS and then the known words; `grams` is (n, 4) int32, sorted: the indices of three
    words in a row and how often they occurred, (START, START, w) for a first word.
    """

    words: tuple[str, ...]
    grams: np.ndarray

    @cached_property
    def index(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def _orders(self) -> tuple[_Order, _Order, _Order]:
        size = len(self.words)
        first, second, third, counts = self.grams.astype(np.int64).T
        started = second == START
        pairs = second * size + third
        whole = _order((first * size + second)[~started] * size + third[~started], counts[~started], size)
        singles = np.unique(pairs) % size
        return _order(singles, np.ones_like(singles), size), _order(pairs, np.where(started, counts, 1), size), whole

    def log_probability(self, word: str, before: Sequence[str] = ()) -> float:
        """Natural logarithm (< 0) of the probability that `word` (lower case, or MARKS[END]) follows `before`.

        Of the words `before` the last two count; fewer than two are those since the start of the text.
        """
        known = [self.index.get(previous, UNKNOWN) for previous in before[-2:]]
        first, second = ([START, START, *known])[-2:]
        return math.log(self._probability(first, second, self.index.get(word, UNKNOWN)))

    def _probability(self, first: int, second: int, word: int) -> float:
        size = len(self.words)
        singles, pairs, whole = self._orders
        alone = singles.probability(0, word, 1 / (size - 1))  # the start is never predicted
        after = pairs.probability(second, second * size + word, alone)
        return whole.probability(first * size + second, (first * size + second) * size + word, after)

    def log_probabilities(self, words: Sequence[str]) -> list[float]:
        """One logarithm for each word of a text and one for its end."""
        return [self.log_probability(word, words[max(i - 2, 0) : i]) for i, word in enumerate([*words, MARKS[END]])]

    def log_probability_around(self, words: Sequence[str], place: int) -> float:
        """Log probability of all that depends on the word at `place`: itself and the two after it, the end included.

        What one swapped word adds to or takes from this is what it adds to or takes from the text's log probability.
        """
        part = [*words, MARKS[END]][: place + 3]
        return sum(self.log_probability(part[i], part[max(i - 2, 0) : i]) for i in range(place, len(part)))

    def perplexity(self, text: str) -> float:
        """exp of the mean surprise (nats) per word and the end of the text: >= 1, lower is more fluent.

        A text without words has its end alone. Comparable only between texts under the same model.
        """
        surprise = self.log_probabilities(tokens(text))
        return math.exp(-sum(surprise) / len(surprise))


def fit(texts: Iterable[str]) -> Ngrams:
    """The model of `texts`, each from its start to its end; texts without a word are left out. Order does not matter.

    Raises ValueError when no text has a word. Seven thousand sentences take about a second.
    """
    rows = [found for found in map(tokens, texts) if found]
    if not rows:
        raise ValueError("no text has a word; a language model needs at least one")
    words = (*MARKS, *sorted({word for row in rows for word in row}))
    index = {word: i for i, word in enumerate(words)}
    seen: Counter[tuple[int, ...]] = Counter()
    for row in rows:
        line = [START, START, *(index[word] for word in row), END]
        seen.update(zip(line, line[1:], line[2:], strict=False))
    return Ngrams(words, np.array(sorted((*gram, count) for gram, count in seen.items()), dtype=np.int32))


def save(model: Ngrams, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("\n".join(model.words), encoding="utf-8")
    np.save(folder / "grams.npy", model.grams, allow_pickle=False)


def load(folder: Path) -> Ngrams:
    """Open what `save` wrote."""
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    return Ngrams(tuple(words), np.load(folder / "grams.npy", allow_pickle=False))


def _order(grams: np.ndarray, counts: np.ndarray, size: int) -> _Order:
    """Sums `counts` by n-gram; an n-gram is written as history * size + word."""
    keys, where = np.unique(grams, return_inverse=True)
    sums = np.bincount(where.ravel(), weights=counts).astype(np.int64)
    histories, starts = np.unique(keys // size, return_index=True)
    totals = np.add.reduceat(sums, starts) if len(sums) else sums
    followers = np.diff([*starts, len(keys)])
    once, twice = int((sums == 1).sum()), int((sums == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else FEW_COUNTS_DISCOUNT
    return _Order(
        dict(zip(keys.tolist(), sums.tolist(), strict=True)),
        dict(zip(histories.tolist(), zip(totals.tolist(), followers.tolist(), strict=True), strict=True)),
        discount,
    )
