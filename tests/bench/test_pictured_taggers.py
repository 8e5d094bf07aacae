"""Curves from checkpoints: of one entity of a tagger, and the mean over many texts of stored attributions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from bench import cli
from bench.explanations.entity_versions import predicted
from bench.report.gallery import command
from bench.report.gallery.command import Asked
from bench.store import Store
from explain import entities
from explain.engine import explain
from explain.entities import Entity, tag_logits
from explain.faithfulness import curves, curves_of
from explain.inputs import Explainable, encode, encode_words
from explain.methods import occlusion
from explain.pool import Pool
from explain.questions import Question
from tests.bench.conftest import make_record
from tests.explain.conftest import wordpiece  # noqa: F401
from tests.explain.test_ner import Neighbours
from training.errors import UserError
from training.model import Classifier, open_classifier

WORDS = ("hated", "the", "plot", "story", "very", "much")
CURVES = ("deletion", "insertion", "deletion_low", "deletion_high", "insertion_low", "insertion_high")


def sure(margin: float) -> float:
    return 1 / (1 + np.exp(-margin))


def test_the_curves_of_an_entity_by_hand(wordpiece: Any) -> None:  # noqa: F811
    """At each word the margin is its own push and half of the one before; a mask pushes by -0.5."""
    model = Explainable(Neighbours(wordpiece, {"actor": 4.0, "the": 2.0, "plot": 1.0, "[MASK]": -0.5}), wordpiece, 64)
    encoded = encode_words(model, ("the", "actor", "plot"))
    asked = entities.question(encoded, tag_logits(model, [encoded])[0], Entity(1, 2, "PER"))
    drawn = curves_of(Pool(model), asked, [2.0, 3.0, 1.0], orders=200)
    # "actor", "the", "plot" go in this order; the margins are those at "actor" and at "plot"
    gone = [(5.0, 3.0), (0.5, 0.75), (-0.75, 0.75), (-0.75, -0.75)]
    kept = [(-0.75, -0.75), (3.75, 1.5), (5.0, 1.5), (5.0, 3.0)]
    assert drawn.deletion == pytest.approx([np.mean([sure(one) for one in two]) for two in gone], abs=1e-6)
    assert drawn.insertion == pytest.approx([np.mean([sure(one) for one in two]) for two in kept], abs=1e-6)
    # of the 6 orders each has more than a twentieth: the band holds all of them
    assert (drawn.deletion_low <= drawn.deletion + 1e-9).all()
    assert (drawn.deletion <= drawn.deletion_high + 1e-9).all()
    with pytest.raises(ValueError, match="2 scores for 3 words"):
        curves_of(Pool(model), asked, [1.0, 2.0])


def test_a_pool_shares_the_random_orders_and_changes_nothing(tiny_model: Path, sentiment_task: Any) -> None:
    model = explainable(open_classifier(tiny_model, sentiment_task(), 32, 0))
    (one,) = explain(model, ["the film was great"], occlusion)
    pool, question = Pool(model), Question(encode(model, one.text), (one.target,), (one.other,))
    first = curves_of(pool, question, one.scores)
    rows = pool.rows
    turned = curves_of(pool, question, [-score for score in one.scores])
    assert pool.rows - rows <= 2 * (len(one.words) + 1)
    apart = curves(model, one)
    for name in CURVES:
        np.testing.assert_allclose(getattr(first, name), getattr(apart, name), atol=1e-6)
        if name.endswith(("low", "high")):
            np.testing.assert_array_equal(getattr(first, name), getattr(turned, name))


def explainable(classifier: Classifier) -> Explainable:
    return Explainable(classifier.module, classifier.tokenizer, classifier.max_length)


@pytest.fixture(scope="module")
def tagger(tiny_model: Path, tagging_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that finds entities at once."""
    folder = tmp_path_factory.mktemp("tagger")
    made = open_classifier(tiny_model, tagging_task, 32, 1)
    with torch.no_grad():
        made.module.classifier.weight.mul_(5)  # type: ignore[union-attr, operator]
        made.module.classifier.bias.copy_(torch.tensor([0.0, 0.5, 0.2]))  # type: ignore[union-attr, arg-type]
    made.save(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, sentiment_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    open_classifier(tiny_model, sentiment_task(), 32, 0).save(folder)
    return folder


def with_checkpoint(store: Store, checkpoint: Path) -> Store:
    """Its run is known by the summary that the stage wrote."""
    (store.folder / "work").mkdir()
    (store.folder / "work" / "train-0123456789abcdef").symlink_to(checkpoint)
    (checkpoint / "result.json").write_text(json.dumps({"seconds": 1.0, "result": {"train_seconds": 1.5}}))
    return store


def reopened(checkpoint: Path, task: Any) -> Explainable:
    return explainable(open_classifier(checkpoint, task, 32, 0))


SENTENCES = {"s1": WORDS, "s2": ("it", "was", "the", "acting"), "s3": ("a", "dull", "scene", "of", "the", "film")}


@pytest.fixture
def tagged(tmp_path: Path, tagger: Path, tagging_task: Any) -> Store:
    """Every entity that the checkpoint finds, with scores that rise and such that fall along the sentence."""
    model, rows = reopened(tagger, tagging_task), {"occlusion": [], "lime": [], "random": []}  # type: ignore[var-annotated]
    for one, words in SENTENCES.items():
        for entity in found_in(model, words, tagging_task.labels):
            for explainer, kept in rows.items():
                scores = list(range(len(words)))[:: 1 if explainer == "lime" else -1]
                place = {"first": entity.first, "last": entity.last, "kind": entity.kind}
                row = {"id": one} | place | {"margin": 1.0, "self_share": 0.5, "words": json.dumps(words)}
                kept.append(row | {"scores": json.dumps(scores)})
    store = Store(tmp_path / "tagged", write=True)
    tables = {f"entity_attributions:{name}": pd.DataFrame(kept) for name, kept in rows.items()}
    # as the stage leaves it where no attack succeeded
    tables["attacked_entities:lime"] = pd.DataFrame()
    spec = {"settings": {"max_length": 32}}
    store.write(
        make_record("baseline", 0, task="toy_tags", recipes=[], summary={"train_seconds": 1.5}, spec=spec), tables
    )
    return with_checkpoint(store, tagger)


def found_in(model: Explainable, words: Sequence[str], labels: Sequence[str]) -> list[Entity]:
    return predicted(tag_logits(model, [encode_words(model, words)])[0], tuple(labels))


def drawn(store: Store, **options: Any) -> tuple[str, Path]:
    console = Console(file=io.StringIO(), width=200, record=True)
    command.run(Asked(**options), store, store.folder / "pictures", console)
    return console.export_text(), store.folder / "pictures"


def read(path: Path) -> dict[str, np.ndarray]:
    """Curve name -> (places, 6)."""
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf8"))))[1:]
    names = list(dict.fromkeys(row[0] for row in rows))
    return {name: np.array([[float(cell) for cell in row[2:]] for row in rows if row[0] == name]) for name in names}


def test_the_first_entity_of_a_tagger_has_curves(tagged: Store, tagger: Path, tagging_task: Any) -> None:
    said, out = drawn(tagged, text="s1")
    assert "!" not in said.replace("! no pair of", "")
    found = read(out / "s1-curves-baseline.csv")
    assert set(found) == {"occlusion", "lime"}
    model = reopened(tagger, tagging_task)
    encoded = encode_words(model, WORDS)
    (logits,) = tag_logits(model, [encoded])
    entity = found_in(model, WORDS, tagging_task.labels)[0]
    question = entities.question(encoded, logits, entity)
    # nothing masked: what the model says of the entity's own words
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    whole = chances.max(axis=1)[entity.first : entity.last + 1].mean()
    assert found["occlusion"][0, 0] == pytest.approx(whole, abs=1e-5)
    (own,) = entities.explain_entities(model, [(entity, question)], occlusion)
    expected = curves_of(Pool(model), question, own.attribution.scores)
    np.testing.assert_allclose(found["occlusion"], np.stack([getattr(expected, n) for n in CURVES], 1), atol=1e-5)
    page = (out / "pictures.html").read_text(encoding="utf8")
    assert f"The probability of the entity {' '.join(WORDS[entity.first : entity.last + 1])} (THING" in page


def at_shares(values: np.ndarray) -> np.ndarray:
    return np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, len(values)), values)


