"""Attacks on taggers: what each recipe may change, statuses, and that it bites."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Sequence

import numpy as np
import pytest

from attacks import gazetteer
from attacks.entities import bio, spans
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.tagged import TaggedOutcome, TaggedSample
from attacks.tagging_engine import attack, fingerprint
from attacks.tagging_victim import Prediction, TaggingVictim
from tests.attacks.conftest import timeless

CONTEXT = ("ner_deepwordbug", "ner_textfooler")
BITING = (*CONTEXT, "entity_swap")
RECIPES = (*BITING, "ner_identity")
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
KNOWN = {("Ann", "Lee"): "PER", ("Bob",): "PER", ("Oslo",): "LOC"}
CUES = frozenset(["boring", "dull", "film", "movie", "awful", "hated"])
NAMES = gazetteer.from_sentences(
    [(("Bob", "and", "Oslo"), ("B-PER", "O", "B-LOC"))] * 3
    + [(("Ann", "Lee", "Cy", "Dee", "Dee"), (*bio("PER", 2), "B-PER", *bio("PER", 2)))]
    + [(("Ann", "Lee", "Rio"), (*bio("PER", 2), "B-LOC"))]
)


def find_names(sentences: Sequence[tuple[str, ...]]) -> list[Prediction]:
    """Names it knows, in sentences with at least two cue words; an X is always a place."""
    return [_find(words) for words in sentences]


def _find(words: tuple[str, ...]) -> Prediction:
    sure = min(0.9, 0.3 + 0.15 * sum(word in CUES for word in words))  # 0.6 with two, 0.45 with one
    rows = np.tile([0.96, 0.01, 0.01, 0.01, 0.01], (len(words), 1))
    for start in range(len(words)):
        for name, kind in (*KNOWN.items(), (("X",), "LOC")):
            if words[start : start + len(name)] == name:
                for i, tag in enumerate(bio(kind, len(name))):
                    rows[start + i] = 0.001
                    rows[start + i, [LABELS.index(tag), 0]] = (0.9, 0.097) if name == ("X",) else (sure, 0.997 - sure)
    return Prediction(tuple(LABELS[i] for i in rows.argmax(1)), rows.astype(np.float32), LABELS)


def sample(name: str, text: str, *entities: tuple[str, int, int]) -> TaggedSample:
    words, tags = tuple(text.split()), ["O"] * len(text.split())
    for kind, start, stop in entities:
        tags[start:stop] = bio(kind, stop - start)
    return TaggedSample(name, words, tuple(tags))


TEN = tuple(
    sample(f"ten{i}", f"The {first} movie was {second} , said {name} there .", (kind, 7, 7 + len(name.split())))
    for i, (first, second, name, kind) in enumerate(
        (first, second, " ".join(name), kind)
        for first, second in (("long", "boring"), ("bad", "dull"), ("great", "film"), ("good", "awful"))
        for name, kind in KNOWN.items()
    )
)[:10]
ODD = (
    sample("wrong", "The boring movie of Cy .", ("PER", 4, 5)),
    sample("letters", "10 / 10 : 10 !"),
    sample("none", "The movie was boring ."),
    sample("one", "Oslo", ("LOC", 0, 1)),
    sample("two", "boring film Oslo", ("LOC", 2, 3)),
    sample("only", "Oslo Bob", ("LOC", 0, 1), ("PER", 1, 2)),
    sample("split", "boring <SPLIT> film film Bob", ("PER", 4, 5)),
    sample("unicode", "dull film très 日本 х Bob .", ("PER", 5, 6)),
    sample("invented", "A movie about X ."),
    TaggedSample("empty", (), ()),
    TaggedSample("invisible", ("boring", "\u200b", "movie", "a\xa0b", "Bob"), ("O", "O", "O", "O", "B-PER")),
)


@pytest.fixture
def run(small_lexicon: Lexicon):
    def attacked(recipe, samples: Sequence[TaggedSample] = TEN, predict=find_names, **options) -> list[TaggedOutcome]:
        settings = {"lexicon": small_lexicon, "gazetteer": NAMES, "budget_per_word": 30, "seed": 0, **options}
        return attack(TaggingVictim(predict, LABELS), samples, recipe, **settings)

    return attacked


def names_of(words: Sequence[str], tags: Sequence[str]) -> list[tuple[str, ...]]:
    return [(kind, *words[start:stop]) for kind, start, stop in spans(tags)]


@pytest.mark.parametrize("recipe", BITING)
def test_at_least_one_of_ten_falls_and_can_be_scored_again(run, recipe: str) -> None:
    fallen = [outcome for outcome in run(recipe) if outcome.status == "success"]
    assert fallen
    for outcome in fallen:
        (said,) = find_names([outcome.perturbed])
        assert said.tags == outcome.perturbed_predicted
        assert spans(said.tags) != spans(outcome.perturbed_gold)
        hits, invented, missed = outcome.counts
        assert hits + missed == 1
        assert invented + missed >= 1
        assert 1 <= outcome.words_changed <= len(outcome.words)
        assert TaggedOutcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


@pytest.mark.parametrize("recipe", CONTEXT)
def test_context_recipes_leave_names_and_marks_alone(run, recipe: str) -> None:
    seen: list[tuple[str, ...]] = []

    def spying(sentences):
        seen.extend(s for s in sentences if len(s) == len(TEN[0].words))
        return find_names(sentences)

    run(recipe, TEN[:1], predict=spying)
    assert len({s[4] for s in seen} | {s[2] for s in seen}) > 2
    assert {(s[5], *s[7:9], s[-1]) for s in seen} == {(",", "Ann", "Lee", ".")}
    for outcome in run(recipe):
        if outcome.perturbed is not None:
            assert names_of(outcome.perturbed, outcome.perturbed_gold) == names_of(outcome.words, outcome.gold)


def test_swapped_entities_are_rarer_names_of_the_type_and_the_context_stays(run) -> None:
    outcomes = [outcome for outcome in run("entity_swap") if outcome.perturbed is not None]
    lengths = set()
    for outcome in outcomes:
        ((_, *old),), ((kind, *new),) = (names_of(*pair) for pair in (
            (outcome.words, outcome.gold), (outcome.perturbed, outcome.perturbed_gold)))  # fmt: skip
        assert tuple(new) in NAMES.rarer(kind, old)
        assert outcome.perturbed[:7] == outcome.words[:7]
        assert outcome.perturbed[-2:] == outcome.words[-2:]
        lengths.add(len(new) - len(old))
    assert len(lengths) > 1


def test_identity_changes_nothing_and_asks_once(run) -> None:
    for outcome in run("ner_identity", (*TEN, *ODD)):
        (said,) = find_names([outcome.words])
        right = spans(said.tags) == spans(outcome.gold)
        assert (outcome.status, outcome.queries) == ("failed" if right else "skipped", 1)


def test_what_is_wrong_before_is_skipped_and_counts_as_it_is(run) -> None:
    found = {outcome.id: outcome for outcome in run("ner_deepwordbug", ODD)}
    assert {id_ for id_, outcome in found.items() if outcome.status == "skipped"} == {
        "wrong",
        "one",
        "only",
        "invented",
    }
    assert found["wrong"].counts == (0, 0, 1)
    assert found["only"].counts == (0, 0, 2)
    assert found["invented"].counts == (0, 1, 0)
    # right, but nothing to gain: it survives, and counts with what it found
    assert (found["none"].status, found["none"].counts) == ("failed", (0, 0, 0))
    assert found["empty"].counts == (0, 0, 0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_error_of_the_victim_stays_in_its_sentence(run, recipe: str) -> None:
    def fragile(sentences):
        if any("Oslo" in words and "long" in words for words in sentences):
            raise RuntimeError("the victim broke")
        return find_names(sentences)

    broken, whole = timeless(run(recipe, predict=fragile)), timeless(run(recipe))
    failed = broken.pop("ten2")
    assert (failed.status, failed.counts, failed.error) == ("error", None, "RuntimeError: the victim broke")
    del whole["ten2"]
    assert broken == whole


def test_finished_outcomes_are_taken_over(run) -> None:
    whole = run("entity_swap")
    told: list[str] = []
    again = run("entity_swap", finished={o.id: o for o in whole[:7]}, on_outcome=lambda o: told.append(o.id))
    assert again[:7] == whole[:7]
    assert timeless(again) == timeless(whole)
    assert sorted(told) == sorted(one.id for one in TEN[7:])
    with pytest.raises(ValueError, match="of other words or tags"):
        run("entity_swap", finished={TEN[0].id: dataclasses.replace(whole[1], id=TEN[0].id)})


def test_a_word_with_a_space_is_an_error_of_its_sentence(run) -> None:
    bad = TaggedSample("bad", ("a b", "c"), ("O", "O"))
    first, second = run("ner_identity", (bad, TEN[0]))
    assert (first.status, second.status) == ("error", "failed")
    assert "hold a space" in first.error


def test_goals_steer_the_same_recipe(run) -> None:
    for outcome in run("ner_deepwordbug", goal="drop"):
        if outcome.status == "success":
            assert not spans(outcome.perturbed_predicted)
    assert {outcome.status for outcome in run("ner_deepwordbug", goal="drop")} == {"success"}
    assert {outcome.status for outcome in run("ner_deepwordbug", goal="relabel")} == {"failed"}


def test_a_recipe_may_change_the_number_of_words(run, small_lexicon: Lexicon) -> None:
    """Put an X, which the toy takes for a place, beside every context word until one is found."""
    from attacks.lexicon import prepare_textattack

    prepare_textattack(small_lexicon.folder)
    from textattack import Attack
    from textattack.search_methods import GreedySearch
    from textattack.transformations import Transformation

    from attacks.goals import goal_function
    from attacks.tagged_text import ContextWords

    class PutX(Transformation):
        def _get_transformations(self, current_text, indices_to_modify):
            return [current_text.insert_text_before_word_index(i, "X") for i in sorted(indices_to_modify)]

    def build(victim, lexicon, names, goal):
        return Attack(goal_function(victim, goal), [ContextWords()], PutX(), GreedySearch())

    recipe = types.ModuleType("recipes.put_x")
    recipe.build, recipe.TASKS, recipe.KIND = build, ("tagging",), "words"
    for outcome in run(recipe, TEN[:3]):
        assert outcome.status == "success"
        assert len(outcome.perturbed) == len(outcome.words) + 1 == len(outcome.perturbed_gold)
        assert names_of(outcome.perturbed, outcome.perturbed_gold) == names_of(outcome.words, outcome.gold)
        assert outcome.counts == (1, 1, 0)
        assert outcome.words_changed == 1


def test_what_cannot_be_asked_is_refused(run) -> None:
    with pytest.raises(ValueError, match="'deepwordbug' attacks classification tasks, not tagging ones"):
        run("deepwordbug")
    with pytest.raises(ValueError, match="budget_per_word is 0"):
        run("ner_identity", budget_per_word=0)
    with pytest.raises(ValueError, match="unknown goal 'hide'"):
        run("ner_identity", goal="hide")
    with pytest.raises(ValueError, match="ids must be unique"):
        run("ner_identity", (TEN[0], TEN[0]))
    with pytest.raises(ValueError, match="2 words but 1 tags"):
        TaggedSample("x", ("a", "b"), ("O",))


@pytest.mark.parametrize("recipe", ["ner_textfooler", "entity_swap"])
def test_a_missing_part_of_the_lexicon_is_named_before_any_attack(run, stopword_lexicon: Lexicon, recipe: str) -> None:
    with pytest.raises(LexiconMissing, match="has no"):
        run(recipe, TEN[:1], lexicon=stopword_lexicon)


def test_fingerprints_tell_everything_apart(small_lexicon: Lexicon) -> None:
    other = gazetteer.from_sentences([(("Zoe",), ("B-PER",))])
    prints = [fingerprint(recipe, small_lexicon, NAMES, 20) for recipe in RECIPES]
    prints += [fingerprint("entity_swap", small_lexicon, other, 20)]
    prints += [fingerprint("entity_swap", small_lexicon, NAMES, 20, "drop")]
    assert len({json.dumps(one, sort_keys=True) for one in prints}) == len(RECIPES) + 2
    assert fingerprint("ner_textfooler", small_lexicon, NAMES, 20)["uses textfooler"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "won"}, "status is 'won'"),
        ({"predicted": None}, "predicted must be set"),
        ({"perturbed": ("a",)}, "perturbed must be None"),
        ({"gold": ("O",)}, "differ in number"),
        ({"predicted": ["O", "O"]}, "allowed: a tuple of strings"),
        ({"queries": -1}, "queries is -1"),
        ({"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_outcomes_that_cannot_be_are_refused(change, message: str) -> None:
    values = {"id": "a", "status": "failed", "words": ("a", "b"), "gold": ("O", "O"), "predicted": ("O", "O")}
    values |= dict.fromkeys(("perturbed", "perturbed_gold", "perturbed_predicted", "words_changed", "error"))
    values |= {"queries": 1, "seconds": 0.5}
    assert TaggedOutcome(**values).counts == (0, 0, 0)
    with pytest.raises(ValueError, match=message):
        TaggedOutcome(**{**values, **change})
    with pytest.raises(ValueError, match=r"lacks \['id'\]"):
        TaggedOutcome.from_dict({key: value for key, value in values.items() if key != "id"})


@pytest.fixture(scope="module")
def finance_tagger(resources):
    """bert-tiny fine-tuned for two epochs on short loan agreements, with ten sentences whose entities it gets right."""
    import torch

    from bench.robustness.tagging_attacks import victim
    from training import loop, registry
    from training.hooks import Context, Settings
    from training.model import open_classifier
    from training.stack import Stack

    torch.set_num_threads(1)
    whole = registry.load("training.tasks", "ner_finance").load(resources)
    short = tuple(e for e in whole.train if len(e.words) <= 30)
    task = dataclasses.replace(whole, train=short, validation=whole.validation[:20])

    def build(model=None, task=task):
        return open_classifier(resources.path("bert-tiny"), task, 64, 0)

    settings = Settings(learning_rate=2e-3, epochs=3, max_length=64)
    classifier = build()
    context = Context(task, classifier.tokenizer, settings, 0, lambda: None, build, lambda _: None)
    said = victim(loop.fine_tune(classifier, Stack([]), context).classifier)
    samples = [
        TaggedSample(e.id, e.words, tuple(task.labels[tag] for tag in e.tags)) for e in task.test if len(e.words) <= 30
    ]
    right = [one for one in samples if spans(one.tags) and spans(said([one.words])[0].tags) == spans(one.tags)]
    names = gazetteer.from_sentences((e.words, [task.labels[tag] for tag in e.tags]) for e in task.train)
    assert len(right) >= 10
    return said, right[:10], names


@pytest.mark.resources
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_real_tagger_falls_at_least_once_in_ten(recipe: str, finance_tagger, full_lexicon: Lexicon) -> None:
    said, samples, names = finance_tagger
    outcomes = attack(
        said, samples, recipe, lexicon=full_lexicon, gazetteer=names, budget_per_word=20, seed=0
    )  # fmt: skip
    assert [outcome.error for outcome in outcomes] == [None] * 10
    fallen = sum(outcome.status == "success" for outcome in outcomes)
    assert fallen == 0 if recipe == "ner_identity" else fallen >= 1
