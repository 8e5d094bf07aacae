"""Temperature scaling: one number, fitted on validation, that makes confidences honest before anybody attacks them."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BOUNDS = (1e-3, 1e3)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean of -log softmax(z / T)[label]; logits (n, classes), labels (n,) ints."""
    rows = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-rows[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in 1e-3..1e3 that minimises the validation likelihood of z / T (Guo et al. 2017, arXiv 1706.04599).

    The objective is convex in 1/T and unimodal in log T, so a bounded Brent search over log T finds the minimum.
    Raises ValueError for an empty validation set or logits that are not finite.
    """
    if not len(labels):
        raise ValueError("temperature needs at least one validation example")
    if not np.isfinite(logits).all():
        raise ValueError("temperature needs finite logits; the model returned NaN or infinity on validation texts")
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    # four significant digits: the fit must not move with the last bits of a matrix product
    return float(f"{np.exp(found.x):.4g}")
