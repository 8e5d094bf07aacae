"""What is special in the recipes with a language model, a population, or a goal of their own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
import pytest

from attacks.engine import attack
from attacks.lexicon import Lexicon, prepare_textattack
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from tests.attacks.conftest import BAD, SAMPLES, count_words
from tests.attacks.test_recipes import TEN


def stubborn(texts: Sequence[str]) -> np.ndarray:
    """Never fooled, a little less sure the longer the text."""
    return np.array([[3.0 - len(text) / 1000, 0.0] for text in texts], dtype=np.float32)


def asked(lexicon: Lexicon, recipe: str, text: str, budget: int = 20, seed: int = 0) -> list[str]:
    """Every text that a recipe shows to a victim that it cannot fool."""
    seen: list[str] = []

    def spying(texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        return stubborn(texts)

    attack(Victim(spying), [Sample("x", text, 0)], recipe, lexicon=lexicon, budget_per_word=budget, seed=seed)
    return seen


def run(lexicon: Lexicon, recipe: str, samples: Sequence[Sample]) -> list[Outcome]:
    return attack(Victim(count_words), samples, recipe, lexicon=lexicon, budget_per_word=30, seed=0)


@pytest.fixture
def texts(small_lexicon: Lexicon):
    prepare_textattack(small_lexicon.folder)
    from textattack.shared import AttackedText

    before = AttackedText("The movie was boring.")
    return before, {word: before.replace_word_at_index(3, word) for word in ("tedious", "dull", "xyzzy", "movie")}


def test_as_likely_compares_the_fall_of_the_whole_text(small_lexicon: Lexicon, texts) -> None:
    from attacks.constraints import AsLikely

    before, after = texts
    model = small_lexicon.ngrams

    def whole(text: str) -> float:
        return sum(model.log_probabilities(text.lower().strip(".").split()))

    fall = whole(before.text) - whole(after["xyzzy"].text)
    assert fall > 1
    assert not AsLikely(model, fall - 1e-6)._check_constraint(after["xyzzy"], before)
    assert AsLikely(model, fall + 1e-6)._check_constraint(after["xyzzy"], before)
    assert AsLikely(model, 0.1)._check_constraint(after["dull"], before)


def test_likeliest_keeps_so_many_for_each_place_in_their_order(small_lexicon: Lexicon, texts) -> None:
    from attacks.constraints import Likeliest

    before, after = texts
    elsewhere = before.replace_word_at_index(1, "plot")
    candidates = [after["xyzzy"], after["tedious"], elsewhere, after["movie"], after["dull"]]
    kept = Likeliest(small_lexicon.ngrams, 2)._check_constraint_many(candidates, before)
    assert kept == [after["tedious"], elsewhere, after["dull"]]


def test_near_thought_is_the_euclidean_distance_of_the_means(small_lexicon: Lexicon, texts) -> None:
    from attacks.constraints import NearThought

    before, after = texts
    matrix, index = small_lexicon.vectors.matrix, small_lexicon.vectors.index
    pair = [np.mean([matrix[index["movie"]], matrix[index[word]]], axis=0) for word in ("boring", "dull")]
    distance = float(np.linalg.norm(pair[0] - pair[1]))
    for limit, passes in ((distance + 1e-3, True), (distance - 1e-3, False)):
        kept = NearThought(small_lexicon.vectors, limit)._check_constraint_many([after["dull"]], before)
        assert (len(kept) == 1) == passes
    nothing = NearThought(small_lexicon.vectors, 0.1).encode(["it was", "xyzzy"])
    assert (nothing == 0).all()


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # TextAttack's, of every goal function
def test_alzantot_offers_four_words_a_place_and_its_faster_kin_compares_with_the_original(
    small_lexicon: Lexicon,
) -> None:
    from attacks.recipes import alzantot, faster_alzantot

    prepare_textattack(small_lexicon.folder)
    runners = [module.build(Victim(stubborn), small_lexicon) for module in (alzantot, faster_alzantot)]
    slow, fast = ({type(c).__name__: c.compare_against_original for c in runner.constraints} for runner in runners)
    assert slow == {"MaxWordsPerturbed": True, "WordEmbeddingDistance": False, "Likeliest": False}
    assert fast == {"MaxWordsPerturbed": True, "WordEmbeddingDistance": True, "AsLikely": True}
    assert [runner.search_method.max_iters for runner in runners] == [20, 40]


def test_a_text_that_lost_a_word_is_compared_as_a_whole(small_lexicon: Lexicon, texts) -> None:
    from attacks.constraints import SimilarSentence

    before, after = texts
    shorter = before.delete_word_at_index(1)
    similar = SimilarSentence(small_lexicon.encoder, threshold=-1.0, metric="cosine", window_size=2)
    kept = similar._check_constraint_many([after["dull"], shorter], before)
    pair = small_lexicon.encoder.encode([before.text, shorter.text])
    assert list(kept) == [after["dull"], shorter]
    assert shorter.attack_attrs["similarity_score"] == pytest.approx(float(pair[0] @ pair[1]), abs=1e-5)
    alone = similar._check_constraint_many([shorter], before)
    assert list(alone) == [shorter]


@pytest.mark.parametrize("recipe", ["checklist", "input_reduction"])
def test_the_fixed_regime_can_judge_what_they_do(small_lexicon: Lexicon, recipe: str) -> None:
    sample = Sample("x", "It is not one of the two hundred good films of Sam Jones, we are told.", 0)
    (outcome,) = attack(
        Victim(stubborn), [sample], recipe, lexicon=small_lexicon, budget_per_word=20, seed=0, regime="fixed"
    )
    assert outcome.error is None


@pytest.mark.parametrize("recipe", ["alzantot", "faster_alzantot", "pso"])
def test_a_population_is_drawn_from_the_seed(small_lexicon: Lexicon, recipe: str) -> None:
    text = "The movie was boring and bad, terribly awful acting."
    first = asked(small_lexicon, recipe, text)
    assert asked(small_lexicon, recipe, text) == first
    assert any(asked(small_lexicon, recipe, text, seed=seed) != first for seed in range(1, 6))
    changed = {sum(a != b for a, b in zip(seen.split(), text.split(), strict=True)) for seen in first}
    assert max(changed) > 1  # places found apart are combined


def test_pso_keeps_the_part_of_speech_and_the_form(small_lexicon: Lexicon) -> None:
    from attacks.recipes.pso import _substitutes

    substitutes = _substitutes(small_lexicon)
    assert substitutes("movies", "NOUN") == ("films", "pictures")
    assert substitutes("hated", "VERB") == ("detested",)
    assert substitutes("hate", "NOUN") == ()
    assert substitutes("boring", "ADJ") == ("dull", "tedious")
    assert substitutes("movie", "DET") == ()
    assert small_lexicon.synonyms("hate")  # as a verb it has one


def test_checklist_changes_names_places_numbers_and_contractions(small_lexicon: Lexicon) -> None:
    seen = asked(small_lexicon, "checklist", "Sam Jones of France isn't in New York's 12 films with Will.")
    original = seen[0].split()
    changed = {tuple(new.split()) for new in seen[1:]}

    def found(start: int, length: int = 1) -> set[str]:
        """What stands at a place in texts that differ there and only there."""
        rest = (*original[:start], *original[start + length :])
        tail = rest[start:]
        return {
            " ".join(new[start : len(new) - len(tail)])
            for new in changed
            if new[:start] == rest[:start] and new[len(new) - len(tail) :] == tail
        } - {" ".join(original[start : start + length])}

    assert found(0)
    assert found(1)
    assert found(3)
    assert "is not" in found(4)
    assert all(place.endswith("'s") for place in found(6, 2))
    assert found(6, 2)
    assert all(number.isdigit() for number in found(8))
    assert found(8)
    assert not found(11)  # "Will" is a word first


@pytest.mark.parametrize("text", ["Room ² or １２ of 99999999999999999999", "France", "one hundred and", "McJones' 4"])
def test_checklist_survives_odd_numbers(small_lexicon: Lexicon, text: str) -> None:
    (outcome,) = attack(
        Victim(stubborn), [Sample("x", text, 0)], "checklist", lexicon=small_lexicon, budget_per_word=50, seed=0
    )
    assert outcome.error is None


def test_checklist_bites_a_victim_that_looks_at_names(small_lexicon: Lexicon) -> None:
    def patriot(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "France" in text else [0.0, 1.0] for text in texts], dtype=np.float32)

    sample = Sample("x", "A film from France.", 0)
    (outcome,) = attack(Victim(patriot), [sample], "checklist", lexicon=small_lexicon, budget_per_word=20, seed=0)
    assert outcome.status == "success"
    assert outcome.perturbed.startswith("A film from ")
    assert "France" not in outcome.perturbed


def test_input_reduction_keeps_the_label_on_one_word(small_lexicon: Lexicon) -> None:
    for outcome in run(small_lexicon, "input_reduction", TEN):
        assert outcome.status == "success"
        (word,) = outcome.perturbed.strip(" .").split()
        assert outcome.words_changed == outcome.words - 1
        assert int(np.argmax(outcome.probabilities_after)) == outcome.label
        assert (word in BAD) == (outcome.label == 0)


def test_input_reduction_fails_where_nothing_can_go(small_lexicon: Lexicon) -> None:
    found = {outcome.id: outcome for outcome in run(small_lexicon, "input_reduction", SAMPLES)}
    assert {name: found[name].status for name in ("empty", "blank", "one", "wrong")} == {
        "empty": "failed",
        "blank": "failed",
        "one": "failed",
        "wrong": "skipped",
    }

    def both(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "bad" in t and "dull" in t else [0.0, 1.0] for t in texts], dtype=np.float32)

    sample = Sample("x", "a bad and dull film", 0)
    (outcome,) = attack(Victim(both), [sample], "input_reduction", lexicon=small_lexicon, budget_per_word=20, seed=0)
    assert outcome.status == "failed"
    assert outcome.perturbed is None


def test_only_a_recipe_that_fools_nobody_is_unranked() -> None:
    names = ("kuleshov", "alzantot", "faster_alzantot", "pso", "checklist")
    modules = {name: importlib.import_module(f"attacks.recipes.{name}") for name in (*names, "input_reduction")}
    assert [name for name, module in modules.items() if not getattr(module, "RANKED", True)] == ["input_reduction"]
