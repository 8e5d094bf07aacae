"""`temper explain` on a tiny model: what it prints and writes, and what it says when it cannot."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.explanations import explain_command
from bench.explanations.explain_command import terminal_strip
from bench.store import Store
from explain.attribution import Attribution
from tests.bench.conftest import make_record
from training.errors import UserError
from training.model import open_classifier


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, sentiment_task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    open_classifier(tiny_model, sentiment_task(), 32, 0).save(folder)
    return folder


@pytest.fixture
def results(tmp_path: Path, checkpoint: Path) -> Path:
    """A results folder with one run, whose checkpoint today's key does not find and its summary does."""
    summary = {"train_seconds": 1.234567, "steps": 7}
    store = Store(tmp_path / "results", write=True)
    store.write(make_record("fgm", 0, summary=summary, spec={"settings": {"max_length": 32}}), {})
    stage = tmp_path / "results" / "work" / "train-0123456789abcdef"
    stage.parent.mkdir()
    stage.symlink_to(checkpoint)
    (checkpoint / "result.json").write_text(json.dumps({"seconds": 1.0, "result": summary}))
    return tmp_path / "results"


def _run(results: Path, text: str = "the film was great", **changes) -> tuple[str, Path]:
    console = Console(width=100, record=True, file=io.StringIO())
    out = results / "page.html"
    values = {"wanted": "movie_reviews--bert-tiny--fgm", "model": None, "names": ["integrated_gradients"]}
    values |= changes
    explain_command.run(text=text, results=results, out=out, console=console, **values)
    return console.export_text(), out


def test_a_run_is_explained_here_and_on_a_page(results: Path) -> None:
    text, out = _run(results, names=["integrated_gradients", "random"])
    assert "predicted: " in text
    assert "the film was great" in text
    assert text.index("integrated_gradients, completeness error") < text.index("random")
    page = out.read_text(encoding="utf8")
    assert page.count('class="tb-strip"') == 2
    assert page.count("<figure") == 1
    assert "--fgm--s0" in page


def test_a_folder_is_enough(results: Path, checkpoint: Path) -> None:
    text, _ = _run(results, wanted=None, model=checkpoint)
    assert "predicted: " in text
    assert "negative" in text


def test_hostile_text_stays_text(results: Path) -> None:
    hostile = "<script>alert(1)</script> [red]=cmd() \u202egnorw film"
    text, out = _run(results, hostile)
    page = out.read_text(encoding="utf8")
    assert "<script" not in page
    assert "\u202e" not in page + text
    assert "[red]=cmd()" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "  "}, "the text is empty"),
        ({"wanted": None}, "either --run ID"),
        ({"model": Path("x")}, "either --run ID"),
        ({"wanted": "no-such-run"}, "unknown run 'no-such-run'"),
        ({"wanted": "movie_reviews--bert-tiny--fgn--s0"}, "Near: movie_reviews--bert-tiny--fgm"),
        ({"names": ["gradcam"]}, "unknown explainer"),
        ({"names": ["deep_lift"]}, "left out on purpose"),
        ({"wanted": None, "model": Path("no/such/folder")}, "no config.json"),
        ({"text": "\u200b"}, "the tokenizer sees no word"),
    ],
)
def test_errors_are_for_people(results: Path, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        _run(results, **changes)


def test_a_lost_checkpoint_an_ambiguous_run_and_a_bad_place(results: Path, checkpoint: Path) -> None:
    Store(results, write=True).write(make_record("fgm", 1, summary={"train_seconds": 9.9}), {})
    with pytest.raises(UserError, match=r"2 runs in .* begin with 'movie_reviews'"):
        _run(results, wanted="movie_reviews")
    with pytest.raises(UserError, match="run the same `temper run` again"):
        _run(results, wanted="movie_reviews--bert-tiny--fgm--s1")
    (results / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names no labels"):
        _run(results, wanted=None, model=results)
    with pytest.raises(UserError, match="cannot write"):
        explain_command.run(None, checkpoint, "a film", ["random"], results, results, Console())


def test_every_entity_of_a_tagger_has_its_row(tiny_model: Path, tagging_task, tmp_path: Path) -> None:
    classifier = open_classifier(tiny_model, tagging_task, 32, 0)
    with torch.no_grad():
        classifier.module.classifier.weight.zero_()
        classifier.module.classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # every word is B-THING
    classifier.save(tmp_path)
    found = explain_command.explain(explain_command.open_folder(tmp_path), "x", "the film was", ["occlusion"])
    assert [name for name, _ in found.rows] == ["the (THING)", "film (THING)", "was (THING)"]
    page = explain_command.write_page(found, tmp_path / "page.html").read_text(encoding="utf8")
    assert page.count('<th scope="row">') == 3
    with torch.no_grad():
        classifier.module.classifier.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    with pytest.raises(UserError, match="no entity"):
        explain_command.explain(classifier, "x", "the film was", ["occlusion"])


def test_bars_by_hand() -> None:
    words = ("good", "not", "plot")
    found = Attribution("good not plot", words, (4.0, -2.0, 0.0), 1, 0, 1.0, 0.0, None, None)
    above, line, below = (one.plain for one in terminal_strip(found, 80))
    assert line == "good not plot "
    assert above == "▁▁▁▁          "
    assert below == "     ▔▔       "
    assert len(terminal_strip(found, 9)) == 6
