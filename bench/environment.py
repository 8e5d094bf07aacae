"""What the machine and its software were: enough to judge a difference, no name of a person or host."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "torch", "transformers", "textattack", "captum", "peft", "accelerate", "tokenizers",
    "numpy", "pandas", "scipy", "nltk", "lemminflect", "seqeval",
)  # fmt: skip
HOUSE = Path(__file__).resolve().parent.parent


def collect(device: str, threads: int | None = None) -> dict[str, Any]:
    """The environment entry of a Record; no host name, no user name, no path.

    `device` is the name the caller trained on ("cpu", "NVIDIA H100 ..."), `threads` the number its library
    used. Package versions come from the installed metadata; nothing is imported. The unknown is None.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": device,
        "threads": threads,
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git_state(HOUSE),
    }


def cpu_model() -> str | None:
    """The processor's marketing name, or None."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name")]
    return (names[0] if names else platform.processor()) or None


def git_state(folder: Path) -> dict[str, Any] | None:
    """{"commit": 40 hex digits, "dirty": bool} of the checkout at `folder`, or None where there is none."""
    git = shutil.which("git")
    if git is None:
        return None
    commit = _git(git, folder, "rev-parse", "--verify", "HEAD")
    status = _git(git, folder, "status", "--porcelain")
    if commit is None or status is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}


def _git(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (a fixed program with fixed arguments)
            [git, *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
