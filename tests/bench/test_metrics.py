"""Known answers for every reading, and rows that cannot gain from hiding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench import metrics
from bench.extraction import ece, extract, why_missing
from bench.metrics import Values
from bench.record import Record, StageResult, Table
from bench.robustness import masking
from tests.bench.conftest import attack_table, explain_table, make_record, throughput_table
from training.errors import UserError


def read(tables: dict[str, pd.DataFrame], **changes: object) -> dict[str, Values]:
    record = make_record(tables={name: Table(inline={}) for name in tables}, **changes)
    return extract(record, lambda name: tables[name])


def mean(values: Values) -> float:
    return float(
        np.nansum(values.top) / (values.bottom.sum() if values.bottom is not None else (~np.isnan(values.top)).sum())
    )


def test_every_metric_has_a_direction_unit_and_known_section() -> None:
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)
    assert metrics.of("comprehensiveness").direction is None
    assert metrics.of("sufficiency").direction is None
    assert metrics.of("asr").direction == "lower"
    assert metrics.of("aua_raw:textfooler").smallest_difference == 0.05
    assert metrics.of("clean_accuracy").smallest_difference == 0.01
    assert metrics.title("aua_raw:textfooler") == "AUA raw textfooler"


def test_attack_readings() -> None:
    statuses = ["success", "success", "failed", "skipped", "error"]
    found = read({"attack:tf:calibrated": attack_table(np.zeros(5), statuses)}, recipes=["tf"])
    # over all examples: success and skipped are lost, an error is unknown
    np.testing.assert_array_equal(found["aua_calibrated:tf"].top, [0, 0, 1, 0, np.nan])
    assert mean(found["asr:tf"]) == pytest.approx(2 / 3)
    assert mean(found["queries:tf"]) == 30
    assert mean(found["words_changed:tf"]) == pytest.approx(0.2)
    assert found["attack_errors"].top == pytest.approx([0.2])
    assert "worst_case_raw" not in found


def test_worst_case_is_per_example_over_recipes() -> None:
    first = attack_table(np.zeros(4), ["failed", "success", "failed", "error"])
    second = attack_table(np.zeros(4), ["failed", "failed", "error", "success"])
    found = read({"attack:a:raw": first, "attack:b:raw": second}, recipes=["a", "b"])
    np.testing.assert_array_equal(found["worst_case_raw"].top, [1, 0, np.nan, 0])
    assert "worst_case_raw" not in read({"attack:a:raw": first}, recipes=["a", "b"])


def test_the_lower_worst_case_is_ranked_and_a_crashed_mode_gains_nothing() -> None:
    low, high = Values(np.array([0.0, 1.0]), None, ("x", "y")), Values(np.array([1.0, 1.0]), None, ("x", "y"))
    assert metrics.lower_worst_case({"worst_case_raw": {0: high}, "worst_case_calibrated": {0: low}}) == {0: low}
    assert metrics.lower_worst_case({"worst_case_raw": {0: low}, "worst_case_calibrated": {0: high}}) == {0: low}
    assert metrics.lower_worst_case({"worst_case_raw": {0: high}}) == {}


@pytest.mark.parametrize(("extra", "flagged"), [(1, False), (2, False), (3, True)])
def test_masking_is_more_than_two_points(extra: int, flagged: bool) -> None:
    ids = tuple(str(i) for i in range(100))
    calibrated, raw = np.zeros(100), np.zeros(100)
    calibrated[:10], raw[: 10 + extra] = 1, 1
    arm = {"aua_raw:tf": {0: Values(raw, None, ids)}, "aua_calibrated:tf": {0: Values(calibrated, None, ids)}}
    assert masking.masked_recipes(arm) == (["tf"] if flagged else [])


def test_ece_known_answers() -> None:
    assert ece(np.full(30, 0.8), np.array([1.0] * 24 + [0.0] * 6), bins=1) == pytest.approx(0.0)
    assert ece(np.full(30, 0.9), np.zeros(30)) == pytest.approx(0.9)
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    assert ece(confidence, np.array([1.0, 0.0, 1.0, 1.0]), bins=2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    order = np.random.default_rng(0).permutation(4)
    assert ece(confidence[order], np.array([1.0, 0.0, 1.0, 1.0])[order], bins=2) == pytest.approx(0.1)


def test_clean_and_domains_of_both_kinds_of_task() -> None:
    texts = pd.DataFrame({"id": ["a", "b"], "correct": [True, False], "confidence": [0.9, 0.6]})
    found = read({"clean": texts, "ood:tweets": texts})
    assert mean(found["clean_accuracy"]) == 0.5
    assert mean(found["ood_accuracy:tweets"]) == 0.5
    assert found["ece_raw"].top == pytest.approx([0.5 * 0.4 + 0.5 * 0.1]) or found["ece_raw"].top[0] > 0
    tags = pd.DataFrame({"id": ["a", "b"], "tp": [2, 0], "fp": [0, 1], "fn": [1, 0], "words": 5, "correct_words": 4})
    found = read({"clean": tags})
    assert "clean_accuracy" not in found
    assert mean(found["entity_f1"]) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_brier_is_a_mean_over_examples() -> None:
    frame = pd.DataFrame(
        {"id": ["a", "b"], "correct": [True, False], "brier": [0.02, 0.98], "brier_calibrated": [0.1, 0.7]}
    )
    found = read({"clean": frame})
    assert mean(found["brier_raw"]) == pytest.approx(0.5)
    assert mean(found["brier_calibrated"]) == pytest.approx(0.4)


def test_the_worst_group_is_the_lowest_of_the_groups() -> None:
    frame = pd.DataFrame(
        {
            "id": [f"e{i}" for i in range(7)],
            "correct": [True, True, False, True, False, False, False],
            "group": ["a", "a", "a", "b", "b", None, None],  # an example without a group is in none
        }
    )
    found = read({"clean": frame})
    assert mean(found["group_accuracy:a"]) == pytest.approx(2 / 3)
    assert found["worst_group_accuracy"].top.tolist() == [0.5]
    assert mean(found["clean_accuracy"]) == pytest.approx(3 / 7)


def test_the_gap_is_training_minus_validation() -> None:
    found = read({}, summary={"train_score": 0.9, "validation_score": 0.75, "counted_cost": 2.0})
    assert found["generalisation_gap"].top == pytest.approx([0.15])
    assert found["counted_cost"].top.tolist() == [2.0]
    assert "generalisation_gap" not in read({}, summary={"validation_score": 0.75})


def test_explanations() -> None:
    found = read({"explain:ig": explain_table("fgm", 0)})
    assert mean(found["completeness_failures:ig"]) == pytest.approx(1 / 20)
    assert mean(found["drift_tau:ig"]) == pytest.approx(np.mean([0.5 + 0.01 * i for i in range(0, 20, 2)]))
    assert found["dnaopc:ig"].bottom is None
    table = explain_table("fgm", 0).assign(completeness_error=None, drift_tau=None)
    found = read({"explain:random": table})
    assert "completeness_failures:random" not in found
    assert "drift_tau:random" not in found


def test_throughput_is_a_ratio_of_medians() -> None:
    found = read({"throughput": throughput_table(1.5)})
    assert found["step_time_ratio"].top == pytest.approx([1.5])
    assert found["peak_memory_ratio"].top == pytest.approx([1.0])
    assert found["tokens_per_second"].top == pytest.approx([400 / 0.153])
    unknown = throughput_table(1.5).assign(peak_memory_bytes=None)
    assert "peak_memory_ratio" not in read({"throughput": unknown})


def test_summary() -> None:
    found = read({})
    assert found["trainable_share"].top == pytest.approx([0.5])
    assert found["train_seconds"].top == pytest.approx([12.5])
    assert read({}, summary={"train_seconds": None, "parameters": None, "temperature": None}).keys() == set()


def test_summarise_aligns_examples_by_id() -> None:
    first = Values(np.array([1.0, 0.0, 1.0]), None, ("a", "b", "c"))
    second = Values(np.array([1.0, 0.0, 0.0]), None, ("c", "b", "d"))
    found = metrics.summarise("clean_accuracy", [first, second])
    assert (found.n, found.value) == (2, 0.5)
    shared = Values(np.array([1.0]), np.array([1.0]), ("a",)), Values(np.array([0.0]), np.array([1.0]), ("b",))
    transfer = metrics.summarise("transfer_accuracy:tf", list(shared))
    assert (transfer.n, transfer.value) == (2, 0.5)


def test_compare_uses_common_seeds_only() -> None:
    ids = tuple("abcdef")
    one, zero = Values(np.ones(6), None, ids), Values(np.zeros(6), None, ids)
    found = metrics.compare("clean_accuracy", {0: one, 1: one}, {1: zero, 2: one})
    assert found is not None
    assert (found.value, found.seeds) == (-1.0, 1)
    assert metrics.compare("clean_accuracy", {0: one}, {1: one}) is None
    assert metrics.compare("step_time_ratio", {0: one}, {0: one}) is None


def test_a_table_that_is_not_ours_is_a_user_error() -> None:
    with pytest.raises(UserError, match="table 'clean' is not as this suite writes it"):
        read({"clean": pd.DataFrame({"id": ["a"]})})
    with pytest.raises(UserError, match="stands twice"):
        read({"clean": pd.DataFrame({"id": ["a", "a"], "correct": [True, True]})})


def test_why_missing() -> None:
    def record(**stages: tuple[str, str]) -> Record:
        made = {name.replace("__", ":"): StageResult(status=s, reason=r) for name, (s, r) in stages.items()}
        return make_record(stages=made)

    skipped = why_missing(record(attack__tf__raw=("not_applicable", "a tagging task")), "aua_raw:tf")
    assert (skipped.status, skipped.reason) == ("not_applicable", "a tagging task")
    assert why_missing(record(evaluate=("failed", "NaN")), "ood_accuracy:x").reason == "NaN"
    assert why_missing(record(attack__tf__raw=("failed", "boom")), "worst_case").status == "failed"
    assert why_missing(record(), "step_time_ratio").status == "missing"
    assert why_missing(make_record(status="failed", reason="killed"), "clean_accuracy").reason == "killed"
