"""From the words of a command to the list of cells to run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from attacks import goals, regimes
from attacks.lexicon import Lexicon
from bench import presets, run, sources
from bench.explanations import agreement
from bench.explanations.explainers import load as load_explainer
from bench.robustness import components
from bench.robustness import transfer as transfers
from bench.run import Job
from bench.spec import BASELINE, GIVEN, PRESET, RECIPES, MitigationSpec, Spec, Tier, parse_mitigation, with_baseline
from training import registry, span_head
from training.errors import UserError
from training.hooks import Settings
from training.learning_rates import learning_rate
from training.resources import Resources
from training.stack import Mitigation, Stack
from training.task import Task

EVERY = "all"
ADAPTIVE_TIERS = ("standard", "full")


@dataclass(frozen=True)
class Request:
    """What the user asked for; empty means the choice of the tier (quick by default) or preset."""

    tier: str | None = None
    preset: str | None = None
    tasks: Sequence[str] = ()
    mitigations: Sequence[str] = ()
    recipes: Sequence[str] = ()
    explainers: Sequence[str] = ()
    seeds: int | None = None
    model: str | None = None
    data: Path | None = None
    results: Path = Path("results")
    cache: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    labelled: Sequence[float] = (1.0,)
    regime: str = "default"
    adaptive: bool = False
    goal: str | None = None


def plan(request: Request) -> list[Job]:
    """Every cell of the request, checked before anything is computed. Raises UserError for whatever cannot run."""
    request = replace(request, recipes=[components.recipe_named(recipe) for recipe in request.recipes])
    name, chosen, given = presets.choose(request.tier, request.preset)
    resources = Resources(request.cache)
    model_name, model_folder = sources.open_model(chosen.model if request.model is None else request.model, resources)
    fingerprint = sources.model_fingerprint(model_folder)
    explainers = list(dict.fromkeys(request.explainers or chosen.explainers))
    for explainer in explainers:
        load_explainer(explainer)
    stacks = [_stack(text) for text in with_baseline(_wanted(request) or chosen.mitigations)]
    locators = sources.locators(request.data, request.tasks, chosen.tasks)
    tasks = [run.task_of(locator, request.cache) for locator in locators]
    recipes = _recipes(request, chosen, tasks)
    lexicon = sources.open_lexicon(resources)
    _check_lexicon(lexicon, [*_plugins(*recipes.values()), *(m.plugin for s in stacks for m in s.mitigations)])
    rules = _rules(request, name, chosen.budget_per_word, lexicon, recipes, tasks)
    jobs: list[Job] = []
    for locator, task in zip(locators, tasks, strict=True):
        length = sources.max_length(task, model_folder, {**given, **request.settings}.get("max_length"))
        for stack in stacks:
            if refusal := _unfit(stack, task.kind):
                if EVERY in request.mitigations or not request.mitigations:
                    continue
                raise UserError(refusal)
            rate, source = _rate(request, given, task, model_name, stack)
            asked = {"epochs": chosen.epochs, "max_length": length, **given, **request.settings, "learning_rate": rate}
            for share, seed in itertools.product(request.labelled, range(request.seeds or chosen.seeds)):
                spec = Spec(
                    task=task.name,
                    task_fingerprint=task.fingerprint,
                    model=_shown(model_name, task, request),
                    model_fingerprint=fingerprint,
                    mitigation="+".join(m.name for m in stack.mitigations) + _differences(stack),
                    mitigations=tuple(_mitigation_spec(m) for m in stack.mitigations),
                    seed=seed,
                    tier=name,
                    settings=_settings(asked | {"labelled": share}).model_dump(),
                    learning_rate_source=source,
                    sizes=chosen.sizes,
                    recipes=recipes[task.kind],
                    explainers=tuple(explainers),
                    **rules[task.kind],
                    lexicon_fingerprint=lexicon.fingerprint_for(_needs(recipes[task.kind])),
                )
                jobs.append(Job(spec, locator, model_folder, request.results.resolve(), request.cache))
    return _with_donors(jobs)


def _recipes(request: Request, chosen: Tier, tasks: Sequence[Task]) -> dict[str, tuple[str, ...]]:
    """Kind of task -> its recipes: the asked ones that are for it, else the tier's, else the default of the kind.

    Raises UserError when the asked ones leave a task without any, or hold one that is for none of the tasks.
    """
    asked = list(dict.fromkeys(request.recipes or chosen.recipes))
    kinds = {name: registry.load("attacks.recipes", name).TASKS for name in asked}
    found: dict[str, tuple[str, ...]] = {
        task.kind: tuple(name for name in asked if task.kind in kinds[name]) for task in tasks
    }
    for task in tasks:
        if asked and not found[task.kind] and not request.recipes:
            found[task.kind] = RECIPES[task.kind]
        elif asked and not found[task.kind]:
            raise UserError(_no_recipe(f"none of the recipes {', '.join(asked)} is", task))
    for name in request.recipes:
        if not set(kinds[name]) & set(found):
            raise UserError(_no_recipe(f"the recipe '{name}' is not", tasks[0]))
    return found


def _plugins(*recipes: Iterable[str]) -> list[ModuleType]:
    return [registry.load("attacks.recipes", name) for name in dict.fromkeys(itertools.chain(*recipes))]


def _needs(recipes: Iterable[str]) -> list[str]:
    """Parts of the lexicon; of the task's own recipes, so that what else is in the run changes no Spec."""
    return [need for plugin in _plugins(recipes) for need in plugin.NEEDS]


