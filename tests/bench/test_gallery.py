"""`temper pictures` from records of known attributions: which text, which arms, which numbers, and hostile words."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench import cli, leaderboard
from bench.report.gallery import command, drawing, stored
from bench.report.gallery.command import Asked
from bench.store import Store
from tests.bench.conftest import make_record
from training.errors import UserError

HOSTILE = ("<script>alert(1)</script>", "=cmd()", "\u202egnorw", "$x^2$", '"><img src=x onerror=hit()>')
LABEL = "fgm <b>&amp;</b>"


def attributions(rows: list[tuple[str, str, tuple[str, ...], list[float]]]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"id": i, "version": v, "words": json.dumps(words), "scores": json.dumps(s)} for i, v, words, s in rows]
    )


def classified(store: Store, arm: str, seed: int, sign: float, *, fooled: tuple[str, ...] = ()) -> None:
    """Two explained texts; of those in `fooled` an adversarial version is stored too."""
    texts = {"aaa1": ("a", "fine", "film"), "bbb2": HOSTILE}
    rows = []
    for one, words in texts.items():
        scores = [sign * (place + 1) * (-1) ** place for place in range(len(words))]
        rows.append((one, "clean", words, scores))
        if one in fooled:
            rows.append((one, "attacked", ("a", "fiine", *words[2:]), [-score for score in scores]))
    explain = pd.DataFrame({"id": list(texts), "target": [1, 0], "other": [0, 1], "dnaopc": [0.5, 0.5]})
    attack = pd.DataFrame({"id": list(texts), "text": [" ".join(w) for w in texts.values()], "label": [1, 0]})
    attack["status"], attack["perturbed"], attack["queries"], attack["words"] = "failed", None, 5, 3
    attack["words_changed"], attack["p_before"], attack["p_after"], attack["error"] = None, 0.9, 0.8, None
    tables = {"attack:textfooler:calibrated": attack, "explain:occlusion": explain}
    tables |= {f"attributions:{name}": attributions(rows) for name in ("random", "occlusion")}
    name = f"movie_reviews--bert-tiny--{'baseline' if arm == 'baseline' else 'arm'}--s{seed}--quick--00000000"
    store.write(make_record(arm, seed, spec_id=name, recipes=["textfooler"]), tables)


@pytest.fixture
def texts(tmp_path: Path) -> Store:
    store = Store(tmp_path / "texts", write=True)
    for seed in (0, 1):
        classified(store, "baseline", seed, 1.0, fooled=("bbb2",))
        classified(store, LABEL, seed, -2.0)
    return store


@pytest.fixture
def tagged(tmp_path: Path) -> Store:
    words = ("Ann", "met", "Bob", "and", "Ann", "again", *(["so"] * 30))
    store = Store(tmp_path / "tagged", write=True)
    for arm, found in (("baseline", (0, 2)), ("fgm", (2, 4))):
        rows = [
            {"id": "s1", "first": at, "last": at, "kind": "PER", "margin": 1.0, "self_share": 0.5}
            | {"words": json.dumps(words), "scores": json.dumps([float(at + place) for place in range(len(words))])}
            for at in found
        ]
        tables = {"entity_attributions:occlusion": pd.DataFrame(rows)}
        if arm == "fgm":
            # the attack left Bob alone and put another word before him
            hit = rows[0] | {"kept": False, "words": json.dumps(("Ann", "meet", *words[2:]))}
            tables["attacked_entities:occlusion"] = pd.DataFrame([hit])
        store.write(make_record(arm, 0, task="conll2003", recipes=[]), tables)
    return store


def drawn(store: Store, folder: Path, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=200, record=True)
    command.run(Asked(**options), store, folder, console)
    return console.export_text()


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf8"))))


class Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_grid_has_a_row_per_mitigation_and_its_numbers(texts: Store, tmp_path: Path) -> None:
    said = drawn(texts, tmp_path / "out", text="1")
    assert "text 1 of 2 explained (aaa1), of class 1; seed 0" in said
    rows = {row[0]: row[1:] for row in read(tmp_path / "out" / "aaa1-grid.csv")}
    assert rows["mitigation"] == ["a", "fine", "film"]
    assert [float(cell) for cell in rows["baseline → class 1"]] == [1.0, -2.0, 3.0]
    assert [float(cell) for cell in rows[f"{LABEL} → class 1"]] == [-2.0, 4.0, -6.0]
    assert "! no pair of" in said
    assert not list((tmp_path / "out").glob("aaa1-pair-*"))


def test_the_text_with_most_to_show_is_taken_and_its_pair_drawn(texts: Store, tmp_path: Path) -> None:
    said = drawn(texts, tmp_path / "out")
    assert "text 2 of 2 explained (bbb2)" in said
    (pair,) = (tmp_path / "out").glob("*-pair-*.csv")
    assert pair.name == "bbb2-pair-baseline.csv"
    changed = [row for row in read(pair) if row[-1] == "yes"]
    assert [row[2] for row in changed] == ["a", "fiine"]
    assert [float(row[1]) for row in read(pair)[1:]] == [1.0, -2.0, 3.0, -4.0, 5.0]


def test_hostile_words_and_labels_stay_text_in_every_file(texts: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    drawn(texts, out, text="bbb2")
    page = (out / "pictures.html").read_text(encoding="utf8")
    reader = Reader(page)
    frame = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "blockquote", "section", "a"}
    table = {"table", "thead", "tbody", "caption", "tr", "th", "td"}
    assert reader.tags <= frame | table | {"div", "span", "i", "b", "ul", "li"}
    assert not {name for name in reader.names if name.startswith("on")}
    assert "<script>alert(1)</script>" in reader.text
    assert LABEL in reader.text
    assert "\u202e" not in page
    assert "default-src 'none'" in page
    for path in out.glob("*.csv"):
        assert not [cell for row in read(path) for cell in row if cell.startswith(("=", "@", "\t"))]
    files = sorted(path.name for path in out.iterdir())
    assert len(files) == 1 + 3 * page.count("<section>")
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") for name in files)
    assert b"<script" not in b"".join(path.read_bytes() for path in out.glob("*.svg"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*.png"))


def test_the_same_records_give_the_same_files(texts: Store, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        drawn(texts, folder)
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second


def test_entities_are_rows_and_the_grid_is_of_one_that_the_models_share(tagged: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = drawn(tagged, out)
    matrix = {row[0]: row[1:] for row in read(out / "s1-entities-fgm.csv")}
    assert list(matrix) == ["entity", "Bob (PER)", "Ann (PER, word 5)"]
    assert float(matrix["Bob (PER)"][3]) == 5.0
    grid = {row[0]: row[1:] for row in read(out / "s1-grid.csv")}
    assert list(grid) == ["mitigation", "baseline", "fgm"]
    assert float(grid["baseline"][0]) == 2.0
    assert "no pair of baseline: no stored attack on this text succeeded there, or none left an entity's" in said
    assert [row[2] for row in read(out / "s1-pair-fgm.csv") if row[-1] == "yes"] == ["meet"]
    assert "for the entity Bob (PER), by occlusion" in (out / "pictures.html").read_text(encoding="utf8")
    # 36 words do not stand side by side on a page
    page = (out / "pictures.html").read_text(encoding="utf8")
    assert page.count("<table") == 2 * (page.count("<section>") - 1)


def test_a_later_seed_and_one_arm_can_be_asked_for(texts: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "seed 1" in drawn(texts, out, seed=1, mitigations=("baseline",), explainer="random")
    assert [row[0] for row in read(out / "bbb2-grid.csv")][1:] == ["baseline → class 0"]
    assert "by random" in (out / "pictures.html").read_text(encoding="utf8")


def test_of_many_arms_only_the_first_get_pictures_of_their_own(
    texts: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST", 1)
    assert "1 models are in the grid alone" in drawn(texts, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*-strips-*.csv"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": "3"}, "a number from 1 to 2"),
        ({"text": ""}, "a number from 1 to 2"),
        ({"explainer": "lime"}, "no attribution of this text by 'lime'; there are occlusion, random"),
        ({"mitigations": ("lora",)}, "no run of lora; there are"),
        ({"seed": 9}, "of seed 9"),
        ({"board": "ag_news"}, "in the names of 0 boards"),
        ({"text": "1", "sentence": "a film"}, "either --text"),
        ({"sentence": " "}, "the sentence is empty"),
        ({"sentence": "a film", "checkpoints": False}, "leave --stored out"),
    ],
)
def test_what_cannot_be_drawn_is_said(texts: Store, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        drawn(texts, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_records_without_attributions_say_how_to_get_some(tmp_path: Path) -> None:
    store = Store(tmp_path / "old", write=True)
    store.write(make_record(), {})
    with pytest.raises(UserError, match=r"hold no attributions .* --sentence"):
        drawn(store, tmp_path / "out")


def test_the_words_that_most_models_read_make_the_grid() -> None:
    views = [
        stored.View(arm, arm, "class 1", {"occlusion": stored.Words(words, (1.0,) * len(words))})
        for arm, words in (("one", ("a", "b")), ("short", ("a",)), ("two", ("a", "b")))
    ]
    first, *_ = drawing.of_text(stored.Chosen("t", "a b", "", views), "occlusion", [])
    assert [row[0] for row in csv.reader(io.StringIO(first.csv))][1:] == ["one → class 1", "two → class 1"]
    assert "left out, because they read other words: short → class 1" in first.note


def test_two_labels_never_share_a_file() -> None:
    names = [drawing._slug(label) for label in ("a b", "a-b", "a/b", "x" * 80, "x" * 81)]
    assert len(set(names)) == len(names)
    assert drawing._slug("lora+fgm") == "lora+fgm"


def test_stored_pictures_need_no_torch(texts: Store, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rich.console import Console; from bench.store import Store\n"
        "from bench.report.gallery.command import Asked, run\n"
        f"run(Asked(), Store({str(texts.folder)!r}), Path({str(tmp_path / 'out')!r}), Console())\n"
        "print({'torch', 'transformers', 'textattack', 'captum'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_boards_of_two_tasks_are_told_apart(texts: Store) -> None:
    boards = leaderboard.build(texts)
    assert stored.open_arms(texts, boards, "movie_reviews").board is boards[0]
    assert list(stored.open_arms(texts, boards).tables) == [arm.label for arm in boards[0].arms]


def test_the_command_writes_into_the_results_folder(texts: Store) -> None:
    done = CliRunner().invoke(cli.app, ["pictures", "--results", str(texts.folder), "--text", "1", "--stored"])
    assert done.exit_code == 0, done.output
    assert (texts.folder / "pictures" / "pictures.html").is_file()
    assert (texts.folder / "pictures" / "aaa1-grid.svg").is_file()
