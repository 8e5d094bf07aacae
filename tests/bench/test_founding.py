"""The founding example: its protocol as a preset, both heads, and its two reports from the same predictions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from attacks import lexicon
from bench import campaign, leaderboard, presets, tagging
from bench.plan import Request, plan
from bench.report import entities
from bench.spec import TIERS
from bench.store import Store
from training.errors import UserError
from training.resources import Resources

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
GOLD = [["B-PER", "I-PER", "O", "O"], ["O", "B-LOC", "O", "O", "O", "O"]]
# the person's end is missed, the place is found, one O is called a place
PREDICTED = [["B-PER", "O", "O", "O"], ["O", "B-LOC", "O", "B-LOC", "O", "O"]]


def rows(table) -> dict[str, tuple]:
    return {row.name: (row.precision, row.recall, row.f1, row.support) for row in table.itertuples(index=False)}


def test_entities_by_hand():
    assert rows(tagging.entities(GOLD, PREDICTED)) == {
        "LOC": (0.5, 1.0, pytest.approx(2 / 3, abs=1e-6), 1),
        "PER": (0.0, 0.0, 0.0, 1),
        "micro avg": (pytest.approx(1 / 3, abs=1e-6), 0.5, 0.4, 2),
        "macro avg": (0.25, 0.5, pytest.approx(1 / 3, abs=1e-6), 2),
        "weighted avg": (0.25, 0.5, pytest.approx(1 / 3, abs=1e-6), 2),
    }


def test_words_by_hand_count_o_and_leave_unused_tags_out():
    found = rows(tagging.tokens(GOLD, PREDICTED, LABELS))
    share = pytest.approx(6 / 7, abs=1e-6)  # 7 are O, 7 are called O, 6 of them rightly
    assert found["O"] == (share, share, share, 7)
    assert found["B-PER"] == (1.0, 1.0, 1.0, 1)
    assert found["I-PER"] == (0.0, 0.0, 0.0, 1)
    assert found["B-LOC"] == (0.5, 1.0, pytest.approx(2 / 3, abs=1e-6), 1)
    assert "I-LOC" not in found
    assert found["micro avg"] == (0.8, 0.8, 0.8, 10)  # 8 of 10 words have the right tag
    macro, weighted = (6 / 7 + 1 + 0 + 2 / 3) / 4, (7 * 6 / 7 + 1 + 0 + 2 / 3) / 10
    assert (found["macro avg"][2], found["weighted avg"][2]) == pytest.approx((macro, weighted), abs=1e-6)


def test_the_sentence_says_what_finding_nothing_scores():
    tables = (tagging.entities(GOLD, PREDICTED), tagging.tokens(GOLD, PREDICTED, LABELS))
    sentence = entities.why_not(*tables)
    assert "(here 0.800)" in sentence
    assert "7 of 10 are O, so a model that finds no entity at all scores 0.700" in sentence
    assert "(micro F1 here 0.400)" in sentence
    assert sentence.count(". ") == 0  # one sentence


def test_a_preset_is_the_protocol_and_a_tier_gives_it_sizes():
    name, tier, settings = presets.choose(None, "founding_ner")
    assert (name, tier.tasks, tier.mitigations, tier.recipes) == ("founding_ner", ("conll2003",), ("baseline",), ())
    assert (tier.sizes.train, tier.sizes.validation, tier.sizes.test) == (None, None, None)
    assert settings == {"learning_rate": 1e-5, "batch_size": 16, "max_length": 128}
    assert tier.epochs == 5
    small = presets.choose("smoke", "founding_ner")
    assert (small.name, small.tier.sizes) == ("founding_ner-smoke", TIERS["smoke"].sizes)
    assert (small.tier.tasks, small.tier.epochs, small.settings) == (tier.tasks, 5, settings)
    assert presets.choose(None, None) == ("quick", TIERS["quick"], {})
    with pytest.raises(UserError, match=r"unknown preset 'founding'\. Known: founding_ner\."):
        presets.choose(None, "founding")


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path):
    """Requests of the preset's smoke size on a small CoNLL file, with the tiny model."""
    cache = tmp_path_factory.mktemp("cache")
    lexicon.minimal(cache / "lexicon")
    things = ("film", "plot", "movie", "acting", "scene", "story")
    lines = []
    for number in range(240):
        first, second = things[number % 6], things[number // 6 % 6]
        middle = "very " * (number // 36)
        words = [("the", "O"), (first, "B-WORK"), *((w, "O") for w in f"was {middle}good".split())]
        words += [("of", "O"), (second, "B-PART"), (first, "I-PART")]
        lines += [*(f"{word} {tag}" for word, tag in words), ""]
    data = cache / "things.conll"
    data.write_text("\n".join(lines))

    def make(results: Path, **changes) -> Request:
        base = {"tier": "smoke", "preset": "founding_ner", "data": data, "model": str(tiny_model)}
        return Request(**{**base, "results": results, "cache": cache, **changes})

    return make


def test_the_protocol_is_in_the_spec_and_the_user_has_the_last_word(ask, tmp_path):
    (job,) = plan(ask(tmp_path))
    wanted = {"learning_rate": 1e-5, "batch_size": 16, "max_length": 128, "epochs": 5, "head": "token"}
    assert wanted.items() <= job.spec.settings.items()
    assert (job.spec.tier, job.spec.learning_rate_source) == ("founding_ner-smoke", "preset founding_ner")
    assert (job.spec.recipes, job.spec.explainers) == ((), ())
    (other,) = plan(ask(tmp_path, settings={"learning_rate": 1e-3, "head": "span"}))
    assert (other.spec.settings["learning_rate"], other.spec.settings["batch_size"]) == (1e-3, 16)
    assert other.spec.learning_rate_source == "given by the user"
    assert other.spec.model == f"{job.spec.model}, span head"


def test_a_head_that_cannot_be_is_refused_before_anything_runs(ask, tmp_path, sentiment_task):
    with pytest.raises(UserError, match="head is 'both': input should be 'token' or 'span'"):
        plan(ask(tmp_path, settings={"head": "both"}))
    texts = tmp_path / "d.csv"
    texts.write_text("text,label\n" + "".join(f"film {i} was fine,good\nfilm {i} was dull,bad\n" for i in range(40)))
    with pytest.raises(UserError, match="the span head is for tagging tasks"):
        plan(ask(tmp_path, data=texts, settings={"head": "span"}))


@pytest.fixture(scope="module")
def finished(ask, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str]]:
    """Both heads, run at a learning rate a random encoder can learn with."""
    results, ids = tmp_path_factory.mktemp("results"), []
    for head in ("token", "span"):
        settings = {"head": head, "learning_rate": 5e-3, "epochs": 15}
        outcome = campaign.run_all(ask(results, settings=settings), workers=1, console=Console(file=io.StringIO()))
        assert outcome.failed == {}
        ids += outcome.spec_ids
    return Store(results), ids


def test_both_heads_learn_and_stand_on_boards_of_their_own(finished):
    store, ids = finished
    for spec_id in ids:
        record = store.read(spec_id)
        assert record.summary["validation_score"] > 0.9
        found, words = (rows(store.tables(record, name)) for name in ("entities", "tokens"))
        clean = store.tables(record, "clean")
        tp, fp, fn = (int(clean[name].sum()) for name in ("tp", "fp", "fn"))
        assert found["micro avg"][2] == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-6)
        assert set(found) == {"WORK", "PART", "micro avg", "macro avg", "weighted avg"}
        assert found["micro avg"][3] == tp + fn
        assert words["micro avg"][2] == pytest.approx(clean["correct_words"].sum() / clean["words"].sum(), abs=1e-6)
    names = [board.model for board in leaderboard.build(store)]
    assert len(names) == 2
    assert [name.endswith(", span head") for name in names] == [False, True]


@pytest.mark.parametrize("width", [80, 130])
def test_both_reports_are_shown_whole(finished, width):
    store, ids = finished
    text = io.StringIO()
    entities.show(store, ids, Console(file=text, width=width), words_too=True)
    shown = text.getvalue()
    assert shown.count("ours: entities, strict") == shown.count("theirs: words, O included") == 2
    assert shown.count("Why 0.973 is not an entity F1") == 2
    assert "…" not in shown
    text = io.StringIO()
    entities.show(store, ids, Console(file=text, width=width))
    assert "weighted avg" in text.getvalue()
    assert "theirs" not in text.getvalue()


@pytest.mark.resources
def test_the_preset_plans_conll2003_for_both_heads(resources, tmp_path):
    if not Resources().has("conll2003"):
        pytest.skip("not fetched: conll2003 (temper fetch conll2003)")
    for head in ("token", "span"):
        (job,) = plan(Request(preset="founding_ner", results=tmp_path, settings={"head": head}))
        assert (job.spec.task, job.spec.seed, job.spec.settings["head"]) == ("conll2003", 0, head)
        assert json.loads(job.spec.model_dump_json())["sizes"]["train"] is None
