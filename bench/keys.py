"""The keys of stages: hashes over everything that can change a result.

Code (the source files it runs), settings, the keys of its inputs, the data and the versions of the libraries that
matter. Editing one mitigation's file leaves the finished cells of the others alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from bench.metrics import TAGS
from bench.spec import Spec
from training import registry
from training.model import device

HOUSE = Path(__file__).resolve().parent.parent
DRIFT_RECIPE = "textfooler"
# the modules that decide what a training run computes; fetching, listing and data readers do not (data have a hash)
LOOP = ("alignment", "first_position", "hooks", "loop", "model", "passes", "stack", "telemetry")
SPANS = "training/span_head.py"
EVALUATION_CODE = ("bench/stages.py", "bench/tagging.py", "training/calibration.py", "training/ner_metrics.py")
NUMBERS = ("attacks/batching.py", "attacks/kernels.py")
TRAINING_CODE = (*(f"training/{name}.py" for name in LOOP), *NUMBERS, "training/mitigations/_*.py")


@functools.cache
def code_hash(*patterns: str) -> str:
    """sha256 over the suite's source files that match the globs (relative to the checkout), 12 hex digits."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in HOUSE.glob(pattern)}):
        digest.update(path.relative_to(HOUSE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@functools.cache
def versions(*packages: str) -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in packages}


def stage_key(**inputs: Any) -> str:
    """16 hex digits over the canonical JSON of `inputs`."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mitigation_code(name: str) -> tuple[str, ...]:
    """The source files of a mitigation: its own, and those its USES names (globs relative to the checkout)."""
    plugin = registry.load("training.mitigations", name)
    return (f"training/mitigations/{name}.py", *getattr(plugin, "USES", ()))


def train_code(spec: Spec) -> tuple[str, ...]:
    spans = (SPANS,) if spec.settings.get("head") == "span" else ()
    return (*TRAINING_CODE, *spans, *(pattern for m in spec.mitigations for pattern in mitigation_code(m.name)))


def train_key(spec: Spec) -> str:
    return stage_key(
        code=code_hash(*train_code(spec)),
        libraries=versions("torch", "transformers", "accelerate", "peft", "tokenizers"),
        device=device().type,
        task=spec.task_fingerprint,
        model=spec.model_fingerprint,
        mitigations=[m.model_dump() for m in spec.mitigations],
        seed=spec.seed,
        settings=spec.settings,
        sizes=[spec.sizes.train, spec.sizes.validation],
    )


def evaluate_key(spec: Spec) -> str:
    sizes = spec.sizes
    return stage_key(
        train=train_key(spec),
        code=code_hash(*EVALUATION_CODE),
        sizes=[sizes.validation, sizes.test, sizes.out_of_domain],
    )


def attack_mode(recipe: str) -> str:
    """The mode that stands for a recipe: "tags" for one that attacks taggers, else "calibrated"."""
    return TAGS if "tagging" in registry.load("attacks.recipes", recipe).TASKS else "calibrated"


def attack_code(recipe: str, mode: str) -> tuple[str, ...]:
    """The stage's source file, the recipe's, and those of the recipes that it USES."""
    used = getattr(registry.load("attacks.recipes", recipe), "USES", ())
    stage = "bench/robustness/tagging_attacks.py" if mode == TAGS else "bench/robustness/attacking.py"
    return (stage, *(f"attacks/recipes/{name}.py" for name in (recipe, *used)))


def attack_key(spec: Spec, recipe: str, mode: str) -> str:
    return stage_key(
        train=evaluate_key(spec),
        code=code_hash("attacks/*.py", *attack_code(recipe, mode)),
        libraries=versions("textattack", "nltk"),
        mode=mode,
        attacked=spec.sizes.attacked,
        lexicon=lexicon_of(spec, recipe),
        budget_per_word=spec.budget_per_word,
        regime=spec.regime,
        goal=spec.goal if mode == TAGS else None,
    )


def lexicon_of(spec: Spec, recipe: str) -> str:
    """The lexicon's fingerprint with those of its optional parts that the recipe needs, and no others."""
    needs = registry.load("attacks.recipes", recipe).NEEDS
    base, *optional = spec.lexicon_fingerprint.split("+")
    return "+".join([base, *(part for part in optional if part.partition(":")[0] in needs)])


def sweep_key(spec: Spec, recipe: str) -> str:
    return stage_key(attack=attack_key(spec, recipe, attack_mode(recipe)), code=code_hash("bench/robustness/sweep.py"))


def adaptive_key(spec: Spec) -> str:
    attacks = [attack_key(spec, recipe, attack_mode(recipe)) for recipe in spec.recipes]
    return stage_key(attacks=attacks, code=code_hash("bench/robustness/adaptive.py"))


def drift_recipe(spec: Spec) -> str:
    """The recipe whose adversarial texts the attributions are compared on."""
    ranked = [r for r in spec.recipes if getattr(registry.load("attacks.recipes", r), "RANKED", True)]
    return DRIFT_RECIPE if DRIFT_RECIPE in ranked or not ranked else ranked[0]


def explain_code(spec: Spec) -> tuple[str, ...]:
    return (
        "explain/*.py",
        "explain/methods/_*.py",
        *(f"explain/methods/{name}.py" for name in spec.explainers),
        "bench/explanations/explaining.py",
        "bench/explanations/entity_explaining.py",
        "bench/explanations/entity_versions.py",
        "bench/explanations/edits.py",
        "bench/explanations/marks.py",
        "training/mitigations/_rationales.py",
    )


def explain_key(spec: Spec) -> str:
    return stage_key(
        code=code_hash(*explain_code(spec)),
        libraries=versions("captum"),
        attack=attack_key(spec, drift_recipe(spec), attack_mode(drift_recipe(spec))),
        explainers=list(spec.explainers),
        explained=spec.sizes.explained,
        explanation_attack=code_hash("bench/explanations/explanation_attack.py") if spec.adaptive else None,
    )


def invariance_key(spec: Spec) -> str:
    return stage_key(
        train=evaluate_key(spec),
        code=code_hash(
            "attacks/invariances/*.py", "attacks/entities.py", "attacks/gazetteer.py", "bench/robustness/invariance.py"
        ),
        attacked=spec.sizes.attacked,
    )


def code_of_stages(spec: Spec) -> dict[str, str]:
    """Stage -> the hash of its own code alone, so that `temper bisect` can name the stage whose code changed."""
    found = {"train": code_hash(*train_code(spec)), "evaluate": code_hash(*EVALUATION_CODE)}
    for recipe in spec.recipes:
        found[f"attack:{recipe}"] = code_hash("attacks/*.py", *attack_code(recipe, attack_mode(recipe)))
    return found | {"explain": code_hash(*explain_code(spec))}


def cell_key(spec: Spec) -> str:
    """A hash over the keys of every stage: two Records with the same one were made by the same code."""
    return stage_key(
        evaluate=evaluate_key(spec),
        health=code_hash("training/health.py"),
        attacks=[attack_key(spec, recipe, attack_mode(recipe)) for recipe in spec.recipes],
        explanations=explain_key(spec),
        invariance=invariance_key(spec) if spec.recipes else None,
        honesty=code_hash("bench/robustness/sweep.py", "bench/robustness/transfer.py"),
        agreement=code_hash("bench/explanations/agreement.py") if spec.explainers else None,
        adaptive=adaptive_key(spec) if spec.adaptive else None,
    )
