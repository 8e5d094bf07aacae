"""From the words of a command to the list of cells to run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import ValidationError
from transformers import AutoTokenizer

from attacks.lexicon import Lexicon
from bench import presets, run, sources
from bench.run import Job
from bench.spec import BASELINE, MitigationSpec, Spec, Tier, parse_mitigation, with_baseline
from training import registry, span_head
from training.errors import UserError
from training.hooks import Settings
from training.learning_rates import learning_rate
from training.resources import Resources
from training.stack import Mitigation, Stack
from training.task import Task

LENGTHS = (32, 256)
EVERY = "all"


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


def plan(request: Request) -> list[Job]:
    """Every cell of the request, checked before anything is computed. Raises UserError for whatever cannot run."""
    name, chosen, given = presets.choose(request.tier, request.preset)
    resources = Resources(request.cache)
    model_name, model_folder = sources.open_model(request.model or chosen.model, resources)
    fingerprint = sources.model_fingerprint(model_folder)
    recipes, explainers = request.recipes or chosen.recipes, request.explainers or chosen.explainers
    users = [registry.load("attacks.recipes", recipe) for recipe in recipes]
    for explainer in explainers:
        registry.load("explain.methods", explainer)
    seeds = request.seeds or chosen.seeds
    stacks = [_stack(text) for text in with_baseline(_wanted(request) or chosen.mitigations)]
    locators = [f"data:{request.data}"] if request.data else list(request.tasks or chosen.tasks)
    tasks = [run.task_of(locator, request.cache) for locator in locators]
    lexicon = sources.open_lexicon(resources)
    _check_lexicon(lexicon, [*users, *(m.plugin for stack in stacks for m in stack.mitigations)])
    jobs: list[Job] = []
    for locator, task in zip(locators, tasks, strict=True):
        length = _max_length(task, model_folder)
        shown = _shown(model_name, task, request)
        for stack in stacks:
            if refusal := _unfit(stack, task.kind):
                if EVERY in request.mitigations or not request.mitigations:
                    continue
                raise UserError(refusal)
            rate, source = _rate(request, given, task.name, model_name, stack)
            asked = {"epochs": chosen.epochs, "max_length": length, **given, **request.settings, "learning_rate": rate}
            for share, seed in itertools.product(request.labelled, range(seeds)):
                spec = Spec(
                    task=task.name,
                    task_fingerprint=task.fingerprint,
                    model=shown,
                    model_fingerprint=fingerprint,
                    mitigation="+".join(m.name for m in stack.mitigations) + _differences(stack),
                    mitigations=tuple(_mitigation_spec(m) for m in stack.mitigations),
                    seed=seed,
                    tier=name,
                    settings=_settings(asked | {"labelled": share}).model_dump(),
                    learning_rate_source=source,
                    sizes=chosen.sizes,
                    recipes=tuple(recipes),
                    explainers=tuple(explainers),
                    budget_per_word=chosen.budget_per_word,
                    lexicon_fingerprint=lexicon.fingerprint,
                )
                jobs.append(Job(spec, locator, model_folder, request.results.resolve(), request.cache, None))
    return _with_donors(jobs)


def _wanted(request: Request) -> list[str]:
    """The asked mitigations; `all` stands for every one the registry finds, and skips those not for a task."""
    every = registry.names("training.mitigations")
    return [name for asked in request.mitigations for name in (every if asked == EVERY else [asked])]


def _with_donors(jobs: list[Job]) -> list[Job]:
    donors = run.donors([job.spec for job in jobs])
    return [Job(j.spec, j.task_locator, j.model_folder, j.results, j.cache, donors.get(j.spec.id)) for j in jobs]


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
            raise UserError(
                f"'{name}' needs {', '.join(sorted(missing))} of the attack lexicon; get it with: temper fetch"
            )


def _settings(asked: dict[str, Any]) -> Settings:
    try:
        return Settings(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}.") from error


def _max_length(task: Task, model_folder: Path) -> int:
    """Pieces that hold 99 % of the training texts whole, rounded up to a multiple of 16, within LENGTHS."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder, local_files_only=True, use_fast=True)
    if task.kind == "classification":
        coded = tokenizer([example.text for example in task.train])["input_ids"]
    else:
        coded = tokenizer([list(example.words) for example in task.train], is_split_into_words=True)["input_ids"]
    wanted = float(np.quantile([len(row) for row in coded], 0.99))
    return int(np.clip(16 * math.ceil(wanted / 16), *LENGTHS))


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


def _rate(request: Request, given: dict[str, Any], task: str, model: str, stack: Stack) -> tuple[float, str]:
    if "learning_rate" in request.settings:
        return request.settings["learning_rate"], "given by the user"
    if "learning_rate" in given:
        return given["learning_rate"], f"preset {request.preset}"
    return learning_rate(task, model, [(m.name, m.plugin) for m in stack.mitigations])


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
