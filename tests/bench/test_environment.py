"""Enough to judge a difference; nothing that names a person, a host or a folder; nothing heavy imported."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bench import environment

LIGHT = (
    "record", "store", "environment", "stats", "metrics", "extraction", "board", "leaderboard", "gate",
    "report.formats", "report.terminal", "report.forest", "report.sections",
)  # fmt: skip


def test_names_versions_and_no_person() -> None:
    found = environment.collect(device="cpu", threads=1)
    text = json.dumps(found, allow_nan=False)
    assert found["packages"]["textattack"] == "0.3.11"
    assert found["device"] == "cpu"
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 0
    assert str(Path.cwd()) not in text
    assert str(Path.home()) + "/" not in text
    node = platform.node()
    assert not node or f'"{node}"' not in text
    assert f'"{getpass.getuser()}"' not in text


def test_git_state_of_a_folder_without_one(tmp_path: Path) -> None:
    assert environment.git_state(tmp_path) is None


def test_git_state_knows_dirt(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init")
    git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--allow-empty", "-m", "empty")
    clean = environment.git_state(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "new").write_text("")
    dirty = environment.git_state(tmp_path)
    assert dirty is not None
    assert dirty["dirty"] is True


def test_a_package_that_is_not_there_is_unknown() -> None:
    assert environment._version("no-such-distribution-anywhere") is None


@pytest.mark.parametrize("module", LIGHT)
def test_the_report_half_never_imports_torch(module: str) -> None:
    code = (
        f"import sys, bench.{module}\n"
        "print(sorted({'torch', 'transformers', 'textattack', 'captum'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
