"""SMART: the prediction must move neither with the worst small shift of the embeddings nor away from a slow copy.

Jiang et al., "SMART: Robust and Efficient Fine-Tuning for Pre-trained Natural Language Models through Principled
Regularized Optimization", ACL 2020, arXiv 1911.03437. With s(P, Q) = KL(P || Q) + KL(Q || P) and f the prediction,
L + weight * max_{||d||_inf <= epsilon} s(f(e + d; w), f(e; w)) + mu * s(f(e; w), f(e; w~)).
The maximum (smoothness-inducing adversarial regularisation): d starts as N(0, noise^2) and takes `steps` ascent steps
d <- clip(d + step_size * g / ||g||_inf, -epsilon, epsilon), g the gradient of the divergence. The last term (Bregman
proximal point, with momentum) ties w to w~ <- beta * w~ + (1 - beta) * w, updated after every step.

As in the authors' code (mt-dnn), the ascent climbs KL(f(e) || f(e + d)) with f(e) held constant, the inf-norm in a
step is that of one piece, and step_size = 1e-3, noise = 1e-5 and one step are that code's. It holds the smoothness term
only, does not clip, and detaches e in the last pass; here the gradient is the equation's. Deviations: special tokens
and padding are not shifted; for tagging each term is the mean over the labelled pieces; w~ (a copy of all weights)
predicts without dropout. epsilon is the step size, so that one step is cut only by what the start adds; beta and mu are
the suite's; nothing was tuned. Dropout is drawn anew in every pass and makes up part of each divergence. Forward passes
a step: 3, and one for every ascent step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import divergence

FAMILY = "gradients"
SOURCE = "Jiang et al. 2020, arXiv 1911.03437"
PASSES = (4, 3)
VERSION = 1
TASKS = ("classification", "tagging")
SLOW = "smart"


@dataclass(frozen=True)
class Config:
    weight: float = 1.0
    """lambda >= 0, the weight of the smoothness term; mt-dnn's default."""
    epsilon: float = 1e-3
    """Largest absolute shift of an entry of the embeddings, > 0; the step size, see above."""
    steps: int = 1
    """Ascent steps, 1..100; mt-dnn's."""
    step_size: float = 1e-3
    """Length of one ascent step in the inf-norm, > 0; mt-dnn's."""
    noise: float = 1e-5
    """Standard deviation of the start, > 0; mt-dnn's."""
    mu: float = 1.0
    """Weight of the proximal term, >= 0; the suite's, untuned."""
    beta: float = 0.99
    """Weight of the old copy in one update, 0 <= beta < 1; 0 is the last step's weights. The suite's, untuned."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "step_size", "noise"):
            if not 0 < getattr(self, name) < 1e3:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 < {name} < 1000")
        for name in ("weight", "mu"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not (isinstance(self.steps, int) and 1 <= self.steps <= 100):
            raise ValueError(f"steps is {self.steps}; it must be a whole number in 1..100")
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta is {self.beta}; it must lie in 0 <= beta < 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    slow = _slow_logits(state, batch)
    clean = forward(batch)
    shift = _ascend(forward, state, batch, clean.logits.detach(), config)
    moved = forward(batch.with_embeddings(state.embed(batch) + shift))
    smoothness = _symmetric(clean.logits, moved.logits, batch.labels)
    proximal = _symmetric(clean.logits, slow, batch.labels)
    return Output(clean.loss + config.weight * smoothness + config.mu * proximal, clean.logits)


def after_step(state: State, config: Config) -> None:
    slow = state.memory[SLOW]
    weights = [parameter.detach() for name, parameter in state.module.named_parameters() if name in slow]
    torch._foreach_lerp_(list(slow.values()), weights, 1 - config.beta)


def _symmetric(one: torch.Tensor, two: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return divergence(one, two, labels) + divergence(two, one, labels)


def _slow_logits(state: State, batch: Batch) -> torch.Tensor:
    """Logits of the copy w~, which is made when first asked for: then every model hook is done."""
    if SLOW not in state.memory:
        # frozen weights too: another mitigation may let them learn later
        named = ((name, p) for name, p in state.module.named_parameters() if p.is_floating_point())
        state.memory[SLOW] = {name: parameter.detach().clone() for name, parameter in named}
    given = {"input_ids": batch.input_ids} if batch.embeddings is None else {"inputs_embeds": batch.embeddings}
    given["attention_mask"] = batch.attention_mask
    was_training = state.module.training
    state.module.eval()
    with torch.no_grad():
        logits = torch.func.functional_call(state.module, state.memory[SLOW], kwargs=given).logits
    state.module.train(was_training)
    return logits


def _ascend(forward: Forward, state: State, batch: Batch, target: torch.Tensor, config: Config) -> torch.Tensor:
    """The shift d after `steps` ascent steps; 0 on special tokens and padding."""
    fixed, mask = state.embed(batch).detach(), batch.word_mask.unsqueeze(-1)
    shift = config.noise * torch.randn(fixed.shape, generator=state.generator).to(fixed) * mask
    for _ in range(config.steps):
        shift.requires_grad_()
        moved = forward(batch.with_embeddings(fixed + shift))
        (gradient,) = torch.autograd.grad(divergence(target, moved.logits, batch.labels), shift)
        largest = gradient.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30)
        shift = (shift.detach() + config.step_size * gradient / largest) * mask
        shift = shift.clamp(-config.epsilon, config.epsilon)
    return shift.detach()
