"""Taggers beside another seed and the baseline: the same entities, word by word, by hand and on two real taggers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau

from attacks import lexicon
from bench import keys, metrics, run
from bench.explanations import agreement, entity_explaining, explained
from bench.keys import explain_key
from bench.record import StageResult
from bench.run import Walk
from bench.spec import Sizes, Spec
from bench.store import columns_of
from bench.work import Work
from tests.bench.conftest import found_in
from tests.bench.test_entity_explaining import tagging
from training.model import Classifier, open_classifier

WORDS = ("Ann", "met", "Bob", "Lee", "again")
OTHER = ("Ann", "saw", "Bob", "Lee", "again")
UP, DOWN = [1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 1.0]
# of 10 pairs of words 2 are turned round: tau-b (8 - 2) / 10
MIXED = [2.0, 1.0, 3.0, 5.0, 4.0]
ANN, BOB = (0, 0, "PER"), (2, 3, "PER")
Entities = list[tuple[tuple[int, int, str], tuple[str, ...], list[float]]]


def stage(work: Work, which: Spec, sentences: dict[str, Entities]) -> None:
    """A finished explain stage of a tagger: sentence -> its entities (place, the sentence's words, scores)."""

    def make(folder: Path) -> dict[str, Any]:
        pd.DataFrame({"id": list(sentences), "dnaopc": None}).to_parquet(folder / "explain-occlusion.parquet")
        rows = [
            {"id": one, "first": place[0], "last": place[1], "kind": place[2], "margin": 1.0, "self_share": 0.5}
            | {"words": json.dumps(words), "scores": json.dumps(scores)}
            for one, entities in sentences.items()
            for place, words, scores in entities
        ]
        pd.DataFrame(rows).to_parquet(folder / "entity_attributions-occlusion.parquet")
        pd.DataFrame().to_parquet(folder / "attacked_entities-occlusion.parquet")
        return {}

    work.run("explain", explain_key(which), make)


def compared(folder: Path, own: dict[str, Entities], twin: dict[str, Entities]) -> pd.DataFrame:
    work, mine, other = Work(folder), tagging(), tagging(seed=1)
    stage(work, mine, own)
    stage(work, other, twin)
    found = agreement.compare(SimpleNamespace(spec=mine, work=work), {"seed": other})  # type: ignore[arg-type]
    assert set(found) == {"agreement:occlusion"}
    table = found["agreement:occlusion"]
    assert list(table) == ["id", "seed_tau", "seed_overlap", "baseline_tau", "baseline_overlap"]
    assert table["baseline_tau"].isna().all()
    return table.set_index("id")


def test_the_mean_over_the_entities_both_find_by_hand(tmp_path: Path) -> None:
    own = {
        "both": [(ANN, WORDS, UP), (BOB, WORDS, UP)],
        "one": [(ANN, WORDS, UP), (BOB, WORDS, UP)],
        "still": [(ANN, WORDS, UP), (BOB, WORDS, UP)],
    }
    twin = {
        "both": [(BOB, WORDS, MIXED), (ANN, WORDS, DOWN)],
        "one": [(BOB, WORDS, MIXED)],
        "still": [(ANN, WORDS, [0.0] * 5), (BOB, WORDS, UP)],
    }
    table = compared(tmp_path, own, twin)
    assert table.loc["both", "seed_tau"] == pytest.approx((-1.0 + 0.6) / 2)
    assert table.loc["one", "seed_tau"] == pytest.approx(0.6)
    # scores that do not vary have no ranks: that entity is unknown and the other is left
    assert table.loc["still", "seed_tau"] == pytest.approx(1.0)
    # the top fifth of five words is one word. UP and DOWN, UP and MIXED have another one: (0 - 1/5) / (1 - 1/5)
    assert table["seed_overlap"].tolist() == pytest.approx([-0.25, -0.25, 1.0])


@pytest.mark.parametrize(
    "twin",
    [
        pytest.param([((2, 2, "PER"), WORDS, UP)], id="another span"),
        pytest.param([((2, 3, "ORG"), WORDS, UP)], id="another type"),
        pytest.param([(BOB, OTHER, UP)], id="other words seen"),
        pytest.param([(BOB, WORDS[:4], UP[:4])], id="fewer words seen"),
        pytest.param([], id="no entity"),
    ],
)
def test_what_is_not_the_same_entity_is_unknown(tmp_path: Path, twin: Entities) -> None:
    # a second sentence, so that the tables have rows
    shared: dict[str, Entities] = {"y": [(ANN, WORDS, UP)]}
    table = compared(tmp_path, {"x": [(BOB, WORDS, UP)], "z": [], **shared}, {"x": twin, "z": [], **shared})
    assert table.index.tolist() == ["x", "z", "y"]
    assert table["seed_tau"].isna().tolist() == table["seed_overlap"].isna().tolist() == [True, True, False]


def test_a_tagger_without_any_entity_has_rows_and_no_metric(tmp_path: Path) -> None:
    table = compared(tmp_path, {"x": [], "y": []}, {"x": [(ANN, WORDS, UP)], "y": []})
    assert table["seed_tau"].isna().tolist() == [True, True]
    columns = columns_of(table.reset_index())
    assert found_in(explained.agreement, "occlusion", ("x", "y"), columns) == [{}]


def cell(folder: Path, task: Any, classifier: Classifier, which: Spec) -> Any:
    return SimpleNamespace(
        spec=which, classifier=classifier, task=task, work=Work(folder / "work"), tick=lambda *_: None,
        lexicon=lambda: lexicon.minimal(folder / "lexicon"), stack=SimpleNamespace(trained_on=lambda _: None),
    )  # fmt: skip


def taggers(tiny_model: Path, task: Any) -> list[Classifier]:
    """Two that differ in their heads, which find entities at once: the suite's own token classifiers."""
    made = [open_classifier(tiny_model, task, 32, seed) for seed in (0, 1)]
    with torch.no_grad():
        for one in made:
            one.module.classifier.weight.mul_(5)  # type: ignore[union-attr, operator]
            one.module.classifier.bias.copy_(torch.tensor([0.0, 0.5, 0.2]))  # type: ignore[union-attr, arg-type]
    return made


def test_two_real_taggers_from_the_stage_to_the_metric(tiny_model: Path, tagging_task: Any, tmp_path: Path) -> None:
    sizes = Sizes(attacked=8, explained=8, throughput_rounds=0)
    chosen = {"task": "toy_tags", "sizes": sizes, "explainers": ("integrated_gradients", "random")}
    specs = [tagging(seed=seed, **chosen) for seed in (0, 1)]
    cells = [
        cell(tmp_path, tagging_task, one, which)
        for one, which in zip(taggers(tiny_model, tagging_task), specs, strict=True)
    ]
    tables = [entity_explaining.explain(one, {}) for one in cells]
    peers = agreement.peers(specs)[specs[0].id]
    assert peers == {"seed": specs[1]}

    # the stage as a run runs it: transfer has no donors here and is skipped
    walk = Walk(cells[0].work, {}, {"explain": StageResult(status="ok", reason=None, seconds=1.0)})
    job = SimpleNamespace(spec=specs[0], donors=(), peers=tuple(peers.items()))
    found = dict(tables[0])
    run._others(job, cells[0], walk, found)  # type: ignore[arg-type]
    assert walk.results["agreement"].status == "ok"
    table = found["agreement:integrated_gradients"]

    expected = by_pandas(*(one["entity_attributions:integrated_gradients"] for one in tables))
    assert expected, "the taggers share no entity: nothing was compared"
    got = table.dropna(subset="seed_tau").set_index("id")["seed_tau"]
    assert got.to_dict() == pytest.approx(expected)
    assert table["id"].tolist() == tables[0]["explain:integrated_gradients"]["id"].tolist()
    [values] = found_in(explained.agreement, "integrated_gradients", tuple(table["id"]), table)
    assert set(values) == {"seed_tau:integrated_gradients"}
    summary = metrics.summarise("seed_tau:integrated_gradients", [values["seed_tau:integrated_gradients"]])
    assert summary.value == pytest.approx(np.mean(list(expected.values())))


def by_pandas(one: pd.DataFrame, two: pd.DataFrame) -> dict[str, float]:
    """The same by a join and scipy's tau-b."""
    both = one.merge(two, on=["id", "first", "last", "kind", "words"])
    taus = [kendalltau(json.loads(a), json.loads(b)).statistic for a, b in zip(both.scores_x, both.scores_y)]  # noqa: B905
    return both.assign(tau=taus).dropna(subset="tau").groupby("id")["tau"].mean().to_dict()


def test_a_record_made_by_other_code_of_the_comparison_is_due_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before, hashed = keys.cell_key(tagging()), keys.code_hash
    monkeypatch.setattr(keys, "code_hash", lambda *p: "x" if "bench/explanations/agreement.py" in p else hashed(*p))
    assert keys.cell_key(tagging()) != before
