"""TextAttack components over our own offline data. Import only after `attacks.lexicon.prepare_textattack`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from textattack.constraints import Constraint
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder as SentenceEncoderConstraint
from textattack.shared import WordEmbedding
from textattack.shared.validators import transformation_consists_of_word_swaps

from attacks.causal_lm import CausalLM
from attacks.encoder import SentenceEncoder
from attacks.ngrams import Ngrams, tokens
from attacks.original_models import LanguageTool
from attacks.pos import Tagger
from attacks.vectors import Vectors


def word_embedding(vectors: Vectors) -> WordEmbedding:
    """Our vectors as TextAttack's WordEmbedding (which needs the neighbours: without them 0.3.11 fails)."""
    return WordEmbedding(vectors.matrix, vectors.index, vectors.words, vectors.neighbours)


class FewWords(Constraint):
    """At most `share` of the words differ from the original, rounded up, by edit distance in words.

    TextAttack's MaxWordsPerturbed compares place by place, so after a name of another length all that follows differs.
    """

    def __init__(self, share: float) -> None:
        super().__init__(compare_against_original=True)
        self.share = share

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        fewest = min(len(transformed_text.words), len(reference_text.words))
        return bool(transformed_text.words_diff_num(reference_text) <= math.ceil(fewest * self.share))


class SamePartOfSpeech(Constraint):
    """A swapped word keeps its universal part of speech; a noun may become a verb and the reverse, as in TextFooler.

    The same rule as TextAttack's PartOfSpeech (both words tagged within the four words before and the three after),
    with our tagger instead of NLTK's, whose model would have to be downloaded. Without `swaps` no noun may become a
    verb and no verb a noun.
    """

    def __init__(self, tagger: Tagger, swaps: bool = True) -> None:
        super().__init__(compare_against_original=True)
        self.tagger, self.swaps = tagger, swaps

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        before, after = reference_text.words, transformed_text.words
        for i in transformed_text.attack_attrs["newly_modified_indices"]:
            if i >= len(before) or i >= len(after):
                return False
            left, right = tuple(before[max(i - 4, 0) : i]), tuple(before[i + 1 : i + 4])
            pair = {self.tagger.universal((*left, word, *right))[len(left)] for word in (before[i], after[i])}
            if len(pair) > 1 and not (self.swaps and pair <= {"NOUN", "VERB"}):
                return False
        return True

    def check_compatibility(self, transformation: Any) -> bool:
        return transformation_consists_of_word_swaps(transformation)


class SimilarSentence(SentenceEncoderConstraint):
    """TextAttack's sentence-encoder constraint over our encoder.

    A text shorter than the window passes without being encoded (TextAttack encodes it and then overwrites the score
    with the same 1).
    """

    def __init__(self, encoder: SentenceEncoder, **settings: Any) -> None:
        super().__init__(**settings)
        self.encoder = encoder

    def encode(self, sentences: list[str]) -> np.ndarray:
        return self.encoder.encode(sentences)

    def _score_list(self, starting_text: Any, transformed_texts: list[Any]) -> torch.Tensor:
        """TextAttack's windows lie around the first new word; a text that only lost words is compared as a whole."""
        placed = torch.tensor([bool(text.attack_attrs["newly_modified_indices"]) for text in transformed_texts]).bool()
        if placed.all():
            return super()._score_list(starting_text, transformed_texts)
        scores = torch.empty(len(placed))
        swapped = [text for text, has_place in zip(transformed_texts, placed, strict=True) if has_place]
        scores[placed] = super()._score_list(starting_text, swapped)
        shortened = [text.text for text, has_place in zip(transformed_texts, placed, strict=True) if not has_place]
        before, *after = torch.as_tensor(self.encode([starting_text.text, *shortened]))
        scores[~placed] = self.sim_metric(before.expand(len(after), -1), torch.stack(after))
        return scores

    def _check_constraint_many(self, transformed_texts: list[Any], reference_text: Any) -> list[Any]:
        if not self.skip_text_shorter_than_window:
            return list(super()._check_constraint_many(transformed_texts, reference_text))
        short = [text for text in transformed_texts if len(text.words) < self.window_size]
        long = [text for text in transformed_texts if len(text.words) >= self.window_size]
        for text in short:
            text.attack_attrs["similarity_score"] = 1.0
        return short + (list(super()._check_constraint_many(long, reference_text)) if long else [])


