"""Tables for `temper list`."""

from __future__ import annotations

import inspect
from types import ModuleType

from rich.table import Table

from bench.plan import describe
from bench.spec import TIERS
from training import registry

PACKAGES = {
    "tasks": "training.tasks",
    "mitigations": "training.mitigations",
    "recipes": "attacks.recipes",
    "explainers": "explain.methods",
}


def table(what: str) -> Table:
    """The rich table of one kind: `tasks`, `mitigations`, `recipes`, `explainers`, `tiers` or `metrics`."""
    if what == "tiers":
        return _simple("tiers", [(name, describe(tier)) for name, tier in TIERS.items()])
    if what == "metrics":
        from bench.metrics import METRICS

        made = Table(
            "metric", "unit", "better", "smallest difference that matters", title="metrics", title_justify="left"
        )
        for metric in METRICS:
            smallest = "" if metric.smallest_difference is None else f"{metric.smallest_difference:g}"
            made.add_row(metric.title, metric.unit, metric.direction or "shown, never ranked", smallest)
        return made
    return _mitigations() if what == "mitigations" else _plugins(what)


def _mitigations() -> Table:
    """Cost: forward and backward passes of one step; the baseline has one of each."""
    made = Table("name", "family", "tasks", "passes", "source", "what it is", title="mitigations", title_justify="left")
    for name in registry.names(PACKAGES["mitigations"]):
        plugin = registry.load(PACKAGES["mitigations"], name)
        forward, backward = getattr(plugin, "PASSES", (1, 1))
        before = f", after {plugin.PREPARATION}" if hasattr(plugin, "PREPARATION") else ""
        cost = f"{forward:g} + {backward:g}{before}"
        made.add_row(
            name, plugin.FAMILY, ", ".join(plugin.TASKS), cost, getattr(plugin, "SOURCE", ""), _first_line(plugin)
        )
    return made


def _plugins(what: str) -> Table:
    made = Table("name", "what it is", title=what, title_justify="left")
    for name in registry.names(PACKAGES[what]):
        made.add_row(name, _first_line(registry.load(PACKAGES[what], name)))
    return made


def _first_line(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]


def _simple(title: str, rows: list[tuple[str, str]]) -> Table:
    made = Table("name", "what it is", title=title, title_justify="left")
    for row in rows:
        made.add_row(*row)
    return made
