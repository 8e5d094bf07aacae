"""The map of the house, held by tests: who may import whom, how long things may be, what must not appear."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
ROOMS = ("attacks", "explain", "training", "bench")
MAY_IMPORT = {
    "attacks": set(),
    "explain": set(),
    "training": {"attacks", "explain"},
    "bench": {"attacks", "explain", "training"},
}
TORCH_FREE = ("leaderboard", "gate.checking", "stats", "store", "metrics", "record", "environment", "report.page")
FILES = [path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]


def imports_of(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(HOUSE).parts[0]
    ours = imports_of(ast.parse(path.read_text(encoding="utf8"))) & {*ROOMS, "tests"}
    assert ours <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    plugin = path.parent.name in ("mitigations", "recipes", "methods", "tasks")
    assert text.count("\n") <= (120 if plugin else 300), "split the file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= (80 if path.name == "loop.py" else 45), f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_nothing_unsafe(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    tree = ast.parse(text)
    assert not imports_of(tree) & {"pickle", "dill", "joblib", "shelve", "marshal"}
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"torch.load", "torch.save", "eval", "exec", "os.system"} & set(calls)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            assert (node.arg, node.value.value) not in {
                ("trust_remote_code", True),
                ("shell", True),
                ("allow_pickle", True),
            }


def test_no_catch_all_modules() -> None:
    assert not [path for path in FILES if path.stem in ("utils", "common", "helpers", "misc")]


@pytest.mark.parametrize("module", TORCH_FREE)
def test_reporting_never_imports_torch(module: str) -> None:
    code = (
        f"import bench.{module}, sys; print([m for m in ('torch', 'transformers', 'textattack') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOUSE, check=True)
    assert done.stdout.strip() == "[]"
