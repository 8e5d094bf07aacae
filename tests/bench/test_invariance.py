"""The invariance stage: known answers for both task kinds, the metrics made of them, and a whole cell."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from attacks import lexicon
from attacks.invariances import suite
from attacks.recipes import embedding_pgd
from bench import keys, leaderboard, metrics, run
from bench.extraction import extract
from bench.plan import Request, plan
from bench.record import Table
from bench.robustness import invariance
from bench.store import Store
from tests.bench.conftest import attack_table, make_record
from training.task import Example

TEXTS = (
    ("don't go", 1),  # right, and wrong once it is written out
    ("do not go", 0),  # right, and right when contracted
    ("I don't", 0),  # wrong from the start
    ("good", 0),  # nothing to contract
)


def knows_not(texts: Sequence[str]) -> np.ndarray:
    """Class 1 for texts with an apostrophe, class 0 for others, but for the one that is contracted."""
    return np.array([[0.0, 1.0] if "'" in text and text != "don't go." else [1.0, 0.0] for text in texts])


def cell(texts: Sequence[tuple[str, int]], predict) -> SimpleNamespace:
    examples = [Example(f"t{i}", text, label) for i, (text, label) in enumerate(texts)]
    return SimpleNamespace(classifier=SimpleNamespace(logits=predict), examples=examples)


def table(rows: Sequence[tuple]) -> dict[str, dict[str, tuple]]:
    found: dict[str, dict[str, tuple]] = {}
    for text_id, name, *rest in rows:
        found.setdefault(name, {})[text_id] = tuple(rest)
    return found


def test_texts_are_scored_by_their_class() -> None:
    made = cell(TEXTS, knows_not)
    found = table(invariance._classified(made, made.examples))
    assert set(found) == set(suite.NAMES)
    assert found["contractions"] == {
        "t0": (True, True, False),  # "do not go" is class 0
        "t1": (True, True, False),  # "don't go" is class 1
        "t2": (True, False, None),
        "t3": (False, True, None),
    }
    assert found["punctuation"] == {
        "t0": (True, True, False),  # "don't go." is class 0
        "t1": (True, True, True),
        "t2": (True, False, None),
        "t3": (True, True, True),
    }
    assert found["names"] == {f"t{i}": (False, i != 2, None) for i in range(4)}


SENTENCES = (
    (("we", "pay", "Ann", "."), ("O", "O", "B-PER", "O")),
    (("we", "do", "not", "pay", "Ann"), ("O", "O", "O", "O", "B-PER")),
    (("Acme", "pays"), ("B-ORG", "O")),
)
LABELS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")


def reads_capitals(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """A word with a capital is a PER, except after a contraction; nobody is an ORG."""
    return [["B-PER" if word[0].isupper() and "don't" not in words else "O" for word in words] for words in sentences]


def test_sentences_are_scored_by_their_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [
        Example(f"s{i}", " ".join(words), None, words, tuple(LABELS.index(tag) for tag in tags))
        for i, (words, tags) in enumerate(SENTENCES)
    ]
    train = (Example("tr", "Jo Dam", None, ("Jo", "Dam"), (1, 2)), Example("t2", "Kim", None, ("Kim",), (1,)))
    made = SimpleNamespace(
        classifier=SimpleNamespace(tags=reads_capitals),
        task=SimpleNamespace(labels=LABELS, train=train),
        spec=SimpleNamespace(sizes=SimpleNamespace(train=None)),
    )
    found = table(invariance._tagged(made, examples))
    assert found["contractions"] == {"s0": (False, True, None), "s1": (True, True, False), "s2": (False, False, None)}
    assert found["punctuation"] == {"s0": (True, True, True), "s1": (True, True, True), "s2": (True, False, None)}
    # "we" becomes "We", which this victim takes for a person
    assert found["upper_first"] == {"s0": (True, True, False), "s1": (True, True, False), "s2": (False, False, None)}
    # Jo Dam is one person of two words, and this victim would see two persons
    entities = {"PER": [("Jo", "Dam"), ("Kim",)]}
    sentences = {f"s{i}": suite.change_sentence("names", *SENTENCES[i], f"s{i}", entities) for i in (0, 1)}
    for key, (words, _) in sentences.items():
        assert found["names"][key] == (True, True, "Kim" in words)
    assert found["names"]["s2"] == (False, False, None)  # no other ORG is known


def measured(rows: Sequence[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(invariance.COLUMNS))


ROWS = (
    ("a", "typos", True, True, False),
    ("b", "typos", True, True, True),
    ("c", "typos", True, True, True),
    ("d", "typos", True, True, True),
    ("e", "typos", True, False, None),
    ("f", "typos", False, True, None),
    ("a", "names", False, True, None),
    ("b", "names", False, True, None),
)


def test_the_failure_rate_is_over_what_was_right_and_was_changed(tmp_path: Path) -> None:
    store = Store(tmp_path, write=True)
    record = make_record(recipes=["a"])
    store.write(record, {"invariance": measured(ROWS)})
    stored = store.read(record.spec_id)
    found = extract(stored, lambda name: store.tables(stored, name))
    assert set(found) & {"invariance_failure:names", "invariance_failure:typos"} == {"invariance_failure:typos"}
    summary = metrics.summarise("invariance_failure:typos", [found["invariance_failure:typos"]])
    assert summary.value == pytest.approx(0.25)
    assert metrics.table_of("invariance_failure:typos") == "invariance"
    assert metrics.of("invariance_failure:typos").direction == "lower"


def test_recipes_that_are_only_shown_are_in_no_worst_case() -> None:
    survived, fallen = attack_table(np.array([1, 1, 0])), attack_table(np.array([0, 0, 0]))
    tables = {"attack:a:raw": survived, "attack:b:raw": fallen}
    for shown, expected in ((True, [0.0, 0.0, 0.0]), (False, [1.0, 1.0, 0.0])):
        prints = {"recipe:b": {"name": "b", "ranked": shown}}
        record = make_record(recipes=["a", "b"], fingerprints=prints, tables={n: Table(inline={}) for n in tables})
        found = extract(record, lambda name: tables[name])
        assert found["worst_case_raw"].top.tolist() == expected
        assert found["aua_raw:b"].top.tolist() == [0.0, 0.0, 0.0]


def test_drift_is_taken_from_a_ranked_recipe() -> None:
    def chosen(*recipes: str) -> str:
        return keys.drift_recipe(SimpleNamespace(recipes=recipes))  # type: ignore[arg-type]

    assert chosen("embedding_pgd", "deepwordbug") == "deepwordbug"
    assert chosen("embedding_pgd", "deepwordbug", "textfooler") == "textfooler"
    assert chosen("embedding_pgd") == chosen() == "textfooler"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Store:
    """One cell on a tiny model: white-box attack, black-box attack and invariances."""
    rng, rows = random.Random(0), {}
    while len(rows) < 160:
        label = rng.choice(["bad", "good"])
        filler = " ".join(rng.choice(["the", "film", "plot", "scene", "story", "acting"]) for _ in range(3))
        rows[f"{filler} {rng.choice(['was', 'is not'])} {label} in {rng.randint(20, 90)} scenes ."] = label
    folder = tmp_path_factory.mktemp("cell")
    lexicon.minimal(folder / "cache" / "lexicon")
    lines = [f'"{text}",{label}' for text, label in rows.items()]
    (folder / "mine.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf8")
    request = Request(
        tier="smoke", data=folder / "mine.csv", model=str(tiny_model), mitigations=["baseline"], seeds=1,
        recipes=["embedding_pgd", "deepwordbug"], explainers=["random"], results=folder / "results",
        cache=folder / "cache", settings={"epochs": 8, "learning_rate": 5e-3},
    )  # fmt: skip
    (job,) = plan(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_pgd, "RADIUS", 3.0)  # a ball in which there is a success
        assert run.finish(job, lambda *_: None, {}) == "ok"
    assert run.finish(job, lambda *_: None, {}) == "ok"  # everything is read back, not computed again
    return Store(folder / "results")


def test_a_cell_holds_one_row_a_text_and_invariance(finished: Store) -> None:
    (record,) = finished
    found = finished.tables(record, "invariance")
    attacked = set(finished.tables(record, "attack:deepwordbug:raw")["id"])
    assert list(found.columns) == list(invariance.COLUMNS)
    assert len(found) == len(attacked) * len(suite.NAMES)
    assert set(found["id"]) == attacked
    known = found["applies"].astype(bool) & found["correct_before"].astype(bool)
    assert (found["same_after"].notna() == known).all()
    applies = found[found["applies"].astype(bool)].groupby("invariance").size()
    assert {"typos", "numbers", "punctuation", "upper_first"} <= set(applies.index)
    # this model does not read case
    assert found[found["invariance"] == "upper_first"]["same_after"].dropna().astype(bool).all()
    board = leaderboard.build(finished)[0]
    assert {"invariance_failure:typos", "invariance_failure:numbers"} <= set(board.metrics)
    assert board.arms[0].cells["invariance_failure:upper_first"].value == 0.0


def test_the_white_box_attack_is_shown_and_goes_nowhere(finished: Store) -> None:
    (record,) = finished
    outcomes = finished.tables(record, "attack:embedding_pgd:calibrated")
    fooled = outcomes[outcomes["status"] == "success"]
    assert not outcomes["status"].eq("error").any()
    assert len(fooled)
    assert (fooled["perturbed"] == fooled["text"]).all()
    assert record.stages["transfer:embedding_pgd"].status == "not_applicable"
    assert "aua_calibrated:embedding_pgd" in leaderboard.build(finished)[0].metrics
