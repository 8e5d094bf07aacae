"""TextAttack transformations that ask our masked language model. Import only after `lexicon.prepare_textattack`.

All gaps of a text go to the model in one call. Candidates come with the rank the model gives them in
`attack_attrs["rank"]`, 0 the likeliest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textattack.transformations import CompositeTransformation, Transformation, WordSwap
from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

from attacks.masked_lm import MaskedLM
from attacks.pos import Tagger

# universal part of speech of a word -> those of the next with which it may become one word (CLARE, as in TextAttack)
MERGED = {
    "NOUN": ("NOUN",),
    "ADJ": ("NOUN", "NUM", "ADJ", "ADV"),
    "ADV": ("ADJ", "VERB"),
    "VERB": ("ADV", "VERB", "NOUN", "ADJ"),
    "DET": ("NOUN", "ADJ"),
    "PRON": ("NOUN", "ADJ"),
    "NUM": ("NUM", "NOUN"),
}


class Replace(WordSwap):
    """A word becomes one of the `count` that fill its gap with at least `min_probability`, in the word's own case."""

    def __init__(self, model: MaskedLM, count: int, min_probability: float = 0.0) -> None:
        super().__init__()
        self.model, self.count, self.min_probability = model, count, min_probability

    def _get_transformations(self, current_text: Any, indices_to_modify: Iterable[int]) -> list[Any]:
        places = sorted(indices_to_modify)
        return _fill(self.model, [(current_text, i) for i in places], self.count, self.min_probability)


class Insert(Transformation):
    """Before a word comes one of the `count` that fill a gap there with at least `min_probability`.

    TextAttack counts both the new word and the one behind it as modified.
    """

    def __init__(self, model: MaskedLM, count: int, min_probability: float = 0.0) -> None:
        self.model, self.count, self.min_probability = model, count, min_probability

    def _get_transformations(self, current_text: Any, indices_to_modify: Iterable[int]) -> list[Any]:
        places = sorted(indices_to_modify)
        gaps = []
        for i in places:
            before = current_text.text_until_word_index(i)
            gaps.append((before, current_text.text[len(before) :]))
        made = []
        for i, found in zip(places, self.model.fill(gaps, self.count), strict=True):
            for rank, (word, probability) in enumerate(found):
                if probability >= self.min_probability and word != current_text.words[i].lower():
                    made.append(_ranked(current_text.insert_text_before_word_index(i, word), rank))
        return made


class Merge(Transformation):
    """Two neighbours whose parts of speech are in MERGED become one word that fills their gap; neither was modified.

    TextAttack's own asks for every pair of the text again and again, words that were modified before among them.
    """

    def __init__(self, model: MaskedLM, tagger: Tagger, count: int, min_probability: float = 0.0) -> None:
        self.model, self.tagger, self.count, self.min_probability = model, tagger, count, min_probability

    def _get_transformations(self, current_text: Any, indices_to_modify: Iterable[int]) -> list[Any]:
        allowed, tags = set(indices_to_modify), self.tagger.universal(tuple(current_text.words))
        places = [i for i in sorted(allowed) if i + 1 in allowed and tags[i + 1] in MERGED.get(tags[i], ())]
        words, shorter = current_text.words, []
        for i in places:
            text = current_text.delete_word_at_index(i + 1)
            if text.words == [*words[: i + 1], *words[i + 2 :]]:  # TextAttack cuts texts with Chinese in them anew
                shorter.append((text, i))
        return _fill(self.model, shorter, self.count, self.min_probability)


class Respell(WordSwap):
    """A word becomes one of the `count` that the model, which sees the text as it is, finds likeliest in its place."""

    def __init__(self, model: MaskedLM, count: int) -> None:
        super().__init__()
        self.model, self.count = model, count

    def _get_transformations(self, current_text: Any, indices_to_modify: Iterable[int]) -> list[Any]:
        made = []
        for i in sorted(indices_to_modify):
            begin, old = len(current_text.text_until_word_index(i)), current_text.words[i]
            for rank, word in enumerate(self.model.spell(current_text.text, begin, begin + len(old), self.count)):
                if word != old.lower():
                    made.append(_ranked(current_text.replace_word_at_index(i, recover_word_case(word, old)), rank))
        return made


class LikeliestFirst(CompositeTransformation):
    """The candidates of all parts in the order of their rank, so that a small query budget drops the least likely."""

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        return sorted(super().__call__(*args, **kwargs), key=lambda text: text.attack_attrs["rank"])


def _fill(model: MaskedLM, places: Sequence[tuple[Any, int]], count: int, min_probability: float) -> list[Any]:
    """Each (text, index of a word) with that word replaced by what fills its gap."""
    gaps = [(text.text_until_word_index(i), text.text_after_word_index(i)) for text, i in places]
    made = []
    for (text, i), found in zip(places, model.fill(gaps, count), strict=True):
        old = text.words[i]
        for rank, (word, probability) in enumerate(found):
            if probability >= min_probability and word != old.lower():
                made.append(_ranked(text.replace_word_at_index(i, recover_word_case(word, old)), rank))
    return made


def _ranked(text: Any, rank: int) -> Any:
    text.attack_attrs["rank"] = rank
    return text
