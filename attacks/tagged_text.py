"""A tagged sentence as TextAttack's transformations see it. Import only after `attacks.lexicon.prepare_textattack`.

TextAttack's own AttackedText finds words again in the text: punctuation is none, "U.S." is two, and tags get lost at
the first change. Here the words are the tokens of the sentence, and the gold tags go along with every change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from textattack import Attack
from textattack.constraints import PreTransformationConstraint
from textattack.shared import AttackedText

from attacks.entities import OUTSIDE, Span, bio, realign, spans
from attacks.goals import goal_function
from attacks.tagging_victim import TaggingVictim


class TaggedText(AttackedText):
    """A sentence of words with a BIO tag each; every transformation, constraint and search of TextAttack takes it.

    A transformation may put no word or several, separated by spaces, in place of one; the tags are re-aligned by the
    rules of `attacks.entities.realign`. Raises ValueError for a word that is empty or holds a space.
    """

    def __init__(self, words: Sequence[str], tags: Sequence[str], attack_attrs: dict[str, Any] | None = None) -> None:
        bad = [word for word in words if not word or " " in word]
        if bad or len(words) != len(tags):
            raise ValueError(f"{len(words)} words, {len(tags)} tags; words that are empty or hold a space: {bad}")
        self._tokens = tuple(words)
        self.tags = tuple(tags)
        super().__init__(" ".join(words), attack_attrs)

    @property
    def words(self) -> list[str]:
        return list(self._tokens)

    @property
    def tokenizer_input(self) -> tuple[str, ...]:
        """What the victim gets: the words."""
        return self._tokens

    def generate_new_attacked_text(self, new_words: Iterable[str]) -> TaggedText:
        """As in AttackedText: one string for each word, empty for a deletion, of several words for an insertion."""
        pieces = [tuple(word for word in new.split(" ") if word) for new in new_words]
        changed = {i for i, piece in enumerate(pieces) if piece != (self._tokens[i],)}
        return self._made(pieces, changed, realign(self._tokens, self.tags, pieces))

    def with_entity(self, span: Span, name: Sequence[str]) -> TaggedText:
        """The sentence with `name` (one word or more) as the entity at `span`, of the same type."""
        kind, start, stop = span
        pieces: list[tuple[str, ...]] = [(word,) for word in self._tokens]
        pieces[start:stop] = [tuple(name)] + [()] * (stop - start - 1)
        tags = [*self.tags[:start], *bio(kind, len(name)), *self.tags[stop:]]
        return self._made(pieces, set(range(start, stop)), tags)

    def _made(self, pieces: Sequence[tuple[str, ...]], changed: set[int], tags: Sequence[str]) -> TaggedText:
        begins = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(int)
        places = [range(begins[i], begins[i + 1]) for i in range(len(pieces))]
        # where each word of this sentence has gone: -1 where it is deleted
        home = np.array(
            [
                -1 if not piece else begins[i] + (piece.index(old) if old in piece else 0)
                for i, (old, piece) in enumerate(zip(self._tokens, pieces, strict=True))
            ],
            dtype=int,
        )
        before = self.attack_attrs["original_index_map"]
        newly = {int(j) for i in changed for j in places[i]}
        kept = {int(home[i]) for i in self.attack_attrs["modified_indices"] - changed if home[i] >= 0}
        attributes = {
            "previous_attacked_text": self,
            "newly_modified_indices": newly,
            "modified_indices": kept | newly,
            "original_index_map": np.array([home[i] if i >= 0 else -1 for i in before], dtype=int),
        }
        return TaggedText([word for piece in pieces for word in piece], tags, attributes)


class ContextWords(PreTransformationConstraint):
    """Only words outside of gold entities that hold a letter may be changed: entities, numbers and marks stay."""

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        named = {i for _, start, stop in spans(current_text.tags) for i in range(start, stop)}
        found = set(range(current_text.num_words)) - named
        return {i for i in found if current_text.tags[i] == OUTSIDE and any(map(str.isalpha, current_text.words[i]))}


def in_context(recipe: Attack, victim: TaggingVictim, goal: str) -> Attack:
    """A recipe for texts as an attack on a tagger: its changes and its search, kept to the context, with our goal."""
    constraints = [ContextWords(), *recipe.pre_transformation_constraints, *recipe.constraints]
    return Attack(goal_function(victim, goal), constraints, recipe.transformation, recipe.search_method)
