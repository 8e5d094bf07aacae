"""Tables for `temper list`."""

from __future__ import annotations

import inspect

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
    rows = []
    for name in registry.names(PACKAGES[what]):
        module = registry.load(PACKAGES[what], name)
        first = (inspect.getdoc(module) or "").strip().splitlines()
        facts = [getattr(module, "FAMILY", None), *getattr(module, "TASKS", ())]
        rows.append((name, ", ".join(fact for fact in facts if fact), first[0] if first else ""))
    made = Table("name", "family, task kinds", "what it is", title=what, title_justify="left")
    for row in rows:
        made.add_row(*row)
    return made


def _simple(title: str, rows: list[tuple[str, str]]) -> Table:
    made = Table("name", "what it is", title=title, title_justify="left")
    for row in rows:
        made.add_row(*row)
    return made
