"""`temper doctor`: one line per thing the suite needs, with what to do where it is missing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

import torch
from packaging.requirements import Requirement
from rich.table import Table

from attacks import masked_lm, originals
from bench import sources
from training import resources
from training.catalogue import KNOWN
from training.errors import UserError
from training.resources import Resources

PACKAGES = (
    "torch",
    "transformers",
    "textattack",
    "flair",
    "captum",
    "peft",
    "accelerate",
    "seqeval",
    "pytest-benchmark",
)
EXACT = {"textattack": "0.3.11"}


def table() -> Table:
    """Rows of (what, state, what to do)."""
    made = Table("what", "state", "what to do", title="temper doctor", title_justify="left")
    for row in [*_packages(), *_resources(), _lexicon(), _masked_lm(), _originals(), _device(), _cores(), *_space()]:
        made.add_row(*row)
    return made


def _packages() -> list[tuple[str, str, str]]:
    rows = []
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "missing", "pip install -c constraints.txt -e ."))
            continue
        wrong = name in EXACT and version != EXACT[name]
        advice = f"numbers need {EXACT[name]} exactly: pip install {name}=={EXACT[name]}" if wrong else ""
        rows.append((name, version, _unfit(importlib.metadata.requires(name) or []) if name == "flair" else advice))
    return rows


def _unfit(requirements: list[str]) -> str:
    """What it means that flair's requirements, in the metadata's form, refuse the installed transformers; "" if not."""
    wanted = next((r for r in map(Requirement, requirements) if r.name == "transformers" and r.marker is None), None)
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return ""
    if wanted is None or wanted.specifier.contains(version, prereleases=True):
        return ""
    return f"not for transformers {version}: all recipes here run without it, TextAttack's with its taggers do not"


def _resources() -> list[tuple[str, str, str]]:
    held = Resources()
    rows = []
    for name, licence in resources.licences().items():
        there = held.has(name)
        absent = "not asked for" if KNOWN[name].by_name else "missing"
        rows.append(
            (f"resource {name}", "ok" if there else absent, "" if there else f"temper fetch {name}  ({licence})")
        )
    return rows


def _lexicon() -> tuple[str, str, str]:
    try:
        sources.open_lexicon(Resources())
    except UserError as error:
        return ("attack lexicon", "missing", f"temper fetch  ({error})")
    return ("attack lexicon", "ok", "")


def _masked_lm() -> tuple[str, str, str]:
    built = masked_lm.manifest(masked_lm.beside(sources.lexicon_folder(Resources()))) is not None
    advice = "" if built else "temper fetch masked-lm  (for the recipes bae, bert_attack and clare; minutes)"
    return ("masked language model", "ok" if built else "not asked for", advice)


def _originals() -> tuple[str, str, str]:
    """What recipes' authors use; nobody needs it, so nothing is missing."""
    found = originals.found()
    advice = "" if len(found) == len(originals.RESOURCES) else "ask for RECIPE:original to see how to get the others"
    return ("the authors' own components", ", ".join(found) or "none", advice)


def _device() -> tuple[str, str, str]:
    if torch.cuda.is_available():
        return ("accelerator", torch.cuda.get_device_name(0), "")
    return ("accelerator", "none: CPU", "smoke and quick are made for a CPU; standard takes hours")


def _cores() -> tuple[str, str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("cores", str(cores), "" if cores > 1 else "one worker process; twice as slow as the times in the README")


def _space() -> list[tuple[str, str, str]]:
    rows = []
    for title, folder, wanted in (("cache", Resources().cache, 1.0), ("results", Path("results"), 2.0)):
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free / 2**30
        writable = os.access(place, os.W_OK)
        advice = "" if writable else f"not writable; choose another {title} folder"
        if writable and free < wanted:
            advice = f"needs about {wanted:.0f} GiB"
        rows.append((f"{title} folder", f"{free:.0f} GiB free" if writable else "not writable", advice))
    return rows
