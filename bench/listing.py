"""Tables for `temper list`."""

from __future__ import annotations

import inspect
from types import ModuleType

from rich.markup import escape
from rich.table import Table

from bench import sources
from bench.plan import describe
from bench.presets import PRESETS
from bench.robustness import components
from bench.spec import TIERS
from training import registry
from training.errors import UserError
from training.resources import Resources

FAMILIES = ("reference", "gradients", "adversarial", "generalisation", "efficiency", "interpretability", "control")
PACKAGES = {
    "tasks": "training.tasks",
    "mitigations": "training.mitigations",
    "recipes": "attacks.recipes",
    "explainers": "explain.methods",
}


def table(what: str, *, verbose: bool = False) -> Table:
    """The rich table of one kind: `tasks`, `mitigations`, `recipes`, `explainers`, `tiers`, `presets` or `metrics`.

    `verbose`: recipes with what their authors use where ours have something else.
    """
    if what == "recipes":
        return _recipes(verbose)
    if what == "tiers":
        return _simple("tiers", [(name, describe(tier)) for name, tier in TIERS.items()])
    if what == "presets":
        return _simple("presets", [(name, describe(preset.tier)) for name, preset in PRESETS.items()])
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
    """Passes: forward + backward passes of one step; the baseline has one of each."""
    made = Table("name", "passes", "what it is", title="mitigations", title_justify="left")
    plugins = {name: registry.load(PACKAGES["mitigations"], name) for name in registry.names(PACKAGES["mitigations"])}
    for family in dict.fromkeys([*FAMILIES, *(plugin.FAMILY for plugin in plugins.values())]):
        made.add_section()
        made.add_row(f"[bold]{family}[/bold]")
        for name, plugin in plugins.items():
            if family == plugin.FAMILY:
                made.add_row(name, _cost(plugin), f"{_first_line(plugin)}\n[dim]{escape(_facts(plugin))}[/dim]")
    return made


def _cost(plugin: ModuleType) -> str:
    forward, backward = getattr(plugin, "PASSES", (1, 1))
    return f"{forward:g} + {backward:g}"


def _facts(plugin: ModuleType) -> str:
    """`Hu et al. 2022, arXiv 2106.09685; classification, tagging; after training a teacher`."""
    before = [f"after {plugin.PREPARATION}"] if hasattr(plugin, "PREPARATION") else []
    return "; ".join([getattr(plugin, "SOURCE", "no source given"), ", ".join(plugin.TASKS), *before])


def _plugins(what: str) -> Table:
    made = Table("name", "what it is", title=what, title_justify="left")
    for name in registry.names(PACKAGES[what]):
        made.add_row(name, _first_line(registry.load(PACKAGES[what], name)))
    return made


def _recipes(verbose: bool) -> Table:
    what = (*(("what the authors use",) if verbose else ()), "what it is")
    made = Table("name", "kind", "components", "here", *what, title="recipes", title_justify="left")
    try:
        held = sources.open_lexicon(Resources()).parts
    except UserError:
        held = None
    for name in registry.names(PACKAGES["recipes"]):
        module = registry.load(PACKAGES["recipes"], name)
        lacking = components.original(module)
        theirs = "not recorded" if lacking is None else ", ".join(lacking) or "the same"
        made.add_row(
            name,
            escape(getattr(module, "KIND", "")),
            escape(getattr(module, "COMPONENTS", "")),
            escape(components.state(module, held)),
            *((escape(theirs),) if verbose else ()),
            _first_line(module),
        )
    return made


def _first_line(module: ModuleType) -> str:
    return escape((inspect.getdoc(module) or "").partition("\n")[0])


def _simple(title: str, rows: list[tuple[str, str]]) -> Table:
    made = Table("name", "what it is", title=title, title_justify="left")
    for row in rows:
        made.add_row(*row)
    return made
