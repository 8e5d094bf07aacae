from __future__ import annotations

import json

import pytest

from attacks.outcome import Outcome
from tests.attacks.conftest import made


@pytest.mark.parametrize("status", ["success", "failed", "skipped", "error"])
def test_round_trip_through_strict_json(status: str) -> None:
    outcome = made(status)
    text = json.dumps(outcome.to_dict(), allow_nan=False)
    assert Outcome.from_dict(json.loads(text)) == outcome


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queries", "10"),
        ("queries", 1.5),
        ("queries", True),
        ("queries", -1),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("seconds", "0.5"),
        ("probabilities_before", (0.5, float("nan"))),
        ("probabilities_before", ("0.5", "0.5")),
        ("probabilities_before", (1.5, -0.5)),
        ("probabilities_before", ()),
        ("status", "lost"),
        ("label", None),
        ("text", 3),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        made(**{name: value})


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        ("failed", "perturbed", "a text"),
        ("success", "perturbed", None),
        ("success", "words_changed", None),
        ("success", "probabilities_after", None),
        ("failed", "error", "boom"),
        ("error", "error", None),
    ],
)
def test_fields_agree_with_the_status(status: str, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        made(status, **{name: value})


def test_missing_and_unknown_fields_are_named() -> None:
    data = made().to_dict()
    del data["queries"]
    with pytest.raises(ValueError, match=r"lacks \['queries'\].*\['extra'\]"):
        Outcome.from_dict({**data, "extra": 1})
