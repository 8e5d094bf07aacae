"""Regimes and temperatures of attacks on taggers: they forbid alike, and what they cannot judge they refuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from attacks import engine, regimes, tagging_engine
from attacks.lexicon import Lexicon, LexiconMissing, prepare_textattack
from attacks.tagged import TaggedOutcome
from attacks.tagging_victim import TaggingVictim, token_prediction
from attacks.victim import Victim
from tests.attacks.conftest import count_words
from tests.attacks.test_recipes_ner import LABELS, NAMES, TEN, find_names, sample
from training import registry

# three of its six words must change before the name is lost
DENSE = sample("dense", "boring dull film movie said Bob", ("PER", 5, 6))
SENTENCES = (*TEN, DENSE)


def attack(lexicon: Lexicon, recipe: str, regime: str = "default") -> list[TaggedOutcome]:
    return tagging_engine.attack(
        TaggingVictim(find_names, LABELS), SENTENCES, recipe, lexicon=lexicon, gazetteer=NAMES, budget_per_word=50,
        seed=0, regime=regime,
    )  # fmt: skip


def won(outcomes: Sequence[TaggedOutcome]) -> dict[str, TaggedOutcome]:
    return {outcome.id: outcome for outcome in outcomes if outcome.status == "success"}


def test_the_default_adds_nothing(small_lexicon: Lexicon) -> None:
    plain = tagging_engine.attack(
        TaggingVictim(find_names, LABELS), SENTENCES, "ner_deepwordbug", lexicon=small_lexicon, gazetteer=NAMES,
        budget_per_word=50, seed=0,
    )  # fmt: skip
    named = attack(small_lexicon, "ner_deepwordbug", "default")
    assert [dataclasses.replace(o, seconds=0.0) for o in plain] == [dataclasses.replace(o, seconds=0.0) for o in named]


def test_fixed_allows_a_quarter_of_the_words(small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.recipes.textfooler.MIN_SIMILARITY", 0.0)  # the encoder here is random
    free, held = (won(attack(small_lexicon, "ner_deepwordbug", regime)) for regime in ("default", "fixed"))
    assert free["dense"].words_changed == 3
    assert "dense" not in held
    assert held.keys() <= free.keys()
    assert {o.words_changed for o in held.values()} <= set(range(1, math.ceil(regimes.SHARE * 10) + 1))
    assert held


def test_fixed_counts_a_longer_name_by_its_words_and_not_by_what_follows(small_lexicon: Lexicon) -> None:
    held = won(attack(small_lexicon, "entity_swap", "fixed"))
    moved = [o for o in held.values() if len(o.perturbed or ()) != len(o.words)]
    assert moved
    # place by place, all words behind the name would differ
    places = [sum(a != b for a, b in zip(o.words, o.perturbed or (), strict=False)) for o in moved]
    assert max(places) > 1
    assert all((o.words_changed or 0) <= math.ceil(regimes.SHARE * len(o.words)) for o in held.values())
    # "Oslo" alone is one word of one: a name of two words is more than that
    tight = [sample("a", "dull film Oslo", ("LOC", 2, 3))]
    for regime, allowed in (("default", {1, 2}), ("fixed", {1})):
        found = tagging_engine.attack(
            TaggingVictim(find_names, LABELS), tight, "entity_swap", lexicon=small_lexicon, gazetteer=NAMES,
            budget_per_word=50, seed=0, regime=regime,
        )  # fmt: skip
        assert {o.words_changed for o in found if o.status == "success"} <= allowed


def test_strict_forbids_what_is_not_similar(small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.recipes.textfooler_adjusted.MIN_SIMILARITY", 1.1)
    for recipe in ("ner_deepwordbug", "ner_textfooler"):
        assert won(attack(small_lexicon, recipe))
        assert not won(attack(small_lexicon, recipe, "strict"))


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")
def test_the_recipes_that_strict_cannot_judge_say_so_before_they_run(masked_lexicon: Lexicon) -> None:
    """REPLACES_WORDS against what the constraints say of the built attack, for every recipe of both kinds."""
    prepare_textattack(masked_lexicon.folder)
    refused = set()
    # what the authors use is not here, so their sets cannot be built
    for name in (one for one in registry.names("attacks.recipes") if not one.endswith("_original")):
        module = registry.load("attacks.recipes", name)
        try:
            if "tagging" in module.TASKS:
                built = module.build(TaggingVictim(find_names, LABELS), masked_lexicon, NAMES, "untargeted")
            else:
                victim = Victim(count_words, white_box=object())  # type: ignore[arg-type]
                built = module.build(victim, masked_lexicon)
        except (LexiconMissing, ValueError):
            continue  # not to be built on these small parts
        rules = regimes.regime_constraints("strict", masked_lexicon, module.KIND)
        judged = all(rule.check_compatibility(built.transformation) for rule in rules)
        assert regimes.judges("strict", module) == judged, name
        assert regimes.judges("fixed", module)
        if not judged:
            refused.add(name)
            with pytest.raises(ValueError, match="cannot judge"):
                regimes.constrain(built, "strict", masked_lexicon, module.KIND)
    assert refused == {"clare", "input_reduction", "entity_swap"}
    with pytest.raises(ValueError, match="allowed: default, fixed, strict"):
        regimes.judges("hard", module)


def test_a_regime_is_part_of_the_fingerprint(small_lexicon: Lexicon) -> None:
    prints = [tagging_engine.fingerprint("ner_deepwordbug", small_lexicon, NAMES, 50, regime=r) for r in regimes.NAMES]
    assert len({str(one) for one in prints}) == 3
    assert prints[0] == tagging_engine.fingerprint("ner_deepwordbug", small_lexicon, NAMES, 50)
    assert prints[1]["regime"] == engine.fingerprint("deepwordbug", small_lexicon, 50, "fixed")["regime"]


def test_a_temperature_changes_the_probabilities_and_no_tag() -> None:
    logits = np.array([[np.log(4.0), 0.0], [0.0, np.log(9.0)], [np.nan, np.nan]], dtype=np.float32)
    plain, warm = (token_prediction(logits, ("O", "B-A"), at) for at in (1.0, 2.0))
    assert plain.tags == warm.tags == ("O", "B-A", "O")
    np.testing.assert_allclose(plain.probabilities, [[0.8, 0.2], [0.1, 0.9], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(warm.probabilities, [[2 / 3, 1 / 3], [0.25, 0.75], [1, 0]], atol=1e-6)
