"""Temperature scaling against a grid, and what it must undo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from training.calibration import fit_temperature, negative_log_likelihood


def drawn(scale: float = 1.0, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits z and labels drawn from softmax(z), then sharpened by `scale`: the right temperature is `scale`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 3)) * 2
    uniform = rng.random(n)[:, None]
    labels = (softmax(logits, axis=1).cumsum(axis=1) < uniform).sum(axis=1)
    return logits * scale, labels


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_recovers_the_factor_that_sharpened_the_logits(scale):
    logits, labels = drawn(scale)
    assert fit_temperature(logits, labels) == pytest.approx(scale, rel=0.05)


def test_is_the_minimum_of_a_grid():
    logits, labels = drawn(3.0, n=500)
    best = fit_temperature(logits, labels)
    found = negative_log_likelihood(logits, labels, best)
    assert all(found <= negative_log_likelihood(logits, labels, t) + 1e-7 for t in np.geomspace(0.01, 100, 400))


def test_scaling_the_logits_scales_the_temperature_and_nothing_else():
    logits, labels = drawn(1.0, n=1000)
    once, sharpened = fit_temperature(logits, labels), fit_temperature(logits * 20, labels)
    assert sharpened == pytest.approx(20 * once, rel=2e-3)


def test_known_likelihood():
    logits, labels = np.array([[0.0, 0.0]]), np.array([1])
    assert negative_log_likelihood(logits, labels) == pytest.approx(np.log(2))


def test_refuses_nothing_and_nan():
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.empty((0, 2)), np.empty(0, dtype=int))
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