def _no_recipe(what: str, task: Task) -> str:
    known = [n for n in registry.names("attacks.recipes") if task.kind in registry.load("attacks.recipes", n).TASKS]
    return (
        f"{what} for the {task.kind} task '{task.name}'. Those that are: {', '.join(known)}. Name one of them with "
        "--recipe, or leave --recipe out for the default."
    )


def _rules(
    request: Request, tier: str, budget: int, lexicon: Lexicon, recipes: Mapping[str, Sequence[str]],
    tasks: Sequence[Task],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Kind of task -> the fields of a Spec that say how hard is attacked, and what for. Raises UserError."""
    hard = _attack_rules(request, tier, budget, lexicon, recipes)
    return {kind: hard | {"goal": goal} for kind, goal in _goals(request, tasks).items()}


def _attack_rules(
    request: Request, tier: str, budget: int, lexicon: Lexicon, recipes: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The fields of a Spec that say how hard is attacked. Raises UserError for a regime or pass that cannot be."""
    regime = request.regime
    if regime not in regimes.NAMES:
        raise UserError(f"unknown regime '{regime}'. Known: {', '.join(regimes.NAMES)}.")
    asked = dict.fromkeys(itertools.chain(*recipes.values()))
    if unjudged := [n for n in asked if not regimes.judges(regime, registry.load("attacks.recipes", n))]:
        judged = [n for n in asked if n not in unjudged]
        raise UserError(
            f"the regime '{regime}' compares each word with the one it replaces, and {' and '.join(unjudged)} "
            f"{'inserts or removes' if len(unjudged) == 1 else 'insert or remove'} some; use --regime fixed, or "
            f"{'name with --recipe only such as ' + ', '.join(judged) if judged else 'choose another recipe'}."
        )
    if missing := set(regimes.NEEDS[regime]) - set(lexicon.parts):
        raise UserError(
            f"the regime '{regime}' needs {', '.join(sorted(missing))} of the attack lexicon; get it with: temper fetch"
        )
    if request.adaptive and tier not in ADAPTIVE_TIERS:
        raise UserError(
            f"--adaptive attacks the survivors again and belongs to the tiers {' and '.join(ADAPTIVE_TIERS)}; this is "
            f"'{tier}'. Leave it out, or choose one of them with --tier."
        )
    return {"budget_per_word": regimes.budget_per_word(regime, budget), "regime": regime, "adaptive": request.adaptive}


def _goals(request: Request, tasks: Sequence[Task]) -> dict[str, str]:
    """Kind of task -> its goal: texts with one label have the one only. Raises UserError for one that cannot be."""
    goal = request.goal or goals.DEFAULT
    if goal not in goals.GOALS:
        raise UserError(f"unknown goal '{goal}'. Known: {', '.join(goals.GOALS)}.")
    if goal != goals.DEFAULT and not any(task.kind == "tagging" for task in tasks):
        raise UserError(
            f"the goal '{goal}' is one on entity spans, and '{tasks[0].name}' has one label a text; leave --goal out, "
            "or name a tagging task with --task."
        )
    return {"classification": goals.DEFAULT, "tagging": goal}


def _wanted(request: Request) -> list[str]:
    """The asked mitigations; `all` stands for every one the registry finds, and skips those not for a task."""
    every = registry.names("training.mitigations")
    return [name for asked in request.mitigations for name in (every if asked == EVERY else [asked])]


def _with_donors(jobs: list[Job]) -> list[Job]:
    jobs = list({job.spec.id: job for job in jobs}.values())  # fgm and fgm:epsilon=0.1 are one cell
    specs = [job.spec for job in jobs]
    donors, peers = transfers.donors(specs), agreement.peers(specs)
    return [replace(job, donors=donors[job.spec.id], peers=tuple(peers[job.spec.id].items())) for job in jobs]


def _stack(text: str) -> Stack:
    mitigations = []
    for name, values in parse_mitigation(text):
        plugin = registry.load("training.mitigations", name)
        if name == BASELINE and "+" in text:
            raise UserError(f"'{text}': the baseline is what every mitigation starts from; leave it out of the stack.")
        mitigations.append(Mitigation(name, plugin, registry.configure(plugin, values)))
    return Stack(mitigations)


def _check_lexicon(lexicon: Lexicon, plugins: Iterable[ModuleType]) -> None:
    for plugin in plugins:
        if missing := set(getattr(plugin, "NEEDS", ())) - set(lexicon.parts):
            name = plugin.__name__.rpartition(".")[2]
            raise UserError(f"'{name}' needs more of the attack lexicon; get {components.lack(missing)}")


def _settings(asked: dict[str, Any]) -> Settings:
    try:
        return Settings(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}.") from error


def _unfit(stack: Stack, kind: str) -> str | None:
    for mitigation in stack.mitigations:
        if kind not in mitigation.plugin.TASKS:
            return (
                f"'{mitigation.name}' is not meaningful for {kind} tasks (only {', '.join(mitigation.plugin.TASKS)}); "
                "leave it out."
            )
    return None


def _shown(model: str, task: Task, request: Request) -> str:
    """The model's name in tables: the two heads of one encoder are two models."""
    if request.settings.get("head") != "span":
        return model
    span_head.check(task)
    return f"{model}, span head"


def _rate(request: Request, given: dict[str, Any], task: Task, model: str, stack: Stack) -> tuple[float, str]:
    if "learning_rate" in request.settings:
        return request.settings["learning_rate"], GIVEN
    if "learning_rate" in given:
        return given["learning_rate"], f"{PRESET}{request.preset}"
    return learning_rate(task.name, task.kind, model, [(m.name, m.plugin) for m in stack.mitigations])


def _mitigation_spec(mitigation: Mitigation) -> MitigationSpec:
    config = {} if mitigation.config is None else asdict(mitigation.config)
    return MitigationSpec(name=mitigation.name, version=mitigation.plugin.VERSION, config=config)


def _differences(stack: Stack) -> str:
    """What differs from the defaults, so that fgm and fgm:epsilon=0.5 are two rows."""
    changed = []
    for mitigation in stack.mitigations:
        if mitigation.config is not None:
            default = asdict(type(mitigation.config)())
            now = asdict(mitigation.config)
            changed += [f"{key}={now[key]}" for key in now if now[key] != default[key]]
    return f" ({', '.join(changed)})" if changed else ""


def describe(chosen: Tier) -> str:
    """One line for `temper list tiers`."""
    sizes = chosen.sizes
    attacked, explained = sizes.attacked if chosen.recipes else 0, sizes.explained if chosen.explainers else 0
    return (
        f"{chosen.purpose}: {chosen.model}, arms: {len(chosen.mitigations)}, seeds: {chosen.seeds}, "
        f"epochs: {chosen.epochs}, {attacked} attacked and {explained} explained texts"
    )
