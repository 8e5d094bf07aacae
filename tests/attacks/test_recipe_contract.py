"""One contract for every recipe that the registry finds: budget, errors, determinism, what it says of itself."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from attacks import engine, tagging_engine
from attacks.lexicon import Lexicon
from attacks.recipes import hotflip
from attacks.tagging_victim import TaggingVictim
from attacks.victim import Victim
from tests.attacks import test_recipes as texts
from tests.attacks import test_recipes_gradient as gradient
from tests.attacks import test_recipes_ner as names
from tests.attacks.conftest import SAMPLES, count_words, timeless
from tests.attacks.test_recipes_gradient import victim  # noqa: F401 (a fixture)
from training import registry

PLUGINS = {name: registry.load("attacks.recipes", name) for name in registry.names("attacks.recipes")}
# those with the authors' models need files that the tests of these make
RECIPES = tuple(name for name, plugin in PLUGINS.items() if plugin.COMPONENTS != "original")
TEXTS = tuple(name for name in RECIPES if name not in (*names.RECIPES, *gradient.RECIPES))
MASKED = tuple(name for name in TEXTS if "masked_lm" in PLUGINS[name].NEEDS)
# they change nothing, find no name in these samples, or never fool
HARMLESS = ("identity", "checklist", "input_reduction")


@dataclass(frozen=True)
class World:
    """`run(samples, **options)` -> Outcomes of the recipe; ten samples that should fall, and odd ones."""

    run: Callable[..., list[Any]]
    ten: Sequence[Any]
    odd: Sequence[Any]


@pytest.fixture
def world(recipe: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """A victim of the recipe's kind that is small enough to know; where it is cheap, a new one for each run."""
    lexicon = request.getfixturevalue("masked_lexicon" if recipe in MASKED else "small_lexicon")
    settings = {"recipe": recipe, "lexicon": lexicon, "budget_per_word": 30, "seed": 0}
    if recipe in names.RECIPES:
        settings["gazetteer"] = names.NAMES
        run = functools.partial(_run, tagging_engine.attack, lambda: TaggingVictim(names.find_names, names.LABELS))
        return World(functools.partial(run, settings), names.TEN, names.ODD)
    if recipe in gradient.RECIPES:
        # in this lexicon's twenty random vectors synonyms come out at 0.79 or so
        monkeypatch.setattr(hotflip, "MIN_COSINE", 0.5)
        run = functools.partial(_run, engine.attack, lambda: request.getfixturevalue("victim"))
        return World(functools.partial(run, settings), gradient.TEN, gradient.ODD)
    run = functools.partial(_run, engine.attack, lambda: Victim(count_words))
    return World(functools.partial(run, settings), texts.TEN, texts.ODD)


def _run(attack, make_victim, settings: dict[str, Any], samples: Sequence[Any], of=None, **options) -> list[Any]:
    return attack(of or make_victim(), samples, **settings | options)


def test_the_registry_found_them() -> None:
    assert {"textfooler", "hotflip", "clare", "entity_swap", "pso", "identity"} <= set(RECIPES)
    assert set(names.RECIPES) | set(gradient.RECIPES) <= set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("budget", [1, 2, 30])
def test_the_budget_is_kept_and_no_text_is_an_error(world: World, recipe: str, budget: int) -> None:
    for outcome in world.run(world.odd, budget_per_word=budget):
        words = outcome.words if isinstance(outcome.words, int) else len(outcome.words)
        assert outcome.error is None
        assert 1 <= outcome.queries <= max(1, budget * words)


@pytest.mark.parametrize("recipe", RECIPES)
def test_order_company_and_how_many_are_in_flight_change_nothing(world: World, recipe: str) -> None:
    samples = [*world.ten, *world.odd]
    whole = timeless(world.run(samples))
    random.Random(1).shuffle(samples)
    assert timeless(world.run(samples, in_flight=3)) == whole
    assert timeless(world.run(world.ten[3:5], in_flight=1)) == {one.id: whole[one.id] for one in world.ten[3:5]}


@pytest.mark.parametrize("recipe", [name for name in TEXTS if name not in HARMLESS])
def test_at_least_one_of_ten_falls(world: World, recipe: str) -> None:
    fallen = [outcome for outcome in world.run(world.ten) if outcome.status == "success"]
    assert fallen
    for outcome in fallen:
        assert count_words([outcome.perturbed])[0].argmax() != outcome.label
        assert 1 <= outcome.words_changed <= outcome.words


# a masked language model writes the word that breaks the victim into other texts
@pytest.mark.parametrize("recipe", [name for name in TEXTS if name not in MASKED])
def test_an_error_of_the_victim_stays_in_its_example(world: World, recipe: str) -> None:
    def fragile(asked: Sequence[str]):
        if any("superb" in text.lower() for text in asked):
            raise RuntimeError("the victim broke")
        return count_words(asked)

    broken, whole = timeless(world.run(SAMPLES, of=Victim(fragile))), timeless(world.run(SAMPLES))
    assert broken.pop("short").status == "error"
    del whole["short"]
    assert broken == whole


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is(name: str) -> None:
    plugin = PLUGINS[name]
    assert set(plugin.TASKS) <= {"classification", "tagging"}
    assert plugin.TASKS
    assert plugin.COMPONENTS in ("stock", "offline")
    assert plugin.KIND
    assert plugin.__doc__.splitlines()[0].endswith(".")


def test_fingerprints_tell_recipes_apart(small_lexicon: Lexicon) -> None:
    prints = [
        engine.fingerprint(recipe, small_lexicon, 20) for recipe in TEXTS if "masked_lm" not in PLUGINS[recipe].NEEDS
    ]
    assert len({str(sorted(found.items())) for found in prints}) == len(prints) > 10
