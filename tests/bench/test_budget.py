"""Budget curves: what is read off one run is what a run with fewer queries would have given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from attacks import engine, lexicon
from attacks import metrics as attack_metrics
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from bench import leaderboard
from bench.extraction import extract
from bench.metrics import BUDGETS
from bench.record import Table
from bench.report import budget, formats
from bench.robustness.attacking import outcome_table
from bench.store import Store
from tests.attacks.conftest import count_words
from tests.bench.conftest import attack_table, make_record

TEXTS = (
    Sample("easy", "An awful film and nothing else", 0),
    Sample("two", "I hated this boring film about the sea", 0),
    Sample("three", "bad plot and dull actors, awful throughout if somewhat long", 0),
    Sample("wrong", "It is bad.", 1),
    Sample("never", "the plot of it", 1),
    Sample("short", "great", 1),
)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Outcome]]:
    words = lexicon.minimal(tmp_path_factory.mktemp("lexicon") / "minimal")

    def run(per_word: int) -> list[Outcome]:
        return engine.attack(Victim(count_words), TEXTS, "deepwordbug", lexicon=words, budget_per_word=per_word, seed=0)

    return run


def read(table, **spec) -> dict:
    record = make_record(tables={"attack:dwb:calibrated": Table(inline={})}, recipes=["dwb"], spec=spec)
    return extract(record, lambda _: table)


def test_the_derived_curve_is_that_of_runs_with_smaller_budgets(attacked) -> None:
    """For every budget: the same success at the same query, or a survivor; high by one batch at most, never low."""
    largest = attacked(100)
    assert {o.status for o in largest} == {"success", "failed", "skipped"}
    for per_word in (1, 2, 3, 4, 6, 10):
        smaller = {o.id: o for o in attacked(per_word)}
        for outcome in largest:
            limit = max(1, per_word * outcome.words)
            survives = outcome.status == "failed" or (outcome.status == "success" and outcome.queries > limit)
            real = smaller[outcome.id]
            if real.status == "success" and survives:
                assert real.queries == limit < outcome.queries  # the winning candidate stood early in the cut batch
            else:
                assert (real.status == "failed") == survives
        derived, truth = (
            attack_metrics.accuracy_at_budget(largest, per_word),
            attack_metrics.accuracy_under_attack(smaller.values()),
        )
        assert derived.n == truth.n
        assert derived.value >= truth.value


def test_the_board_reads_what_the_leaf_computes(attacked) -> None:
    outcomes = attacked(100)
    found = read(outcome_table(outcomes), budget_per_word=100)
    for per_word in BUDGETS:
        values = found[f"aua_at_{per_word}:dwb"]
        assert float(np.nanmean(values.top)) == attack_metrics.accuracy_at_budget(outcomes, per_word).value
        assert values.ids == tuple(o.id for o in outcomes)
    changed = found["words_changed_all:dwb"]
    assert changed.top.sum() / changed.bottom.sum() == pytest.approx(
        attack_metrics.words_changed_over_all(outcomes).value
    )


def test_budgets_beyond_the_run_are_unknown_and_errors_stay_unknown() -> None:
    table = attack_table(np.zeros(4), ["success", "failed", "skipped", "error"])  # 30 queries for 10 words
    found = read(table, budget_per_word=25)
    assert {name for name in found if name.startswith("aua_at_")} == {"aua_at_10:dwb", "aua_at_25:dwb"}
    np.testing.assert_array_equal(found["aua_at_10:dwb"].top, [0, 1, 0, np.nan])
    table["queries"] = [101, 101, 1, None]
    np.testing.assert_array_equal(read(table, budget_per_word=25)["aua_at_10:dwb"].top, [1, 1, 0, np.nan])
    np.testing.assert_array_equal(read(table, budget_per_word=25)["aua_at_25:dwb"].top, [0, 1, 0, np.nan])


def test_the_curve_is_a_table_in_every_format(filled: Callable[..., Store]) -> None:
    boards = leaderboard.build(filled("r", {"baseline": {}, "fgm": {"aua": {"deepwordbug": 0.9, "textfooler": 0.8}}}))
    (section,) = budget.curves(boards[0])
    assert section.header == ("mitigation", "recipe", "10 x words", "25 x words", "50 x words")
    assert len(section.rows) == 4
    text = formats.render(boards)
    assert all("Budget curves" in text[suffix] for suffix in ("md", "html", "tex"))
    cell = boards[0].arms[0].cells["aua_at_50:textfooler"]
    assert cell == boards[0].arms[0].cells["aua_calibrated:textfooler"]
    assert "aua_at_10:textfooler" in text["json"]
