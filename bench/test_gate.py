"""With `--baseline DIR`: the records must not be worse than that folder's."""

from __future__ import annotations

from typing import Any

import pytest

from bench.campaign import Outcome
from bench.gate import checking
from bench.gate.settings import gate_thresholds
from bench.store import Store


def test_not_worse_than_baseline(
    benchmark: Any, request: pytest.FixtureRequest, outcome: Outcome, store: Store
) -> None:
    """Paired differences on the same examples; fails with the reasons in words."""
    folder = request.config.getoption("--baseline")
    if folder is None:
        pytest.skip("no --baseline given: nothing to compare with")
    asked = {"thresholds": gate_thresholds(), "run": outcome.spec_ids}
    verdict = benchmark.pedantic(checking.check, args=(Store(folder), store), kwargs=asked, rounds=1)
    if verdict.exit_code != 0:
        pytest.fail(f"{verdict.status}:\n" + "\n".join(verdict.reasons), pytrace=False)