def test_the_mean_over_sentences_counts_each_once(tagged: Store, tagger: Path, tagging_task: Any) -> None:
    said, out = drawn(tagged, over=2)
    assert "mean curves" not in said
    found = read(out / "over-curves-baseline.csv")
    assert set(found) == {"lime", "occlusion"}
    model, expected = reopened(tagger, tagging_task), []
    for words in list(SENTENCES.values())[:2]:
        encoded = encode_words(model, words)
        (logits,) = tag_logits(model, [encoded])
        asked = [entities.question(encoded, logits, one) for one in found_in(model, words, tagging_task.labels)]
        each = [curves_of(Pool(model), one, list(range(len(words)))) for one in asked]
        assert each, "this sentence has no entity: nothing was drawn"
        expected.append(np.mean([[at_shares(getattr(one, name)) for name in CURVES] for one in each], axis=0).T)
    np.testing.assert_allclose(found["lime"], np.mean(expected, axis=0), atol=1e-5)
    # the band is of the texts, not of an explainer
    np.testing.assert_allclose(found["lime"][:, 2:], found["occlusion"][:, 2:], atol=1e-6)
    assert "over 2 sentences, those of the first 2 in which" in (out / "pictures.html").read_text(encoding="utf8")


def test_a_tagger_that_finds_nothing_is_beside_one_that_does(tagged: Store) -> None:
    record = make_record("fgm", 0, task="toy_tags", recipes=[], summary={"train_seconds": 9.0})
    tagged.write(record, {"entity_attributions:occlusion": pd.DataFrame()})
    said, out = drawn(tagged, text="s1")
    assert "! fgm: no attribution of this text in" in said
    assert (out / "s1-curves-baseline.csv").is_file()


