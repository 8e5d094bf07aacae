from __future__ import annotations

import json
from dataclasses import replace

import pytest

from explain.attribution import Attribution

GOOD = Attribution("a b", ("a", "b"), (0.5, -1.0), 1, 0, 2.0, 2.5, 0.0, 0.0, dropped=3)


def test_json_round_trip() -> None:
    assert Attribution.from_dict(json.loads(json.dumps(GOOD.to_dict()))) == GOOD
    control = replace(GOOD, convergence_delta=None, completeness_error=None)
    assert Attribution.from_dict(json.loads(json.dumps(control.to_dict()))) == control


@pytest.mark.parametrize(
    "change",
    [
        {"scores": (0.5,)},
        {"words": (), "scores": ()},
        {"scores": (0.5, float("nan"))},
        {"margin": float("inf")},
        {"target": -1},
        {"other": 1},
        {"dropped": -1},
        {"completeness_error": None},
        {"completeness_error": -0.1},
    ],
)
def test_values_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"give|NaN"):
        replace(GOOD, **change)


def test_unknown_and_missing_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        Attribution.from_dict({**GOOD.to_dict(), "colour": 1})
    with pytest.raises(ValueError, match="margin"):
        Attribution.from_dict({k: v for k, v in GOOD.to_dict().items() if k != "margin"})
