"""What the explain stage's tables are worth, the edits it makes, the words it marks, the models it compares."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from attacks import lexicon
from bench import metrics
from bench.explanations import agreement, edits, explained, marks
from bench.keys import explain_key
from bench.report import subjects
from bench.spec import Sizes, Spec
from bench.store import columns_of
from bench.work import Work
from explain import metrics as scores
from explain import stability
from explain.attribution import Attribution
from tests.bench.conftest import found_in
from training.task import Example

IDS = ("x", "y", "z")


def attribution(text: str, values: list[float], target: int = 1) -> Attribution:
    return Attribution(text, tuple(text.split()), tuple(values), target, 1 - target, 1.0, 0.0, None, None)


def spec(mitigation: str = "baseline", seed: int = 0, **changes: object) -> Spec:
    values: dict = {
        "task": "movie_reviews", "task_fingerprint": "d", "model": "bert-tiny", "model_fingerprint": "m",
        "mitigation": mitigation, "mitigations": [{"name": mitigation, "version": 1, "config": {}}], "seed": seed,
        "tier": "quick", "settings": {"labelled": 1.0}, "learning_rate_source": "grid",
        "sizes": Sizes(attacked=2, explained=2, throughput_rounds=1), "recipes": (), "explainers": ("random",),
        "budget_per_word": 50, "lexicon_fingerprint": "l",
    }  # fmt: skip
    return Spec(**{**values, **changes})


def test_the_limits_are_those_of_the_gates() -> None:
    assert explained.COMPLETENESS_LIMIT == scores.COMPLETENESS_GATE
    assert explained.RANDOMISATION_LIMIT == stability.RANDOMISATION_GATE


def test_every_column_becomes_its_metric() -> None:
    frame = pd.DataFrame({name: [0.1, 0.2, None] for name in explained.MEANS})
    frame["completeness_error"], frame["randomisation_tau"] = [0.01, 0.06, None], [0.9, -0.9, 0.1]
    frame["drift_tau"], frame["seconds"] = [0.5, None, None], 0.2
    [found] = found_in(explained.explain, "ig", IDS, frame)
    assert all(metrics.of(name) for name in found)
    assert np.nanmean(found["edit_tau_worst:ig"].top) == pytest.approx(0.15)
    assert found["completeness_failures:ig"].top[:2].tolist() == [0.0, 1.0]
    assert found["randomisation_failures:ig"].top.tolist() == [1.0, 0.0, 0.0]
    assert (found["drift_tau:ig"].top.sum(), found["drift_tau:ig"].bottom.sum()) == (0.5, 1.0)
    assert metrics.summarise("explain_seconds:ig", [found["explain_seconds:ig"]]).value == pytest.approx(0.2)


def test_a_column_wholly_unknown_in_one_record_is_a_metric_of_the_others() -> None:
    frame = pd.DataFrame({name: [0.5, None, None] for name in ("seconds", "dnaopc", "drift_tau", "completeness_error")})
    unknown = frame[["seconds"]].assign(dnaopc=None, drift_tau=None, completeness_error=None)
    first, second = found_in(explained.explain, "ig", IDS, unknown, frame)
    assert first.keys() == {"explain_seconds:ig"}
    assert second.keys() == {"explain_seconds:ig", "dnaopc:ig", "drift_tau:ig", "completeness_failures:ig"}
    assert found_in(explained.explain, "ig", IDS, frame[:0]) == [{}]


def test_edits_are_averaged_per_text_and_kind() -> None:
    frame = pd.DataFrame(
        {
            "id": ["x", "x", "y", "x", "z"],
            "kind": ["typo", "typo", "typo", "synonym", "synonym"],
            "tau": [0.2, 0.4, None, -0.5, 0.5],
        }
    )
    found = dict(explained.edits("ig", columns_of(frame)))
    assert found["typo_tau:ig"].ids == ("x",)
    assert found["typo_tau:ig"].top == pytest.approx([0.3])
    assert found["synonym_tau:ig"].top.tolist() == [-0.5, 0.5]
    assert dict(explained.edits("ig", columns_of(frame[:0]))) == {}


def test_the_control_is_not_compared_with_itself() -> None:
    frame = pd.DataFrame({"seed_tau": [0.1, None, 0.3], "baseline_tau": [1.0, 1.0, 1.0]})
    assert found_in(explained.agreement, "ig", IDS, frame)[0].keys() == {"seed_tau:ig", "baseline_tau:ig"}
    assert found_in(explained.agreement, "random", IDS, frame)[0].keys() == {"seed_tau:random"}


def test_every_ranked_explanation_score_has_its_floor() -> None:
    ranked = [m for m in metrics.METRICS if m.table and m.table.startswith(("explain", "edits", "agreement"))]
    ranked = [m.name for m in ranked if m.direction == "higher"]
    assert set(ranked) <= set(subjects.FLOORS)
    assert {metrics.of(name).direction for name in ("comprehensiveness", "sufficiency", "method_agreement")} == {None}
    listed = {name for _, names, _ in subjects.SECTIONS for name in names}
    assert {*explained.MEANS, "seed_tau", "typo_tau", "explain_seconds"} <= listed


@pytest.fixture(scope="module")
def stops_only(tmp_path_factory: pytest.TempPathFactory) -> lexicon.Lexicon:
    return lexicon.minimal(tmp_path_factory.mktemp("lexicon") / "lexicon")


def test_edits_depend_on_the_text_alone(stops_only: lexicon.Lexicon) -> None:
    text = "A charming comedy , with great actors and a rather dull plot that goes nowhere ."
    found = edits.candidates(text, stops_only)
    assert len({edit.text for edit in found}) == len(found) == 30
    assert found == edits.candidates(text, stops_only)
    assert found != edits.candidates(text, stops_only, seed=1)
    for edit in found:
        pairs = zip(text.split(), edit.text.split(), strict=True)
        changed = [(a, b) for a, b in pairs if a != b]
        assert len(changed) == 2  # a tenth of 15 words, rounded up
        assert all(len(a) >= 4 and a[0] == b[0] and a[-1] == b[-1] and abs(len(a) - len(b)) <= 1 for a, b in changed)
    assert edits.candidates("a b c 12 !!", stops_only) == []


def test_edits_are_chosen_evenly_among_those_that_keep_the_class() -> None:
    found = [edits.Edit("typo", f"t{i}") for i in range(30)] + [edits.Edit("synonym", f"s{i}") for i in range(30)]
    assert [e.text for e in edits.choose(found, [True] * 60)] == [f"{k}{i}" for k in "ts" for i in range(5)]
    chosen = edits.choose(found, [False] * 3 + [True] * 27 + [False] * 28 + [True] * 2)
    assert [e.text for e in chosen] == [*(f"t{i}" for i in range(3, 11)), "s28", "s29"]
    assert len(edits.choose(found, [False] * 28 + [True] * 2 + [True] * 30)) == 10
    assert edits.choose(found, [False] * 60) == []


def test_near_synonyms_keep_case_and_punctuation() -> None:
    matrix = np.array([[1, 0], [0.9, np.sqrt(1 - 0.81)], [0, 1], [1, 0]], dtype=np.float32)
    vectors = SimpleNamespace(
        words=("film", "movie", "tree", "the"), matrix=matrix,
        neighbours=np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 0, 1]]),
        index={"film": 0, "movie": 1, "tree": 2, "the": 3},
    )  # fmt: skip
    near = edits.Neighbours(vectors, frozenset({"the"}))
    assert near.of("(Film,") == ["(Movie,"]
    assert near.of("FILM") == ["MOVIE"]
    assert [near.of(word) for word in ("the", "unknown", "tree", "12")] == [[], [], [], []]


def test_human_marks_count_with_the_sign_and_only_where_the_label_was_predicted() -> None:
    example = Example("x", "a good film", 1, rationale=(0, 1, 0))
    found = marks.plausibility(attribution("a good film", [-9.0, 2.0, 1.0]), example, frozenset())
    assert (found["rationale_ap"], found["rationale_f1"], found["lexicon_ap"]) == (pytest.approx(1.0), 1.0, None)
    other = marks.plausibility(attribution("a good film", [-9.0, 2.0, 1.0], target=0), example, frozenset())
    assert other["rationale_ap"] is None
    cut = dataclasses.replace(attribution("a good", [0.0, 1.0]), text="a good film", dropped=1)
    assert marks.plausibility(cut, example, frozenset())["rationale_f1"] == 1.0
    hole = dataclasses.replace(attribution("a film", [0.0, 1.0]), text="a good film", dropped=1)
    assert marks.plausibility(hole, example, frozenset())["rationale_f1"] is None


def test_an_entitys_own_words_by_hand() -> None:
    # of five words the entity's two stand first and third, AP = (1/1 + 2/3) / 2; over all ten places of two, 0.5925
    found = marks.on_entity([0.5, 2.0, 0.2, -3.0, 0.1], 1, 2)
    assert found["own_words_ap"] == pytest.approx((5 / 6 - 0.5925) / (1 - 0.5925))
    assert found["own_words_f1"] == 0.5
    assert marks.on_entity([1.0, 2.0], 0, 1) == {"own_words_ap": None, "own_words_f1": None}  # nothing else to choose


def test_lexicon_marks_count_by_size_and_only_for_sentiment() -> None:
    example = Example("x", "not Bad, film", 1)
    found = marks.plausibility(attribution("not Bad, film", [1.0, -5.0, 2.0]), example, frozenset({"bad"}))
    assert (found["lexicon_f1"], found["rationale_f1"]) == (1.0, None)
    topic = SimpleNamespace(task=SimpleNamespace(labels=("sport", "politics")))
    assert marks.lexicon_words(topic) == frozenset()


def test_peers_are_the_next_seed_and_the_baseline_of_the_same_seed() -> None:
    specs = [spec(name, seed) for name in ("baseline", "fgm") for seed in (0, 1)]
    found = agreement.peers(specs)
    named = {s.id: {k: (p.mitigation, p.seed) for k, p in found[s.id].items()} for s in specs}
    assert named[specs[0].id] == {"seed": ("baseline", 1)}
    assert named[specs[2].id] == {"seed": ("fgm", 1), "baseline": ("baseline", 0)}
    assert named[specs[3].id] == {"seed": ("fgm", 0), "baseline": ("baseline", 1)}
    assert agreement.peers(specs[:1])[specs[0].id] == {}


def _stage(work: Work, which: Spec, rows: dict[str, tuple[int, list[float]]]) -> None:
    def make(folder: Path) -> dict:
        about = pd.DataFrame({"id": list(rows), "target": [t for t, _ in rows.values()]})
        about["other"] = 1 - about["target"]
        about.to_parquet(folder / "explain-random.parquet")
        kept = [{"id": i, "version": "clean", "scores": json.dumps(values)} for i, (_, values) in rows.items()]
        kept.append({"id": "x", "version": "attacked", "scores": "[9, 9]"})
        pd.DataFrame(kept).to_parquet(folder / "attributions-random.parquet")
        return {}

    work.run("explain", explain_key(which), make)


def test_models_are_compared_where_they_answer_the_same_question(tmp_path: Path) -> None:
    work, own, twin = Work(tmp_path), spec("fgm", 0), spec("fgm", 1)
    _stage(work, own, {"x": (1, [1.0, 2.0, 3.0, 4.0]), "y": (0, [1.0, 2.0, 3.0, 4.0]), "z": (1, [1.0, 2.0, 3.0])})
    _stage(work, twin, {"x": (1, [4.0, 3.0, 2.0, 1.0]), "y": (1, [1.0, 2.0, 3.0, 4.0])})
    cell = SimpleNamespace(spec=own, work=work)
    ((name, table),) = agreement.compare(cell, {"seed": twin, "baseline": spec("baseline", 0)}).items()
    assert name == "agreement:random"
    assert table["seed_tau"].tolist()[0] == pytest.approx(-1.0)
    assert table["seed_tau"].isna().tolist() == [False, True, True]
    assert table["baseline_tau"].isna().all()  # that cell was never explained
    assert json.loads((next(tmp_path.glob("agreement-*")) / "result.json").read_text())["result"]
