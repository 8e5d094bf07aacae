"""The explain stage of a tagging task, on a tiny random tagger and on one of known answers: tables per explainer,
sentences without an entity, edits and attacks seen from the entities."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from attacks import lexicon
from attacks.tagged import TaggedOutcome
from bench import keys, metrics
from bench.explanations import edits, entity_explaining, entity_versions, explained, explaining, marks
from bench.spec import Sizes, Spec
from bench.work import Work
from explain.inputs import Explainable
from explain.methods import integrated_gradients, lime, occlusion, random, shapley_sampling
from explain.pool import Pool
from explain.randomisation import randomised
from tests.bench.conftest import found_in
from tests.explain.conftest import wordpiece  # noqa: F401
from tests.explain.test_ner import Neighbours
from training.task import Example

LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture
def model(wordpiece: PreTrainedTokenizerFast) -> Explainable:  # noqa: F811
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(wordpiece), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=3, initializer_range=0.2,
    )  # fmt: skip
    return Explainable(BertForTokenClassification(config).eval(), wordpiece, 32)


def sentence(name: str, *words: str) -> Example:
    return Example(id=name, text=" ".join(words), label=None, words=words, tags=(0,) * len(words))


def bench(model: Explainable, **modules: ModuleType) -> entity_explaining.Bench:
    used = modules or {"integrated_gradients": integrated_gradients, "random": random}
    return entity_explaining.Bench(model, Pool(model), Pool(randomised(model)), used, LABELS, seed=0)


def tables(model: Explainable, example: Example) -> dict[str, list[dict[str, object]]]:
    asked = entity_explaining.ask(model, example, LABELS)
    return entity_explaining._explain_one(bench(model), example, asked, entity_explaining.Around([], [], None), 0)


def test_a_row_per_sentence_and_one_per_entity(model: Explainable) -> None:
    words = ["the", "actor", "is", "good", "and", "the", "plot", "is", "dull", "not", "very", "great"]
    with torch.no_grad():
        model.module.classifier.bias.copy_(torch.tensor([-0.1, 0.3, 0.0]))
    asked = entity_explaining.ask(model, sentence("a", *words), LABELS)
    assert len(asked) >= 2
    assert {one.kind for one, _ in asked} == {"PER"}
    found = tables(model, sentence("a", *words))
    for name in ("integrated_gradients", "random"):
        (row,) = found[f"explain:{name}"]
        assert row["entities"] == len(asked)
        assert 0 <= row["self_share"] <= 1
        assert -1 <= row["dnaopc"] <= 1
        stored = found[f"entity_attributions:{name}"]
        assert [(one["first"], one["last"]) for one in stored] == [(one.first, one.last) for one, _ in asked]
        assert all(json.loads(one["words"]) == words == [*words] for one in stored)
        assert all(len(json.loads(one["scores"])) == len(words) for one in stored)
    assert found["explain:integrated_gradients"][0]["completeness_error"] < 0.01
    assert found["explain:random"][0]["completeness_error"] is None
    frame = pd.DataFrame(found["explain:integrated_gradients"])
    [values] = found_in(explained.explain, "integrated_gradients", ("a",), frame)
    assert {"dnaopc:integrated_gradients", "self_share:integrated_gradients"} <= set(values)
    assert values["completeness_failures:integrated_gradients"].top.tolist() == [0.0]


def test_only_entities_of_the_data_are_held_against_their_words(model: Explainable) -> None:
    words = ["the", "actor", "is", "good", "and", "the", "plot", "is", "dull", "not", "very", "great"]
    with torch.no_grad():
        model.module.classifier.bias.copy_(torch.tensor([-0.1, 0.3, 0.0]))
    asked = entity_explaining.ask(model, sentence("a", *words), LABELS)
    first = asked[0][0]
    tags = [0] * len(words)
    tags[first.first] = LABELS.index("B-PER")
    tags[first.first + 1 : first.last + 1] = [LABELS.index("I-PER")] * (first.last - first.first)
    (row,) = tables(model, replace(sentence("a", *words), tags=tuple(tags)))["explain:integrated_gradients"]
    stored = tables(model, sentence("a", *words))["entity_attributions:integrated_gradients"][0]
    wanted = marks.on_entity(json.loads(stored["scores"]), first.first, first.last)
    assert row["own_words_ap"] == pytest.approx(wanted["own_words_ap"], abs=1e-6)
    (other,) = tables(model, sentence("a", *words))["explain:integrated_gradients"]
    assert other["own_words_ap"] is other["own_words_f1"] is None


def test_a_sentence_without_an_entity_is_unknown_not_zero(model: Explainable) -> None:
    with torch.no_grad():
        model.module.classifier.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    for example in (sentence("b", "good", "film"), sentence("c", "\u200b")):
        found = tables(model, example)
        (row,) = found["explain:integrated_gradients"]
        assert row["entities"] == 0
        assert all(row[key] is None for key in row if key not in ("id", "entities"))
        assert found["entity_attributions:random"] == []


def test_a_span_head_says_why_not() -> None:
    class Cell:
        classifier = type("Spans", (), {"span_width": 4})()

    assert "no margin at a word" in str(entity_explaining.why_not(Cell()))  # type: ignore[arg-type]
    Cell.classifier.span_width = None
    assert entity_explaining.why_not(Cell()) is None  # type: ignore[arg-type]


PUSHES = {"actor": 4.0, "good": -2.0, "great": -1.0, "bad": -2.5, "awful": -20.0, "dull": -3.0, "not": -9.0}
WORDS = ("film", "good", "actor", "dull", "film")


@pytest.fixture
def known(wordpiece: PreTrainedTokenizerFast) -> Explainable:  # noqa: F811
    """A word is a person where its push and half of the one before add up to more than 0: "actor", mostly."""
    return Explainable(Neighbours(wordpiece, PUSHES), wordpiece, 32)


KNOWN = ("O", "B-PER")


def seen(model: Explainable, *sentences: tuple[str, ...]) -> list[entity_versions.Version]:
    asked = entity_explaining.ask(model, sentence("a", *WORDS), KNOWN)
    assert [(one.first, one.last, one.kind) for one, _ in asked] == [(2, 2, "PER")]
    return entity_versions.versions(model, asked, list(sentences), KNOWN)


def test_replaced_words_keep_their_places_and_the_margin_its_tags(known: Explainable) -> None:
    context, flipped = seen(known, ("film", "bad", "actor", "dull", "film"), ("film", "awful", "actor", "dull", "film"))
    assert context.pairs == flipped.pairs == [(0, 0), (2, 2), (3, 3), (4, 4)]
    assert (context.kept, flipped.kept) == ((True,), (False,))
    question = flipped.questions[0]
    assert question is not None
    assert (question.targets, question.others, question.places) == ((1,), (0,), (3,))


def test_an_entity_that_was_changed_is_not_asked_about(known: Explainable) -> None:
    swapped, hidden, gone = seen(known, ("film", "good", "plot", "dull", "film"), ("\u200b", *WORDS[1:]), ("\u200b",))
    assert (swapped.questions, swapped.kept) == ((None,), (False,))
    # a word that is seen no more moves those after it, whose places in the sentence stay
    assert hidden.pairs == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert hidden.kept == (True,)
    assert hidden.questions[0] is not None
    assert hidden.questions[0].places == (2,)
    assert (gone.questions, gone.kept, gone.pairs) == ((None,), (False,), [])


def test_other_numbers_of_words_are_aligned(known: Explainable) -> None:
    (longer,) = seen(known, ("film", "film", "is", "good", "actor", "dull", "film"))
    assert longer.kept == (True,)
    assert longer.questions[0] is not None
    assert longer.questions[0].places == (5,)
    assert longer.pairs[-4:] == [(1, 3), (2, 4), (3, 5), (4, 6)]


def around(model: Explainable, attacked: tuple[str, ...] | None, *edited: tuple[str, ...]) -> entity_explaining.Around:
    made = [edits.WordsEdit("typo", " ".join(words), words) for words in edited]
    hit = None if attacked is None else seen(model, attacked)[0]
    return entity_explaining.Around(made, seen(model, *edited), hit)


def test_agreement_over_edits_attacks_and_noise_by_hand(known: Explainable) -> None:
    edited = [("film", "bad", "actor", "dull", "film"), ("film", "good", "actor", "dull", "not")]
    asked = entity_explaining.ask(known, sentence("a", *WORDS), KNOWN)
    versions = around(known, ("film", "awful", "actor", "dull", "film"), *edited)
    used = bench(known, occlusion=occlusion, random=random)
    found = entity_explaining._explain_one(used, sentence("a", *WORDS), asked, versions, 0)
    (row,) = found["explain:occlusion"]
    # the other words' scores do not hang on the one that was replaced: (0, 4, 0, 0) and (0, -1, 4, 0) stay
    assert row["edit_tau"] == row["drift_tau"] == pytest.approx(1.0)
    assert row["edit_tau_worst"] is None  # two edits are not the ten wanted
    assert (row["edits"], row["edit_coverage"], row["drift_words"]) == (2, pytest.approx(0.8), 4.0)
    assert row["unchanged_tau"] is None  # the attack made this entity wrong
    assert row["randomisation_tau"] == pytest.approx(1.0)  # this tagger has learnt nothing but its word vectors
    assert found["explain:random"][0]["drift_tau"] < 0.99
    assert [(one["kind"], one["tau"]) for one in found["edits:occlusion"]] == [("typo", pytest.approx(1.0))] * 2
    (hit,) = found["attacked_entities:occlusion"]
    assert (hit["first"], hit["last"], hit["kept"], hit["tau"]) == (2, 2, False, pytest.approx(1.0))
    assert json.loads(hit["scores"]) == pytest.approx([0.0, -10.0, 4.0, 0.0, 0.0], abs=1e-5)
    kept = entity_explaining._explain_one(used, sentence("a", *WORDS), asked, around(known, edited[0]), 0)
    assert kept["explain:occlusion"][0]["unchanged_tau"] == pytest.approx(1.0)
    columns = {name: [row[name]] for name in row}
    [named] = found_in(explained.explain, "occlusion", ("a",), columns)
    assert {f"{name}:occlusion" for name in ("drift_tau", "edit_tau", "randomisation_failures")} <= named.keys()
    assert all(metrics.of(name) for name in named)


def test_costly_explainers_answer_for_the_edits_of_every_fourth_sentence(known: Explainable) -> None:
    asked, used = entity_explaining.ask(known, sentence("a", *WORDS), KNOWN), bench(known, lime=lime, random=random)
    versions = around(known, None, ("film", "bad", "actor", "dull", "film"))
    for place, expected in ((0, 1), (1, None), (4, 1)):
        found = entity_explaining._explain_one(used, sentence("a", *WORDS), asked, versions, place)
        (row,) = found["explain:lime"]
        assert row["edits"] == expected
        assert (row["edit_coverage"] is None) == (expected is None)
        assert len(found["edits:lime"]) == (expected or 0)
        assert found["explain:random"][0]["edits"] == 1
    assert not explaining.edited_here(shapley_sampling, 3)
    assert explaining.edited_here(integrated_gradients, 3)


def test_edits_leave_entities_and_the_number_of_words_alone(tmp_path: Path) -> None:
    stops_only = lexicon.minimal(tmp_path / "lexicon")
    words = ("Smith", "Brothers", "sold", "several", "well known", "companies", "yesterday", ".")
    found = edits.of_words(words, {0, 1}, stops_only)
    assert 10 < len(found) == len(set(found)) <= 30
    for edit in found:
        assert len(edit.words) == len(words)
        assert edit.words[:2] == words[:2]
        assert sum(a != b for a, b in zip(words, edit.words, strict=True)) == 1  # a tenth of 8, rounded up
    assert edits.of_words(words, range(len(words)), stops_only) == []
    text = "several companies were sold yesterday"
    plain = edits.of_words(text.split(), (), stops_only)
    assert [edit.text for edit in plain] == [edit.text for edit in edits.candidates(text, stops_only)]


def tagging(**changes: object) -> Spec:
    values: dict = {
        "task": "ner_finance", "task_fingerprint": "d", "model": "bert-tiny", "model_fingerprint": "m",
        "mitigation": "baseline", "mitigations": [{"name": "baseline", "version": 1, "config": {}}], "seed": 0,
        "tier": "quick", "settings": {"labelled": 1.0, "max_length": 32}, "learning_rate_source": "grid",
        "sizes": Sizes(attacked=2, explained=2, throughput_rounds=1), "recipes": ("ner_deepwordbug",),
        "explainers": ("occlusion", "random"), "budget_per_word": 50, "lexicon_fingerprint": "l",
    }  # fmt: skip
    return Spec(**{**values, **changes})


def test_the_stage_compares_with_the_stored_attack_and_depends_on_it(known: Explainable, tmp_path: Path) -> None:
    classifier = SimpleNamespace(
        module=known.module, tokenizer=known.tokenizer, max_length=32, labels=KNOWN, span_width=None
    )
    tested = [sentence("a", *WORDS), sentence("b", "film", "actor", "plot", "is")]
    cell = SimpleNamespace(
        spec=tagging(), classifier=classifier, task=SimpleNamespace(test=tested), work=Work(tmp_path / "work"),
        lexicon=lambda: lexicon.minimal(tmp_path / "lexicon"), tick=lambda *_: None,
    )  # fmt: skip
    perturbed, tags = ("film", "awful", "actor", "dull", "film"), ("O", "O", "B-PER", "O", "O")
    hit = TaggedOutcome(
        id="a", status="success", words=WORDS, gold=tags, predicted=tags, perturbed=perturbed, perturbed_gold=tags,
        perturbed_predicted=("O",) * 5, queries=3, words_changed=1, seconds=0.1, error=None,
    )  # fmt: skip
    found = entity_explaining.explain(cell, {"a": hit})
    table = found["explain:occlusion"].set_index("id")
    assert table.loc["a", "drift_tau"] == pytest.approx(1.0)
    assert table["drift_tau"].notna().tolist() == [one == "a" for one in table.index]
    assert set(found["attacked_entities:occlusion"]["id"]) == {"a"}
    assert set(found["edits:random"]["id"]) <= {"a", "b"}
    other = tagging(recipes=("ner_textfooler",))
    assert keys.explain_key(tagging()) != keys.explain_key(other)
    assert keys.explain_key(tagging()) == keys.explain_key(tagging(recipes=("ner_deepwordbug", "entity_swap")))
