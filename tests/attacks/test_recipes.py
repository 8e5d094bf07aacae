"""What is special in the recipes for texts, and that each fools a real victim."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from attacks.engine import attack
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from tests.attacks.conftest import SAMPLES, count_words

BLIND = ("identity",)
CHARACTERS = ("pruthi", "bad_characters")
WORDS = ("random_synonym", "pwws", "textbugger", "textfooler_adjusted", "iga", "a2t")
SEARCHES = ("kuleshov", "alzantot", "faster_alzantot", "pso")
OTHERS = ("checklist", "input_reduction")  # they have their own tests: these samples hold no name, and one never fools
RECIPES = (*BLIND, *CHARACTERS, *WORDS, *SEARCHES, *OTHERS)

SUBJECTS = ("movie", "film", "picture", "acting", "plot")
TEN = tuple(
    Sample(f"ten{i}", f"The {SUBJECTS[i % 5]} was {word} and the {SUBJECTS[(i + 1) % 5]} was long.", label)
    for i, (word, label) in enumerate(
        zip(
            ("boring", "dull", "awful", "bad", "boring", "good", "loved", "awful", "dull", "bad"),
            (0, 0, 0, 0, 0, 1, 1, 0, 0, 0),
            strict=True,
        )
    )
)
ODD = (
    *SAMPLES,
    Sample("apostrophes", "It's 'bad', isn't it -- _dull_ *awful* @home?", 0),
    Sample("letters", "b a d", 1),
    Sample("unicode", "Un film très bad 日本 \u202eх", 0),
    Sample("capitals", "BORING Film, Terribly BAD", 0),
    Sample("stop", "it was the", 1),
)


@pytest.fixture
def run(small_lexicon: Lexicon):
    def attacked(recipe: str, samples: Sequence[Sample] = TEN, predict=count_words, **options) -> list[Outcome]:
        settings = {"lexicon": small_lexicon, "budget_per_word": 30, "seed": 0, **options}
        return attack(Victim(predict), samples, recipe, **settings)

    return attacked


def test_identity_changes_nothing_and_asks_once(run) -> None:
    for outcome in run("identity", ODD):
        right = count_words([outcome.text])[0].argmax() == outcome.label
        assert (outcome.status, outcome.queries) == ("failed" if right else "skipped", 1)


@pytest.mark.parametrize("recipe", ["random_synonym", "textbugger", "bad_characters", "iga"])
def test_the_seed_is_what_a_random_recipe_draws_from(run, recipe: str) -> None:
    samples = [Sample("x", "The movie was boring and bad, terribly awful acting and a dull plot.", 0)]

    def asked(seed: int) -> tuple[str, ...]:
        seen: list[str] = []

        def spying(texts):
            seen.extend(texts)
            return count_words(texts)

        run(recipe, samples, predict=spying, seed=seed)
        return tuple(seen)

    assert asked(0) == asked(0)
    assert len({asked(seed) for seed in range(6)}) > 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_missing_part_of_the_lexicon_is_named_before_any_attack(stopword_lexicon: Lexicon, recipe: str) -> None:
    module = importlib.import_module(f"attacks.recipes.{recipe}")
    if set(module.NEEDS) <= {"stopwords"}:
        assert attack(Victim(count_words), TEN[:1], recipe, lexicon=stopword_lexicon, budget_per_word=5, seed=0)
    else:
        with pytest.raises(LexiconMissing, match="has no"):
            attack(Victim(count_words), TEN[:1], recipe, lexicon=stopword_lexicon, budget_per_word=5, seed=0)


def test_pruthi_makes_one_typo_inside_a_long_word(run) -> None:
    for outcome in run("pruthi"):
        if outcome.perturbed is None:
            continue
        pairs = [(a, b) for a, b in zip(outcome.text.split(), outcome.perturbed.split(), strict=True) if a != b]
        ((before, after),) = pairs
        assert len(before) >= 4
        assert (before[0], before[-1]) == (after[0], after[-1])
        assert abs(len(before) - len(after)) <= 1
        assert outcome.words_changed == 1


def test_random_synonyms_are_wordnets_few_and_blind(run, small_lexicon: Lexicon) -> None:
    sample = Sample("x", "The movie was boring, the boring film awful, terribly dull, BORING.", 0)
    seen: list[str] = []

    def spying(texts):
        seen.extend(texts)
        return count_words(texts)

    outcome = run("random_synonym", [sample], predict=spying)[0]
    assert outcome.queries <= outcome.words + 1
    words = sample.text.split()
    for before, text in itertools.pairwise(seen):
        steps = [(a, b) for a, b in zip(before.split(), text.split(), strict=True) if a != b]
        assert len(steps) == 1  # one word a step, on top of the last step whatever it brought
        old, new = (word.strip(".,") for word in steps[0])
        assert new.lower() in small_lexicon.synonyms(old)
        assert new.isupper() == old.isupper()
    changed = sum(a != b for a, b in zip(words, seen[-1].split(), strict=True))
    assert 1 <= changed <= int(np.ceil(0.25 * outcome.words))


def test_pwws_inflects_synonyms_like_the_word(small_lexicon: Lexicon) -> None:
    from attacks.recipes.pwws import _inflected_synonyms

    synonyms = _inflected_synonyms(small_lexicon)
    assert synonyms("movies") == ["films", "pictures"]
    assert synonyms("hated") == ["detested"]
    assert "movies" not in synonyms("movie")
    assert synonyms("xyzzy") == []


def test_adjusted_compares_short_texts_and_refuses_verbs_for_nouns(small_lexicon: Lexicon) -> None:
    from attacks.lexicon import prepare_textattack

    prepare_textattack(small_lexicon.folder)
    from textattack.shared import AttackedText

    from attacks.constraints import SamePartOfSpeech
    from attacks.recipes.textfooler_adjusted import _strict_part_of_speech

    tagger = small_lexicon.tagger
    text = AttackedText("the movie")
    verb = text.replace_word_at_index(1, "run")
    tags = {word: tagger.universal(("the", word))[1] for word in ("movie", "run", "film")}
    strict, loose = _strict_part_of_speech(tagger), SamePartOfSpeech(tagger)
    assert (tags["movie"], tags["film"]) == ("NOUN", "NOUN")
    assert strict._check_constraint(text.replace_word_at_index(1, "film"), text)
    assert loose._check_constraint(verb, text)
    assert strict._check_constraint(verb, text) == (tags["run"] == "NOUN")


def test_bad_characters_edits_few_words_and_bert_does_not_see_zero_width(run) -> None:
    from tokenizers import normalizers

    def stubborn(texts):
        return np.array([[1.0 + len(text) / 1000, 0.0] for text in texts], dtype=np.float32)

    seen: set[str] = set()

    def spying(texts):
        seen.update(texts)
        return stubborn(texts)

    text = "boring dull awful tedious dreadful terrible movie acting picture film"
    run("bad_characters", [Sample("x", text, 0)], predict=spying)
    edited = [t.replace("[UNK]", "") for t in seen]
    assert any("\u202e" in t for t in edited)
    assert any("\b" in t for t in edited)
    assert any("е" in t for t in edited)  # Cyrillic
    assert any({"\u200b", "\u200c", "\u200d"} & set(t) for t in edited)
    bert = normalizers.BertNormalizer(lowercase=True)
    assert bert.normalize_str("bo\u200bri\u200cng\u200d") == "boring"
    assert bert.normalize_str("bоring") != "boring"


@pytest.mark.resources
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_real_victim_falls_at_least_once_in_ten(recipe: str, film_victim, full_lexicon: Lexicon) -> None:
    victim, reviews = film_victim
    # the strict recipe is meant to fail mostly, and few short reviews hold a name, number or contraction for checklist
    chosen = reviews if recipe in ("textfooler_adjusted", "checklist") else reviews[:10]
    outcomes = attack(Victim(victim.predict), chosen, recipe, lexicon=full_lexicon, budget_per_word=20, seed=0)
    assert [outcome.error for outcome in outcomes] == [None] * len(chosen)
    fallen = sum(outcome.status == "success" for outcome in outcomes)
    assert fallen == 0 if recipe == "identity" else fallen >= 1
