"""Ten outcomes: 4 failed, 3 success, 2 skipped, 1 error. So 9 verdicts, 7 of them right before the attack."""

from __future__ import annotations

import pytest

from attacks import metrics
from attacks.metrics import Metric
from tests.attacks.conftest import made

STATUSES = ["failed"] * 4 + ["success"] * 3 + ["skipped"] * 2 + ["error"]
TEN = [made(status, id=str(i)) for i, status in enumerate(STATUSES)]


def test_known_answers() -> None:
    assert metrics.accuracy_under_attack(TEN) == Metric(pytest.approx(4 / 9), 9)
    assert metrics.clean_accuracy(TEN) == Metric(pytest.approx(7 / 9), 9)
    assert metrics.attack_success_rate(TEN) == Metric(pytest.approx(3 / 7), 7)
    assert metrics.error_rate(TEN) == Metric(pytest.approx(1 / 10), 10)
    assert metrics.queries(TEN) == Metric(10.0, 7)


def test_words_changed_is_a_mean_of_shares_over_successes() -> None:
    outcomes = [made("success", words=4, words_changed=1), made("success", words=10, words_changed=5), made("failed")]
    assert metrics.words_changed(outcomes) == Metric(pytest.approx((0.25 + 0.5) / 2), 2)


def test_nothing_known_is_none_and_never_zero() -> None:
    for metric in (
        metrics.accuracy_under_attack,
        metrics.attack_success_rate,
        metrics.clean_accuracy,
        metrics.words_changed,
        metrics.queries,
    ):
        assert metric([]) == Metric(None, 0)
        assert metric([made("error")]) == Metric(None, 0)
    assert metrics.attack_success_rate([made("skipped")]) == Metric(None, 0)
    assert metrics.transfer_accuracy([]) == Metric(None, 0)
    assert metrics.worst_case({}) == Metric(None, 0)


def test_worst_case_survives_only_if_it_survives_every_recipe() -> None:
    def row(*statuses: str):
        return [made(status, id=str(i)) for i, status in enumerate(statuses)]

    recipes = {
        "one": row("failed", "failed", "skipped", "error", "error", "failed"),
        "two": row("failed", "success", "skipped", "failed", "success"),
    }
    expected = {"0": True, "1": False, "2": False, "3": None, "4": False, "5": None}
    assert metrics.survived(recipes) == expected
    assert metrics.worst_case(recipes) == Metric(pytest.approx(1 / 4), 4)


def test_worst_case_is_never_above_a_single_recipe() -> None:
    recipes = {"one": TEN, "two": TEN[::-1]}
    worst = metrics.worst_case({"one": TEN, "two": [made(o.status, id=str(9 - int(o.id))) for o in recipes["two"]]})
    assert worst.value <= metrics.accuracy_under_attack(TEN).value


def test_a_smaller_budget_is_read_off_the_query_of_the_success() -> None:
    outcomes = [
        made("success", id="a", words=4, queries=40),
        made("success", id="b", words=4, queries=41),
        made("success", id="c", words=0, queries=1, words_changed=0),
        made("failed", id="d", queries=400),
        made("skipped", id="e", queries=1),
        made("error", id="f"),
    ]
    assert metrics.accuracy_at_budget(outcomes, 100) == Metric(pytest.approx(1 / 5), 5)
    assert metrics.accuracy_at_budget(outcomes, 10) == Metric(pytest.approx(2 / 5), 5)
    assert metrics.accuracy_at_budget(outcomes, 1) == Metric(pytest.approx(3 / 5), 5)
    assert metrics.accuracy_at_budget([], 10) == Metric(None, 0)


def test_shared_success_rates_rest_on_what_every_victim_gets_right() -> None:
    def row(*statuses: str):
        return [made(status, id=str(i)) for i, status in enumerate(statuses)]

    found = metrics.shared_success_rates(
        {
            "weak": row("success", "success", "failed", "skipped"),
            "wrong": row("skipped", "failed", "success", "success"),
        }
    )
    assert found == {"weak": Metric(0.5, 2), "wrong": Metric(0.5, 2)}
    assert metrics.shared_success_rates({"one": row("skipped"), "two": row("success")})["two"] == Metric(None, 0)
    assert metrics.shared_success_rates({}) == {}


def test_words_changed_over_all_counts_survivors_as_unchanged() -> None:
    outcomes = [made("success", words=4, words_changed=2), made("failed"), made("skipped"), made("error")]
    assert metrics.words_changed_over_all(outcomes) == Metric(0.25, 2)


def test_transfer_accuracy() -> None:
    assert metrics.transfer_accuracy([True, False, True, True]) == Metric(0.75, 4)
