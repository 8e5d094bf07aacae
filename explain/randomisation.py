"""A model with nothing learnt left in it, for the randomisation test of attributions.

Adebayo et al., "Sanity Checks for Saliency Maps", 2018, arXiv 1810.03292: an explanation that stays as it was when
the weights become noise explains the input, not the model. They redraw weights layer by layer; ours shuffles the
entries of every weight at once, which keeps each tensor's distribution and asks nothing about the architecture. The
word vectors stay, because they are what the explainer sees as the input.
"""

from __future__ import annotations

import copy
import dataclasses

import torch

from explain.inputs import Explainable


def randomised(model: Explainable, seed: int = 0) -> Explainable:
    """A copy of the model in eval mode whose weights, word vectors apart, are shuffled by `seed`; `model` stays."""
    module = copy.deepcopy(model.module).eval()
    table = module.get_input_embeddings()  # type: ignore[operator]
    kept = {id(weight) for weight in table.parameters()}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            if id(weight) not in kept:
                # drawn on the CPU, so that every device gets the same weights
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.reshape(-1)[order].reshape(weight.shape))
    return dataclasses.replace(model, module=module)
