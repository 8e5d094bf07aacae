"""The Task's rules, the hashed split, and the two embedded tasks."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any

import pytest

from training.errors import UserError
from training.resources import Resources
from training.task import Example, Task, classified, split_by_text, tagged, text_id, without_duplicates
from training.tasks import movie_reviews, ner_finance

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def small(**changes: Any) -> Task:
    task = Task(
        name="small",
        kind="classification",
        labels=("no", "yes"),
        train=(classified("a", 0), classified("b", 1)),
        validation=(classified("c", 0),),
        test=(classified("d", 1),),
        out_of_domain={},
        licence="made here",
        source="made here",
        version=1,
    )
    return dataclasses.replace(task, **changes)


def test_a_good_task_passes_its_check() -> None:
    assert small().check() == small()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": (classified("a", 0), classified("b", 0))}, "every training example has the label 'no'"),
        ({"labels": ("no",)}, "at least two are needed"),
        ({"test": ()}, "the test split is empty"),
        ({"out_of_domain": {"moon": ()}}, "the ood:moon split is empty"),
        ({"test": (classified("A ", 1),)}, r"is in train and in test"),
        ({"test": (classified("d", 1), classified("d", 1))}, "the test split holds the same text twice"),
        ({"test": (classified("d", 2),)}, "test row 1: label 2 is out of range; the task has labels 0 to 1"),
        ({"test": (classified("d", -1),)}, "label -1 is out of range"),
        ({"test": (classified("d", 1), classified("x" * 20_001, 1))}, "test row 2: the text has 20,001 char"),
        ({"test": (classified(" \n", 1),)}, "the text is empty"),
        ({"kind": "tagging", "train": (tagged(["a"], [0, 1]),)}, "train row 1: 1 words but 2 tags"),
    ],
)
def test_each_broken_rule_has_its_own_one_line_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        small(**changes).check()
    assert "\n" not in str(caught.value)


def test_equal_texts_have_equal_ids() -> None:
    assert text_id("Good  Film\n") == text_id("good film")
    assert text_id("good film") != text_id("good films")
    assert re.fullmatch("[0-9a-f]{16}", text_id(""))


def test_the_fingerprint_sees_every_part_and_every_order() -> None:
    task = small()
    others = [
        small(name="other"),
        small(version=2),
        small(labels=("yes", "no")),
        small(train=task.train[::-1]),
        small(train=(Example(task.train[0].id, "a", 1), task.train[1])),
        small(validation=task.test, test=task.validation),
        small(out_of_domain={"moon": (classified("e", 0),)}),
    ]
    prints = {task.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == len(others) + 1
    assert small(notes=("three rows dropped",)).fingerprint == task.fingerprint == small().fingerprint


def test_the_split_depends_on_the_text_alone() -> None:
    texts = [f"text number {i}" for i in range(2000)]
    splits = dict(zip(texts, split_by_text(texts, FRACTIONS), strict=True))
    shuffled = random.Random(0).sample(texts, 700)
    assert split_by_text(shuffled, FRACTIONS) == [splits[text] for text in shuffled]
    assert split_by_text(["TEXT  number 5 "], FRACTIONS) == [splits["text number 5"]]
    for name, share in FRACTIONS.items():
        assert list(splits.values()).count(name) / 2000 == pytest.approx(share, abs=0.03)
    assert split_by_text(texts, FRACTIONS, salt="other") != list(splits.values())


def test_fractions_must_add_up() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_text(["a"], {"train": 0.5, "test": 0.4})


def test_repeats_are_dropped_and_contradictions_go_altogether() -> None:
    rows = [classified("good", 1), classified("Good ", 1), classified("odd", 0), classified("odd", 1)]
    assert without_duplicates(rows) == ([rows[0]], 2, 1)


def test_entities_are_found_again_in_order() -> None:
    words = ["Bank", "of", "Cayman", "Islands", "(", "Cayman", ")", "and", "Bank"]
    listed = "[Cayman Islands - LOCATION, Cayman - LOCATION, Bank - ORGANIZATION]"
    assert ner_finance.bio(words, listed, "x") == [
        *["O", "O", "B-LOCATION", "I-LOCATION", "O", "B-LOCATION", "O", "O", "B-ORGANIZATION"]
    ]
    assert ner_finance.bio(words, "No entities found", "x") == ["O"] * 9


@pytest.mark.parametrize("listed", ["[Bank - ORGANIZATION, Bank - PERSON]", "[Ban - PERSON]", "Bank", "[Bank - X]"])
def test_an_entity_that_does_not_fit_is_an_error(listed: str) -> None:
    with pytest.raises(UserError, match=r"^f line 3: "):
        ner_finance.bio(["the", "Bank"], listed, "f line 3")


@pytest.mark.resources
def test_movie_reviews_is_what_was_pinned(resources: Resources) -> None:
    task = movie_reviews.load(resources)
    counts = {split: (len(rows), sum(row.label == 1 for row in rows)) for split, rows in task.splits.items()}
    assert counts == {
        "train": (6938, 3465),
        "validation": (1030, 479),
        "test": (2073, 1037),
        "ood:amazon": (2934, 1719),
        "ood:tweets": (3302, 2270),
        "ood:nyt": (2750, 1088),
    }
    assert task.fingerprint == "8ff1c3e8d763bca7d3dc22ecfd49726a18254effde7766f60611ed736e4d24d3"
    every = [row for rows in task.splits.values() for row in rows]
    assert len({row.id for row in every}) == len(every)  # no text in two splits
    assert not [row.text for row in every if re.search(r"&(amp|lt|gt);|\ufffd|[\t\r\n]", row.text)]


@pytest.mark.resources
def test_ner_finance_is_what_was_pinned(resources: Resources) -> None:
    task = ner_finance.load(resources)
    entities = {
        split: (len(rows), sum(task.labels[tag][0] == "B" for row in rows for tag in row.tags))
        for split, rows in task.splits.items()
    }
    assert entities == {"train": (810, 826), "validation": (114, 104), "test": (200, 231)}
    assert task.fingerprint == "040aced6942bafa344e4d580701100208a5cdccb8368ec0789137880231b568e"
    every = [row for rows in task.splits.values() for row in rows]
    assert len({row.id for row in every}) == len(every)
    for row in every:
        names = [task.labels[tag] for tag in row.tags]
        for before, tag in zip(["O", *names], names, strict=False):  # valid IOB2
            assert not tag.startswith("I-") or before[2:] == tag[2:]
