"""TextAttack components over our own offline data. Import only after `attacks.lexicon.prepare_textattack`."""

from __future__ import annotations

from typing import Any

import numpy as np
from textattack.constraints import Constraint
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder as SentenceEncoderConstraint
from textattack.shared import WordEmbedding
from textattack.shared.validators import transformation_consists_of_word_swaps

from attacks.encoder import SentenceEncoder
from attacks.pos import Tagger
from attacks.vectors import Vectors


def word_embedding(vectors: Vectors) -> WordEmbedding:
    """Our vectors as TextAttack's WordEmbedding (which needs the neighbours: without them 0.3.11 fails)."""
    return WordEmbedding(vectors.matrix, vectors.index, vectors.words, vectors.neighbours)


class SamePartOfSpeech(Constraint):
    """A swapped word keeps its universal part of speech; a noun may become a verb and the reverse, as in TextFooler.

    The same rule as TextAttack's PartOfSpeech (both words tagged within the four words before and the three after),
    with our tagger instead of NLTK's, whose model would have to be downloaded.
    """

    def __init__(self, tagger: Tagger) -> None:
        super().__init__(compare_against_original=True)
        self.tagger = tagger

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        before, after = reference_text.words, transformed_text.words
        for i in transformed_text.attack_attrs["newly_modified_indices"]:
            if i >= len(before) or i >= len(after):
                return False
            left, right = tuple(before[max(i - 4, 0) : i]), tuple(before[i + 1 : i + 4])
            pair = {self.tagger.universal((*left, word, *right))[len(left)] for word in (before[i], after[i])}
            if len(pair) > 1 and not pair <= {"NOUN", "VERB"}:
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

    def _check_constraint_many(self, transformed_texts: list[Any], reference_text: Any) -> list[Any]:
        if not self.skip_text_shorter_than_window:
            return list(super()._check_constraint_many(transformed_texts, reference_text))
        short = [text for text in transformed_texts if len(text.words) < self.window_size]
        long = [text for text in transformed_texts if len(text.words) >= self.window_size]
        for text in short:
            text.attack_attrs["similarity_score"] = 1.0
        return short + (list(super()._check_constraint_many(long, reference_text)) if long else [])
