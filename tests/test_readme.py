"""The README's example mitigation is a real one: under 40 lines, found by its file name, trained, on the list."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
README = (HOUSE / "README.md").read_text(encoding="utf8")


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The README's python block, saved as a mitigation file beside the suite's own."""
    import training.mitigations

    (source,) = re.findall(r"```python\n(.*?)```", README, re.S)
    name = re.search(r"training/mitigations/(\w+)\.py", README).group(1)
    (tmp_path / f"{name}.py").write_text(source, encoding="utf8")
    monkeypatch.setattr(training.mitigations, "__path__", [*training.mitigations.__path__, str(tmp_path)])
    yield name, source
    sys.modules.pop(f"training.mitigations.{name}", None)


def test_it_is_short_and_not_there_already(example):
    name, source = example
    assert source.count("\n") < 40
    assert not (HOUSE / "training" / "mitigations" / f"{name}.py").exists()


def test_it_is_listed_and_trains(example, sentiment_task, tiny_model):
    from rich.console import Console

    from bench import listing
    from training import registry
    from training.hooks import Context, Settings
    from training.loop import fine_tune
    from training.model import open_classifier
    from training.stack import Mitigation, Stack

    name, _ = example
    shown = io.StringIO()
    Console(width=200, file=shown).print(listing.table("mitigations"))
    assert name in shown.getvalue()
    plugin = registry.load("training.mitigations", name)
    task = sentiment_task(train=32)
    losses = {}
    for stack in (Stack([]), Stack([Mitigation(name, plugin, registry.configure(plugin, {}))])):
        classifier = open_classifier(tiny_model, task, 32, 0)
        settings = Settings(learning_rate=1e-3, epochs=1, batch_size=8)
        context = Context(task, classifier.tokenizer, settings, 0, lambda: None)
        losses[len(stack.mitigations)] = fine_tune(classifier, stack, context).telemetry["loss"].tolist()
    assert losses[0] != losses[1]


def test_every_command_it_names_exists():
    from bench.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"^temper (\w+)", README, re.M))
    assert named
    assert named <= known
    targets = set(re.findall(r"^([a-z]+):", (HOUSE / "Makefile").read_text(), re.M))
    called = set(re.findall(r"(?:^|`)make (\w+)", README, re.M))
    assert {"bench", "test"} <= called <= targets


def test_the_leaderboard_is_what_the_reference_records_say(tmp_path):
    """Nobody edits the README's numbers: `temper report --results results/reference/quick` gives them."""
    from bench import leaderboard
    from bench.store import Store

    leaderboard.write(Store(HOUSE / "results" / "reference" / "quick"), tmp_path)
    made = (tmp_path / "leaderboard.md").read_text(encoding="utf8")
    tables = re.findall(r"<!-- from the records -->\n(.*?)<!-- end -->", README, re.S)
    assert len(tables) == 2
    for table in tables:
        assert table.strip() in made


def test_the_shelf_is_the_registry():
    from training import registry

    section = README.split("## What is on the shelf")[1].split("\n## ")[0]
    shelf = {name: row[0] for row in re.findall(r"^\| (\w+) \| (.+) \|$", section, re.M) for name in row[1].split(", ")}
    names = registry.names("training.mitigations")
    found = {name: registry.load("training.mitigations", name).FAMILY for name in names if name != "baseline"}
    assert {name: family for name, family in shelf.items() if name != "arms"} == found
    assert f"The baseline and {len(found)} arms" in section
