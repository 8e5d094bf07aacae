"""Explainers that are not here on purpose, and why: seen with Captum 0.9 on a fine-tuned BERT. Not a method.

The observations are 20 movie-review sentences on BERT-tiny fine-tuned on them, explained through inputs_embeds against
the masked text; tests/explain/test_absent.py repeats them on a small BERT.
"""

from __future__ import annotations

_INSTEAD = "Use integrated_gradients (a path through the real model) or occlusion (no gradient at all)."

_RELU = (
    "its rule acts on ReLU modules, and BERT-like models have none: Captum's scores were those of the plain gradient "
    "to the last bit, under another name. Use saliency_l2 or input_x_gradient, which say what they are."
)

_DEEP_LIFT = (
    "its rules act on modules such as ReLU, sigmoid and tanh. GELU, the softmax and the products inside attention and "
    "the layer norms have none, so Captum runs, says nothing of that, and gives scores whose sum, which the method "
    "promises, was off by 102 % in the median and 32 % at best. " + _INSTEAD
)

ABSENT = {
    "deep_lift": _DEEP_LIFT,
    "deep_lift_shap": _DEEP_LIFT,
    "guided_backprop": _RELU,
    "guided_grad_cam": "it is guided_backprop times Grad-CAM, which needs convolutions; and for guided_backprop "
    + _RELU,
    "deconvolution": _RELU,
    "lrp": (
        "layer-wise relevance propagation needs a rule for every module. Captum refuses (it has none for embeddings), "
        "and attention and layer norm would need rules that it does not have either. " + _INSTEAD
    ),
}
"""Name -> why it is absent: a clause that follows "left out on purpose: "."""


def why(name: str) -> str | None:
    """Why the explainer `name` is absent on purpose; None where it is not. Spelling with - or capitals will do."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    known = {key.replace("_", ""): reason for key, reason in ABSENT.items()}
    return known.get(plain.replace("_", ""))
