"""CoNLL-2003: the canonical test split, nothing of it in the other splits, and text that comes only when asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from training import resources as module
from training.catalogue import KNOWN
from training.errors import UserError
from training.resources import Resources, fetch
from training.task import normalise, tagged, text_id
from training.tasks import conll2003

SENTENCES = {
    "train": [("EU rejects German call", "I-ORG O I-MISC O"), ("W L PCT", "O O O"), ("London now", "I-LOC O")],
    "valid": [("W L PCT", "O O O"), ("London now", "I-LOC O"), ("Rome Paris", "I-LOC B-LOC"), ("ROME Paris", "O O")],
    "test": [("w l pct", "O O O"), ("W L PCT", "O O O"), ("W L PCT", "O O O"), ("Peter Blackburn", "I-PER I-PER")],
}


class Folder(Resources):
    """Resources that are one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        assert name == "conll2003"
        return self.folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as the package has them, but in IOB1: four columns, document marks, blank lines."""
    for name, sentences in SENTENCES.items():
        lines = ["-DOCSTART- -X- -X- O", ""]
        for words, tags in sentences:
            lines += [f"{word} NN B-NP {tag}" for word, tag in zip(words.split(), tags.split(), strict=True)] + [""]
        (tmp_path / f"{name}.txt").write_text("\n".join([*lines, "-DOCSTART- -X- -X- O", ""]))
    return tmp_path


def test_the_test_split_is_whole_and_the_others_lack_what_is_held_out(folder: Path) -> None:
    task = conll2003.load(Folder(folder))
    assert [e.text for e in task.test] == [words for words, _ in SENTENCES["test"]]
    assert [e.text for e in task.validation] == ["London now", "Rome Paris", "ROME Paris"]
    assert [e.text for e in task.train] == ["EU rejects German call"]
    assert task.notes == (
        conll2003.LICENCE,
        "validation: 1 of 4 sentences dropped, held out elsewhere too",
        "train: 2 of 3 sentences dropped, held out elsewhere too",
    )


def test_other_schemes_come_out_as_iob2(folder: Path) -> None:
    task = conll2003.load(Folder(folder))
    assert [task.labels[tag] for tag in task.train[0].tags] == ["B-ORG", "O", "B-MISC", "O"]
    assert [task.labels[tag] for tag in task.validation[1].tags] == ["B-LOC", "B-LOC"]
    assert [task.labels[tag] for tag in task.test[3].tags] == ["B-PER", "I-PER"]


def test_an_unknown_type_is_refused_by_name(folder: Path) -> None:
    (folder / "test.txt").write_text("Ariane NN B-NP B-ROCKET\n")
    with pytest.raises(UserError, match=r"test\.txt line 1: .*B-ROCKET"):
        conll2003.load(Folder(folder))


def test_a_repeat_has_an_id_of_its_own_and_the_first_keeps_the_texts() -> None:
    rows = [tagged(["a"], [0]), tagged(["A"], [0]), tagged(["a"], [0]), tagged(["b"], [0])]
    made = conll2003.numbered(rows)
    assert (made[0].id, made[3].id) == (text_id("a"), text_id("b"))
    assert len({row.id for row in made}) == 4
    assert [row.words for row in made] == [row.words for row in rows]
    assert conll2003.numbered(rows) == made


def test_restricted_text_is_not_fetched_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(module, "_fetch_one", lambda name, *_: fetched.append(name))
    fetch([], tmp_path)
    assert fetched == [name for name in KNOWN if name != "conll2003"]
    fetch(["conll2003"], tmp_path)
    assert fetched[-1] == "conll2003"
    assert "not to be redistributed" in KNOWN["conll2003"].licence


@pytest.mark.resources
def test_conll2003_is_what_was_pinned() -> None:
    held = Resources()
    if not held.has("conll2003"):
        pytest.skip("not fetched: conll2003 (temper fetch conll2003)")
    task = conll2003.load(held)
    entities = {
        split: (len(rows), Counter(task.labels[tag][2:] for e in rows for tag in e.tags if task.labels[tag][0] == "B"))
        for split, rows in task.splits.items()
    }
    assert entities["test"] == (3453, {"LOC": 1668, "ORG": 1661, "PER": 1617, "MISC": 702})  # the canonical counts
    assert sum(len(e.words) for e in task.test) == 46_435
    # of 14,041 and 3,250, without the 554 and 64 sentences that are held out elsewhere too
    assert (entities["train"][0], entities["validation"][0]) == (14_041 - 554, 3_250 - 64)
    assert (entities["train"][1].total(), entities["validation"][1].total()) == (23_214, 5_923)
    texts = {split: {normalise(e.text) for e in rows} for split, rows in task.splits.items()}
    assert not texts["test"] & texts["validation"]
    assert not (texts["test"] | texts["validation"]) & texts["train"]
    assert task.fingerprint == "580709324c1b2d64435bbdc7c873710f46d5692a79a5e88c93f6401f7ebd741b"
    for e in (e for rows in task.splits.values() for e in rows):
        names = [task.labels[tag] for tag in e.tags]
        for before, tag in zip(["O", *names], names, strict=False):  # valid IOB2
            assert not tag.startswith("I-") or before[2:] == tag[2:]
