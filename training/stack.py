"""One or several mitigations acting on one training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Batch, Context, Output, Settings, State, adamw, clip_gradients, cross_entropy
from training.task import Example

REPLACING = ("optimiser", "after_backward")
Structure = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Mitigation:
    """A loaded plug-in with its checked Config."""

    name: str
    plugin: ModuleType
    config: Any

    def hook(self, name: str) -> Callable[..., Any] | None:
        return getattr(self.plugin, name, None)


class Stack:
    """Several mitigations acting together. Raises UserError for a pair that cannot stack."""

    def __init__(self, mitigations: Sequence[Mitigation]) -> None:
        self.mitigations = tuple(mitigations)
        for hook in REPLACING:
            self._refuse_two([m for m in mitigations if m.hook(hook)], f"both replace the baseline's '{hook}'")
        early = [m for m in mitigations if getattr(m.plugin, "BACKPROPAGATES", False)]
        self._refuse_two(early, "both call backward inside the loss, and only the outermost loss may")
        wrapping = [m for m in mitigations if m.hook("loss") and m not in early]
        self._losses = early + wrapping

    @staticmethod
    def _refuse_two(rivals: Sequence[Mitigation], reason: str) -> None:
        if len(rivals) > 1:
            raise UserError(f"'{rivals[0].name}' and '{rivals[1].name}' cannot stack: {reason}. Choose one.")

    def trained_on(self, explainer: str) -> str | None:
        """The first mitigation whose training looks at `explainer` (TRAINED_ON_EXPLAINERS), or None."""
        names = (m.name for m in self.mitigations if explainer in getattr(m.plugin, "TRAINED_ON_EXPLAINERS", ()))
        return next(names, None)

    def settings(self, settings: Settings) -> Settings:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("settings"):
                settings = hook(settings, mitigation.config)
        return settings

    def structure(self, module: torch.nn.Module) -> tuple[torch.nn.Module, Structure]:
        """The module with its lasting parts, and how to make them again: (mitigation, settings) in order."""
        made = []
        for mitigation in self.mitigations:
            if hook := mitigation.hook("structure"):
                module = hook(module, mitigation.config)
                made.append((mitigation.name, {} if mitigation.config is None else asdict(mitigation.config)))
        return module, tuple(made)

    def prepare_data(self, examples: Sequence[Example], context: Context) -> Sequence[Example]:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("prepare_data"):
                examples = hook(examples, context, mitigation.config)
        return examples

    def prepare_model(self, module: torch.nn.Module, context: Context) -> torch.nn.Module:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("prepare_model"):
                module = hook(module, context, mitigation.config)
        return module

    def after_training(self, module: torch.nn.Module, state: State) -> torch.nn.Module:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("after_training"):
                module = hook(module, state, mitigation.config)
        return module

    def optimiser(self, module: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("optimiser"):
                return hook(module, settings, mitigation.config)
        return adamw(module, settings)

    def loss(self, state: State, batch: Batch) -> Output:
        return self._loss_from(0, state, batch)

    def _loss_from(self, index: int, state: State, batch: Batch) -> Output:
        if index == len(self._losses):
            return cross_entropy(state, batch)
        mitigation = self._losses[index]
        hook = mitigation.hook("loss")
        if hook is None:
            raise UserError(f"'{mitigation.name}' says BACKPROPAGATES but defines no loss.")
        return hook(lambda inner: self._loss_from(index + 1, state, inner), state, batch, mitigation.config)

    def after_backward(self, state: State) -> None:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("after_backward"):
                hook(state, mitigation.config)
                return
        clip_gradients(state)

    def after_step(self, state: State) -> None:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("after_step"):
                hook(state, mitigation.config)
