"""Names come from files; unknown ones get a hint."""

from __future__ import annotations

import sys

import pytest

from training import registry
from training.errors import UserError


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UserError, match=r"unknown mitigation 'fmg'.*Did you mean 'fgm'"):
        registry.load("training.mitigations", "fmg")
    with pytest.raises(UserError, match=r"Known: .*baseline"):
        registry.load("training.mitigations", "zzzzzz")


def test_a_file_is_a_registration(tmp_path, monkeypatch):
    import training.mitigations

    (tmp_path / "made_here.py").write_text('"""Does nothing."""\nFAMILY = "control"\n')
    monkeypatch.setattr(training.mitigations, "__path__", [*training.mitigations.__path__, str(tmp_path)])
    assert "made_here" in registry.names("training.mitigations")
    assert registry.load("training.mitigations", "made_here").FAMILY == "control"
    sys.modules.pop("training.mitigations.made_here")


def test_third_parties_register_by_entry_point(tmp_path, monkeypatch):
    (tmp_path / "their_defence.py").write_text('"""Theirs."""\nFAMILY = "adversarial"\n')
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[temperbench.mitigations]\ntheir_defence = their_defence\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "their_defence" in registry.names("training.mitigations")
    assert registry.load("training.mitigations", "their_defence").FAMILY == "adversarial"


def test_finding_names_imports_no_torch():
    import subprocess

    code = (
        "import sys; from training import registry as r; r.names('training.mitigations'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
