"""The recipes of the masked language model: what they change, and that each fools a real victim."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from attacks import masked_lm
from attacks.engine import attack
from attacks.lexicon import Lexicon, LexiconMissing, prepare_textattack
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from tests.attacks.conftest import count_words
from tests.attacks.test_recipes import TEN

RECIPES = ("bae", "bert_attack", "clare")


@pytest.fixture
def run(masked_lexicon: Lexicon):
    def attacked(recipe: str, samples: Sequence[Sample] = TEN, predict=count_words, **options) -> list[Outcome]:
        settings = {"lexicon": masked_lexicon, "budget_per_word": 30, "seed": 0, **options}
        return attack(Victim(predict), samples, recipe, **settings)

    return attacked


@pytest.fixture
def textattack(masked_lexicon: Lexicon):
    prepare_textattack(masked_lexicon.folder)
    from textattack.shared import AttackedText

    return AttackedText


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_the_model_it_says_what_is_lacking_and_how_to_get_it(small_lexicon: Lexicon, recipe: str) -> None:
    with pytest.raises(LexiconMissing, match=r"has no masked_lm .* temper fetch masked-lm"):
        attack(Victim(count_words), TEN[:1], recipe, lexicon=small_lexicon, budget_per_word=5, seed=0)


def pairs(outcome: Outcome) -> list[tuple[str, str]]:
    before, after = outcome.text.split(), str(outcome.perturbed).split()
    return [(a.strip(".,!"), b.strip(".,!")) for a, b in zip(before, after, strict=True) if a != b]


def test_bae_swaps_words_for_what_fills_their_gap_with_the_same_part_of_speech(run, masked_lexicon: Lexicon) -> None:
    sample = Sample("x", "The movie was Boring.", 0)
    (outcome,) = run("bae", [sample], budget_per_word=100)
    ((old, new),) = pairs(outcome)
    assert old == "Boring"
    assert new == new.capitalize()
    filled = masked_lexicon.masked_lm.fill([("The movie was ", ".")], 50)[0]
    assert new.lower() in {word for word, _ in filled}
    tags = {masked_lexicon.tagger.universal(("The", "movie", "was", word))[3] for word in (old, new)}
    assert len(tags) == 1 or tags == {"NOUN", "VERB"}


def test_bert_attack_reads_the_word_it_replaces_and_changes_few(run, masked_lexicon: Lexicon) -> None:
    stubborn = [Sample("x", "boring dull awful bad hated boring dull awful bad hated", 0)]
    seen: list[str] = []

    def spying(texts):
        seen.extend(texts)
        return np.array([[1.0 + 0.01 * ("dull" in text), 0.0] for text in texts], dtype=np.float32)

    run("bert_attack", stubborn, predict=spying, budget_per_word=200)
    original = stubborn[0].text.split()
    swapped = [text for text in seen if "[UNK]" not in text and text != stubborn[0].text]
    assert swapped
    assert max(sum(a != b for a, b in zip(original, text.split(), strict=True)) for text in swapped) <= 4
    first = {a + b for text in swapped for a, b in itertools.pairwise(["", *text.split()][:2])} - {"boring"}
    assert first <= set(masked_lexicon.masked_lm.spell(stubborn[0].text, 0, 6, 48))


def test_clare_replaces_inserts_and_merges(run) -> None:
    text = "a good film movie was bad"
    seen: set[str] = set()

    def spying(texts):
        seen.update(texts)
        return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    run("clare", [Sample("x", text, 0)], predict=spying, budget_per_word=1000)
    lengths = {len(made.split()) - len(text.split()) for made in seen}
    assert {-1, 0, 1} <= lengths
    for made in seen:
        words = made.split()
        if len(words) == len(text.split()) and words[1:] == text.split()[1:]:
            assert words[0] == "a"  # a stop word is not replaced


def test_a_merge_takes_words_that_may_become_one_and_were_not_modified(masked_lexicon: Lexicon, textattack) -> None:
    from textattack.constraints.pre_transformation import RepeatModification

    from attacks.infilling import MERGED, Merge

    tagger = masked_lexicon.tagger
    merge = Merge(masked_lexicon.masked_lm, tagger, 3)
    text = textattack("a good film was very bad")
    tags = tagger.universal(tuple(text.words))
    places = [i for i, (a, b) in enumerate(itertools.pairwise(tags)) if b in MERGED.get(a, ())]
    assert places
    made = merge(text, [RepeatModification()])
    assert {len(new.words) for new in made} == {5}
    assert {min(new.attack_attrs["newly_modified_indices"]) for new in made} == set(places)
    swapped = text.replace_word_at_index(places[0], "superb")
    assert all(
        min(new.attack_attrs["newly_modified_indices"]) not in (places[0] - 1, places[0])
        for new in merge(swapped, [RepeatModification()])
    )
    assert merge(textattack(""), []) == merge(textattack("film"), []) == []


def test_the_likeliest_candidates_come_first(masked_lexicon: Lexicon, textattack) -> None:
    from attacks.infilling import Insert, LikeliestFirst, Replace

    model = masked_lexicon.masked_lm
    made = LikeliestFirst([Replace(model, 5), Insert(model, 5)])(textattack("the movie was bad"), [])
    ranks = [text.attack_attrs["rank"] for text in made]
    assert ranks == sorted(ranks)
    assert len(ranks) > 30
    assert not Replace(model, 5, 1.0)._get_transformations(textattack("the movie was bad"), {1, 3})


@pytest.mark.resources
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_real_victim_falls_at_least_once_in_ten(recipe: str, film_victim, full_lexicon: Lexicon) -> None:
    if masked_lm.manifest(masked_lm.beside(full_lexicon.folder)) is None:
        pytest.skip("no masked language model is built (temper fetch masked-lm)")
    victim, reviews = film_victim
    outcomes = attack(Victim(victim.predict), reviews[:10], recipe, lexicon=full_lexicon, budget_per_word=20, seed=0)
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert sum(outcome.status == "success" for outcome in outcomes) >= 1
