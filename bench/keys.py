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

from bench.spec import Spec
from training import registry
from training.model import device

HOUSE = Path(__file__).resolve().parent.parent
DRIFT_RECIPE = "textfooler"
# the modules that decide what a training run computes; fetching, listing and data readers do not (data have a hash)
LOOP = ("alignment", "hooks", "loop", "model", "passes", "span_head", "stack", "telemetry")
TRAINING_CODE = (*(f"training/{name}.py" for name in LOOP), "training/mitigations/_*.py")


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


def train_key(spec: Spec) -> str:
    return stage_key(
        code=code_hash(*TRAINING_CODE, *(pattern for m in spec.mitigations for pattern in mitigation_code(m.name))),
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
        code=code_hash("bench/stages.py", "bench/tagging.py", "training/calibration.py", "training/ner_metrics.py"),
        sizes=[sizes.validation, sizes.test, sizes.out_of_domain],
    )


def attack_key(spec: Spec, recipe: str, mode: str) -> str:
    return stage_key(
        train=evaluate_key(spec),
        code=code_hash("attacks/*.py", "bench/attacking.py", f"attacks/recipes/{recipe}.py"),
        libraries=versions("textattack", "nltk"),
        mode=mode,
        attacked=spec.sizes.attacked,
        lexicon=spec.lexicon_fingerprint,
        budget_per_word=spec.budget_per_word,
    )


def drift_recipe(spec: Spec) -> str:
    """The recipe whose adversarial texts the attributions are compared on."""
    return DRIFT_RECIPE if DRIFT_RECIPE in spec.recipes or not spec.recipes else spec.recipes[0]


def explain_key(spec: Spec) -> str:
    return stage_key(
        code=code_hash(
            "explain/*.py",
            "explain/methods/_*.py",
            *(f"explain/methods/{name}.py" for name in spec.explainers),
            "bench/explaining.py",
        ),
        libraries=versions("captum"),
        attack=attack_key(spec, drift_recipe(spec), "calibrated"),
        explainers=list(spec.explainers),
        explained=spec.sizes.explained,
    )


def cell_key(spec: Spec) -> str:
    """A hash over the keys of every stage: two Records with the same one were made by the same code."""
    return stage_key(
        evaluate=evaluate_key(spec),
        health=code_hash("training/health.py"),
        attacks=[attack_key(spec, recipe, "calibrated") for recipe in spec.recipes],
        explanations=explain_key(spec),
    )
