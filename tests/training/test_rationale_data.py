"""Human rationales as data sets bring them: a column of marks, the ERASER and HateXplain layouts, the ACLSum task."""

import json
from pathlib import Path

import pytest

from tests.training.test_hub import parquet
from training.errors import UserError
from training.hub import hub_task
from training.rationales import marks
from training.resources import Resources
from training.tasks import paper_aspects
from training.user_data import load_file

TEXT = "good plot , dull end"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([1, 0, 0, 1, 0], (1, 0, 0, 1, 0)),
        ("1 0 0 1 0", (1, 0, 0, 1, 0)),
        ([[1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 1, 0]], (1, 0, 0, 1, 0)),
        ([[1, 0, 0, 0, 0], [0, 0, 0, 1, 0]], (0, 0, 0, 0, 0)),  # half is not more than half
        (["dull end", "good"], (1, 0, 0, 1, 1)),
        (["dull ending"], ()),
        ([], ()),
        ("", ()),
        (None, ()),
    ],
)
def test_every_form_of_a_rationale_becomes_marks(given: object, wanted: tuple[int, ...]) -> None:
    assert marks("f line 2", TEXT, given) == wanted


def test_a_passage_is_marked_wherever_it_stands() -> None:
    assert marks("f", "so so bad , so bad", ["so bad"]) == (0, 1, 1, 0, 1, 1)


@pytest.mark.parametrize(
    "given", [[1, 0], [1, 0, 2, 0, 0], [True, False, False, False, False], 7, [[1], [0]], [1.5, "a"]]
)
def test_a_rationale_that_does_not_fit_names_the_place_and_the_form(given: object) -> None:
    with pytest.raises(UserError, match=r"^f line 2: the rationale .*; give one 0 or 1 per word"):
        marks("f line 2", TEXT, given)


def test_a_column_of_own_data(tmp_path: Path) -> None:
    rows = [{"text": f"fine film {n}", "label": "pos", "rationale": [1, 0, 0], "split": "train"} for n in range(8)]
    rows += [{"text": f"dull film {n}", "label": "neg", "rationale": [], "split": "train"} for n in range(8)]
    for split in ("validation", "test"):
        for word, label in (("fine", "pos"), ("dull", "neg")):
            rows.append({"text": f"{word} film of {split}", "label": label, "rationale": "1 0 0 0", "split": split})
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = load_file(path)
    assert {e.text.split()[0]: e.rationale for e in task.train} == {"fine": (1, 0, 0), "dull": ()}
    assert all(example.rationale == (1, 0, 0, 0) for example in task.test)
    assert "train: 8 of 16 texts have a human rationale" in task.notes


def test_a_csv_column(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,label,rationale\n" + "".join(f"a b{n},{n % 2},0 1\n" for n in range(60)), encoding="utf-8")
    assert all(example.rationale == (0, 1) for example in load_file(path).train)
    path.write_text("text,label,rationale\na b,1,0 1 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"own.csv line 2: the rationale has 3 marks for 2 words"):
        load_file(path)


def eraser(folder: Path, **changed: object) -> Path:
    """A folder as ERASER's: two reviews for each split, each a document of two lines."""
    (folder / "docs").mkdir(parents=True)
    for name in ("train", "val", "test"):
        lines = []
        for kind, word in (("POS", "lovely"), ("NEG", "stale")):
            doc = f"{kind}_{name}.txt"
            (folder / "docs" / doc).write_text(f"a film of {name} .\nit is {word} to see .\n", encoding="utf-8")
            span = {
                "docid": doc,
                "start_token": 7,
                "end_token": 8,
                "text": word,
                "start_sentence": 1,
                "end_sentence": 2,
            }
            lines.append({"annotation_id": doc, "classification": kind, "docids": None, "evidences": [[span]],
                          "query": "What is the sentiment of this review?", "query_type": None, **changed})  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def test_eraser_as_published(tmp_path: Path) -> None:
    task = load_file(eraser(tmp_path / "movies"))
    assert (task.name, task.labels) == ("movies", ("NEG", "POS"))
    assert [len(rows) for rows in task.splits.values()] == [2, 2, 2]
    first = task.train[0]
    assert first.text == "a film of train . it is lovely to see ."
    assert [word for word, mark in zip(first.text.split(), first.rationale, strict=True) if mark] == ["lovely"]


def test_eraser_puts_a_query_first_where_queries_differ(tmp_path: Path) -> None:
    folder = eraser(tmp_path / "boolq")
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    lines[1]["query"] = "is it stale ?"
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    second = load_file(folder).train[1]
    assert second.text.startswith("is it stale ? a film")
    assert [i for i, mark in enumerate(second.rationale) if mark] == [4 + 7]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"evidences": [[{"docid": "POS_train.txt", "start_token": 9, "end_token": 40}]]},
            "the span 9 to 40 lies outside",
        ),
        ({"evidences": [[{"docid": "POS_train.txt"}]]}, "an evidence without docid, start_token or end_token"),
        ({"docids": ["../../secret.txt"]}, "there is no document '../../secret.txt'"),
    ],
)
def test_a_damaged_eraser_line_is_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    (tmp_path / "secret.txt").write_text("a secret", encoding="utf-8")
    with pytest.raises(UserError, match=r"train.jsonl line 1: " + message):
        load_file(eraser(tmp_path / "movies", **changed))


def post(word: str, labels: list[str], rationales: list[list[int]]) -> dict[str, object]:
    annotators = [{"label": label, "annotator_id": n, "target": ["None"]} for n, label in enumerate(labels)]
    return {"post_id": word, "annotators": annotators, "rationales": rationales, "post_tokens": ["you", word, "<user>"]}


