"""A regime only forbids, is the same for every recipe, and is part of what makes two results comparable."""

from __future__ import annotations

import math

import pytest

from attacks import engine, regimes
from attacks.lexicon import LexiconMissing, prepare_textattack
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from tests.attacks.conftest import SAMPLES, count_words

# four of its seven words must change before the victim errs
TEXTS = (*SAMPLES, Sample("dense", "good great fine superb film is bad", 1))


def attack(lexicon, regime: str, recipe: str = "deepwordbug") -> list[Outcome]:
    return engine.attack(Victim(count_words), TEXTS, recipe, lexicon=lexicon, budget_per_word=50, seed=0, regime=regime)


def different(outcome: Outcome) -> int:
    return sum(a != b for a, b in zip(outcome.text.split(), str(outcome.perturbed).split(), strict=True))


def test_the_default_adds_nothing(small_lexicon) -> None:
    prepare_textattack(small_lexicon.folder)
    assert regimes.regime_constraints("default", small_lexicon) == []
    assert regimes.fingerprint("default") == {}
    plain = engine.attack(Victim(count_words), TEXTS, "deepwordbug", lexicon=small_lexicon, budget_per_word=50, seed=0)
    named = attack(small_lexicon, "default")
    assert [(o.status, o.perturbed, o.queries) for o in plain] == [(o.status, o.perturbed, o.queries) for o in named]


def test_fixed_allows_a_quarter_of_the_words_and_never_gains_a_success(small_lexicon, monkeypatch) -> None:
    monkeypatch.setattr("attacks.recipes.textfooler.MIN_SIMILARITY", 0.0)  # the encoder here is random
    free, held = attack(small_lexicon, "default"), attack(small_lexicon, "fixed")
    assert any(o.status == "success" and different(o) > math.ceil(regimes.SHARE * o.words) for o in free)
    for one in held:
        assert one.status != "success" or different(one) <= math.ceil(regimes.SHARE * one.words)
    won = {o.id for o in held if o.status == "success"}
    assert won
    assert won <= {o.id for o in free if o.status == "success"}


def test_the_similarity_of_a_regime_forbids(small_lexicon, monkeypatch) -> None:
    monkeypatch.setattr("attacks.recipes.textfooler.MIN_SIMILARITY", 1.1)
    monkeypatch.setattr("attacks.recipes.textfooler_adjusted.MIN_SIMILARITY", 1.1)
    assert "success" not in {o.status for o in attack(small_lexicon, "strict")}
    # fixed lets texts shorter than the window through, as our TextFooler does
    assert {o.words for o in attack(small_lexicon, "fixed") if o.status == "success"} <= set(range(15))


@pytest.mark.parametrize(
    ("kind", "count"), [("words", 3), ("genetic", 3), ("characters", 2), ("characters and words", 2)]
)
def test_strict_asks_a_part_of_speech_of_words_only(small_lexicon, kind: str, count: int) -> None:
    prepare_textattack(small_lexicon.folder)
    found = regimes.regime_constraints("strict", small_lexicon, kind)
    assert len(found) == count
    assert any(type(one).__name__ == "StrictPartOfSpeech" for one in found) == (kind in ("words", "genetic"))


def test_strict_holds_a_word_recipe_to_near_words(small_lexicon) -> None:
    """What strict lets textfooler do, textfooler_adjusted's rules let it do."""
    free, held = (attack(small_lexicon, regime, "textfooler") for regime in ("default", "strict"))
    assert {o.id for o in held if o.status == "success"} <= {o.id for o in free if o.status == "success"}


def test_budget_and_fingerprint(small_lexicon, stopword_lexicon) -> None:
    assert [regimes.budget_per_word(name, 20) for name in regimes.NAMES] == [20, 50, 20]
    prints = [engine.fingerprint("deepwordbug", small_lexicon, 50, regime) for regime in regimes.NAMES]
    assert "regime" not in prints[0]
    assert prints[0] == engine.fingerprint("deepwordbug", small_lexicon, 50)
    assert len({str(one) for one in prints}) == 3
    # deepwordbug alone needs stop words, under a regime the encoder decides as well
    assert (prints[0]["lexicon"], prints[1]["lexicon"]) == ("stopwords", small_lexicon.fingerprint)
    with pytest.raises(LexiconMissing, match="encoder"):
        attack(stopword_lexicon, "fixed")


@pytest.mark.parametrize("name", ["hard", "", "Default"])
def test_an_unknown_regime_is_refused(small_lexicon, name: str) -> None:
    for call in (lambda: attack(small_lexicon, name), lambda: regimes.budget_per_word(name, 1)):
        with pytest.raises(ValueError, match="allowed: default, fixed, strict"):
            call()


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")
def test_a_recipe_that_inserts_words_is_refused_rather_than_let_through(small_lexicon) -> None:
    prepare_textattack(small_lexicon.folder)
    from textattack import Attack
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedySearch
    from textattack.transformations import WordInsertionRandomSynonym

    goal = UntargetedClassification(Victim(count_words))
    made = Attack(goal, [], WordInsertionRandomSynonym(), GreedySearch())
    with pytest.raises(ValueError, match="cannot judge"):
        regimes.constrain(made, "strict", small_lexicon, "words")
    assert len(regimes.constrain(made, "fixed", small_lexicon, "words").constraints) == 2