TEXTS = {"aaa": "the film was great", "bbb": "the plot was very dull", "ccc": "hated it"}


def of_texts(folder: Path, checkpoint: Path, max_length: int = 32) -> Store:
    """Class 1 explained whatever the model predicts, and an attacked version that the means leave out."""
    rows = [
        {"id": one, "version": version, "words": json.dumps(words), "scores": json.dumps([*range(len(words))])}
        for one, words in ((one, text.split()) for one, text in TEXTS.items())
        for version in ("clean", "attacked")
    ]
    about = pd.DataFrame({"id": list(TEXTS), "target": 1, "other": 0, "dnaopc": 0.5})
    store = Store(folder, write=True)
    tables = {f"attributions:{name}": pd.DataFrame(rows) for name in ("occlusion", "random")}
    spec = {"settings": {"max_length": max_length}}
    for number, arm in enumerate(("baseline", "fgm")):
        record = make_record(arm, 0, recipes=[], summary={"train_seconds": 1.5 + number}, spec=spec)
        store.write(record, tables | {"explain:occlusion": about, "explain:random": about})
    return with_checkpoint(store, checkpoint)


@pytest.fixture
def texts(tmp_path: Path, classifier: Path) -> Store:
    return of_texts(tmp_path / "texts", classifier)


def test_the_mean_over_texts_is_of_the_stored_scores(texts: Store, classifier: Path, sentiment_task: Any) -> None:
    said, out = drawn(texts, over=9)
    assert "! mean curves are over 3 texts: no more were explained" in said
    assert "! fgm: no mean curves: the checkpoint of" in said
    assert not (out / "over-curves-fgm.csv").exists()
    model, expected = reopened(classifier, sentiment_task()), []
    for text in TEXTS.values():
        encoded = encode(model, text)
        one = curves_of(Pool(model), Question(encoded, (1,), (0,)), list(range(len(encoded.words))))
        expected.append([at_shares(getattr(one, name)) for name in CURVES])
    found = read(out / "over-curves-baseline.csv")
    assert set(found) == {"occlusion"}  # the control is the band
    np.testing.assert_allclose(found["occlusion"], np.mean(expected, axis=0).T, atol=1e-5)
    assert (out / "over-curves-baseline.png").is_file()
    alone, _ = drawn(texts, over=1)
    assert "no more were explained" not in alone
    assert read(out / "over-curves-baseline.csv")["occlusion"][0, 0] != found["occlusion"][0, 0]


def test_other_words_than_were_explained_are_said(tmp_path: Path, classifier: Path) -> None:
    said, out = drawn(of_texts(tmp_path / "cut", classifier, max_length=4), over=3)
    assert "! baseline: no mean curves: the checkpoint reads other words of 'the film was great' than" in said
    assert not (out / "over-curves-baseline.csv").exists()


def test_means_need_the_checkpoints(texts: Store) -> None:
    with pytest.raises(UserError, match=r"--over asks the runs' checkpoints .* leave --stored out"):
        drawn(texts, over=2, checkpoints=False)


def test_the_command_line_has_it(texts: Store) -> None:
    asked = ["pictures", "--results", str(texts.folder), "--over", "2", "--mitigation", "baseline"]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    assert (texts.folder / "pictures" / "over-curves-baseline.svg").is_file()
    assert CliRunner().invoke(cli.app, [*asked[:4], "0"]).exit_code == 2