POSTS = {
    "a": post("fool", ["offensive", "offensive", "normal"], [[0, 1, 0], [1, 1, 0]]),
    "b": post("friend", ["normal"] * 3, []),
    "c": post("split", ["normal", "offensive", "hatespeech"], [[0, 1, 0], [0, 1, 0]]),
    "d": post("dolt", ["offensive"] * 3, [[0, 1, 0]] * 3),
    "e": post("pal", ["normal"] * 3, []),
    "f": post("oaf", ["offensive"] * 3, [[0, 1, 1]] * 3),
    "g": post("mate", ["normal"] * 3, []),
}  # fmt: skip
DIVISIONS = {"train": ["a", "b", "c"], "val": ["d", "e"], "test": ["f", "g"]}


def test_hatexplain_as_published(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(POSTS), encoding="utf-8")
    (tmp_path / "post_id_divisions.json").write_text(json.dumps(DIVISIONS), encoding="utf-8")
    task = load_file(tmp_path)
    assert task.labels == ("normal", "offensive")
    # where three annotators give three labels there is no label; a word needs two of two who marked any
    assert [(e.text, task.labels[e.label or 0], e.rationale) for e in task.train] == [
        ("you fool <user>", "offensive", (0, 1, 0)),
        ("you friend <user>", "normal", ()),
    ]
    (tmp_path / "post_id_divisions.json").write_text(json.dumps({**DIVISIONS, "val": ["zz"]}), encoding="utf-8")
    with pytest.raises(UserError, match=r"post_id_divisions.json: val: 'zz' is no post of dataset.json"):
        load_file(tmp_path)


def test_hatexplain_as_the_hub_has_it(tmp_path: Path) -> None:
    names = ["hatespeech", "normal", "offensive"]
    for split, ids in (("train", "abc"), ("validation", "de"), ("test", "fg")):
        chosen = [POSTS[one] for one in ids]
        table = {
            "id": list(ids),
            "annotators": [{"label": [names.index(a["label"]) for a in p["annotators"]]} for p in chosen],  # type: ignore
            "rationales": [p["rationales"] for p in chosen],
            "post_tokens": [p["post_tokens"] for p in chosen],
        }
        label = {"names": names, "_type": "ClassLabel"}
        features = {"annotators": {"feature": {"label": label}, "_type": "Sequence"}}
        parquet(tmp_path / f"{split}-00000-of-00001.parquet", table, features)
    task = hub_task(str(tmp_path))
    assert task.labels == tuple(names)
    assert [(e.text, e.label, e.rationale) for e in task.train] == [
        ("you fool <user>", 2, (0, 1, 0)),
        ("you friend <user>", 1, ()),
    ]


def test_passages_as_the_hub_has_them_for_movies(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        reviews = [f"lovely film of {split} .\nsee it", f"stale film of {split} ."]
        table = {"review": reviews, "label": [1, 0], "evidences": [["lovely film", "see it"], ["rotten"]]}
        parquet(tmp_path / f"{split}.parquet", table, {"label": {"names": ["NEG", "POS"], "_type": "ClassLabel"}})
    first, second = hub_task(str(tmp_path)).train
    assert first.rationale == (1, 1, 0, 0, 0, 1, 1)
    assert second.rationale == ()  # its passage does not stand in the text


def test_passages_of_a_paper_by_hand() -> None:
    sentences = ["s0 a", "s1", "s2 b c", "s3", "s4"]
    none = [0] * 5
    found = list(paper_aspects.passages(sentences, {"challenge": [1, 0, 0, 0, 0], "approach": none, "outcome": none}))
    assert [(e.text, e.label, e.rationale) for e in found] == [("s0 a s1 s2 b c", 0, (1, 1, 0, 0, 0, 0))]
    both = {"challenge": [1, 0, 0, 0, 0], "approach": [1, 0, 0, 0, 0], "outcome": none}
    assert list(paper_aspects.passages(sentences, both)) == []  # one sentence, two aspects
    beside = {"challenge": [1, 0, 0, 0, 0], "approach": [0, 1, 0, 0, 0], "outcome": [0, 0, 0, 0, 1]}
    assert {e.label for e in paper_aspects.passages(sentences, beside)} == {2}  # the first two stand side by side
    assert (
        list(paper_aspects.passages(sentences[:2], {"challenge": [1, 0], "approach": [0, 0], "outcome": [0, 0]})) == []
    )


def test_a_marked_sentence_stands_at_any_place_of_its_passage() -> None:
    places = set()
    for number in range(40):
        sentences = [f"n{number} {place}" for place in range(9)]
        marked = [int(place == 4) for place in range(9)]
        (example,) = paper_aspects.passages(sentences, {"challenge": marked, "approach": [0] * 9, "outcome": [0] * 9})
        places.add(example.rationale.index(1) // 2)
    assert places == {0, 1, 2}


@pytest.mark.resources
def test_paper_aspects_is_what_was_pinned(resources: Resources) -> None:
    task = paper_aspects.load(resources)
    assert [len(rows) for rows in task.splits.values()] == [740, 341, 652]
    assert task.fingerprint == "f91e6825707df76f6b210892e21fccd8b92d84d8c82d8bcdb607d6bbc2fc598b"
    every = [row for rows in task.splits.values() for row in rows]
    assert len({row.id for row in every}) == len(every)
    assert all(any(row.rationale) and len(row.rationale) == len(row.text.split()) for row in every)