class AsLikely(Constraint):
    """A swap may lower the text's log probability under our language model by less than `max_fall` nats.

    The swapped word is judged in the reference text, whatever else was swapped before it, as TextAttack's
    LanguageModelConstraint does; the words after it, whose probabilities it changes too, count as well.
    """

    def __init__(self, model: Ngrams, max_fall: float, compare_against_original: bool = True) -> None:
        super().__init__(compare_against_original)
        self.model, self.max_fall = model, max_fall

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        words = [word.lower() for word in reference_text.words]
        gains = [_gain(self.model, words, i, word) for i, word in _swapped(transformed_text, len(words))]
        return min(gains, default=0.0) > -self.max_fall

    def check_compatibility(self, transformation: Any) -> bool:
        return transformation_consists_of_word_swaps(transformation)


class AsLikelyText(Constraint):
    """A text's log probability under a causal language model falls by less than `max_fall` nats from the original's."""

    def __init__(self, model: CausalLM, max_fall: float) -> None:
        super().__init__(compare_against_original=True)
        self.model, self.max_fall = model, max_fall

    def _check_constraint_many(self, transformed_texts: list[Any], reference_text: Any) -> list[Any]:
        before, *after = self.model.log_probabilities([reference_text.text, *(text.text for text in transformed_texts)])
        return [text for text, log in zip(transformed_texts, after, strict=True) if log - before > -self.max_fall]

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return bool(self._check_constraint_many([transformed_text], reference_text))


class NoNewErrors(Constraint):
    """LanguageTool finds no more errors in the text than in the original one."""

    def __init__(self, checker: LanguageTool) -> None:
        super().__init__(compare_against_original=True)
        self.checker = checker

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return self.checker.count(transformed_text.text) <= self.checker.count(reference_text.text)


class Likeliest(Constraint):
    """Of the candidates for one place, the `count` that our language model finds likeliest there."""

    def __init__(self, model: Ngrams, count: int) -> None:
        super().__init__(compare_against_original=False)
        self.model, self.count = model, count

    def _check_constraint_many(self, transformed_texts: list[Any], reference_text: Any) -> list[Any]:
        words = [word.lower() for word in reference_text.words]
        ranked: dict[int, list[tuple[float, str]]] = {}
        for text in transformed_texts:
            for i, word in _swapped(text, len(words)):
                ranked.setdefault(i, []).append((-_gain(self.model, words, i, word), text.text))
        kept = {text for candidates in ranked.values() for _, text in sorted(candidates)[: self.count]}
        return [text for text in transformed_texts if text.text in kept]

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return bool(self._check_constraint_many([transformed_text], reference_text))

    def check_compatibility(self, transformation: Any) -> bool:
        return transformation_consists_of_word_swaps(transformation)


def _swapped(text: Any, words: int) -> list[tuple[int, str]]:
    """(place, new word) of the last change, within the first `words` words."""
    end = min(words, len(text.words))
    return [(i, text.words[i]) for i in sorted(text.attack_attrs["newly_modified_indices"]) if i < end]


def _gain(model: Ngrams, words: list[str], place: int, new: str) -> float:
    """What the log probability of the text `words` (lower case) gains by `new` at `place`, in nats."""
    swapped = [*words[:place], new.lower(), *words[place + 1 :]]
    return model.log_probability_around(swapped, place) - model.log_probability_around(words, place)


class NearThought(SentenceEncoderConstraint):
    """The mean of the text's word vectors moves by at most `max_distance` (Euclidean; a text without any is at 0)."""

    def __init__(self, vectors: Vectors, max_distance: float) -> None:
        super().__init__(threshold=max_distance**2, metric="max_euclidean")  # TextAttack squares the distance
        self.vectors, self.index = vectors, vectors.index

    def encode(self, sentences: list[str]) -> np.ndarray:
        return np.stack([self._mean(sentence) for sentence in sentences])

    def _mean(self, sentence: str) -> np.ndarray:
        rows = [self.index[word] for word in tokens(sentence) if word in self.index]
        if not rows:
            return np.zeros(self.vectors.matrix.shape[1], dtype=np.float32)
        return np.mean(self.vectors.matrix[rows], axis=0)
