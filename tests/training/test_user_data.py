"""The user's own files: every good form is read, every bad one is one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.errors import UserError
from training.user_data import bio, load_file

WORDS = ["alpha", "beta", "gamma", "delta"]
ROWS = [(f"{word} {i}", "yes" if i % 2 else "no") for i in range(25) for word in WORDS]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def csv_of(rows: list[tuple[str, str]], header: str = "text,label") -> str:
    return header + "\n" + "".join(f"{text},{label}\n" for text, label in rows)


def conll_of(count: int = 100) -> str:
    lines = ["-DOCSTART- -X- O", ""]
    for i in range(count):
        lines += [f"Ann{i} NNP B-PER", f"Lee NNP {'I-PER' if i % 2 else 'B-LOC'}", "slept VBD O", ""]
    return "\n".join(lines)


def test_csv_gets_a_hashed_split(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", csv_of(ROWS))
    task = load_file(path)
    assert (task.name, task.kind, task.labels) == ("mine", "classification", ("no", "yes"))
    sizes = [len(task.train), len(task.validation), len(task.test)]
    assert sum(sizes) == 100
    assert sizes[0] > sizes[2] > 0
    again = load_file(write(tmp_path / "mine.csv", csv_of(ROWS[::-1])))
    assert {row.id for row in again.test} == {row.id for row in task.test}
    assert {row.id for row in load_file(path, seed=1).test} != {row.id for row in task.test}
    assert load_file(path, name="other").name == "other"


@pytest.mark.parametrize("form", ["tsv", "jsonl", "crlf", "bom", "columns", "semantic case"])
def test_other_spellings_of_the_same_data_are_the_same_task(tmp_path: Path, form: str) -> None:
    wanted = load_file(write(tmp_path / "mine.csv", csv_of(ROWS)))
    if form == "tsv":
        path = write(tmp_path / "mine.tsv", csv_of(ROWS).replace(",", "\t"))
    elif form == "jsonl":
        lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
        path = write(tmp_path / "mine.jsonl", "\n".join(lines))
    elif form == "crlf":
        path = write(tmp_path / "mine.csv", csv_of(ROWS).replace("\n", "\r\n"))
    elif form == "bom":
        path = write(tmp_path / "mine.csv", b"\xef\xbb\xbf" + csv_of(ROWS).encode())
    elif form == "columns":
        rows = "".join(f"x,{label},{text}\n" for text, label in ROWS)
        path = write(tmp_path / "mine.csv", "note,label,text\n\n" + rows)
    else:
        path = write(tmp_path / "mine.CSV", csv_of(ROWS, "Text, LABEL"))
    assert load_file(path).fingerprint == wanted.fingerprint


def test_texts_are_data_and_pass_unchanged(tmp_path: Path) -> None:
    odd = ['<script>alert("1")</script>', "=HYPERLINK(1)", "two\nlines, one field", "&amp; 'q' \u2028 é", " lead"]
    quoted = [('"' + text.replace('"', '""') + '"', str(i % 2)) for i, text in enumerate(odd)]
    lines = [json.dumps({"text": text, "label": i % 2}) for i, text in enumerate(odd)]
    more = [(text, str(i % 2)) for i, (text, _) in enumerate(ROWS)]
    for path in (
        write(tmp_path / "a.csv", csv_of(quoted + more)),
        write(tmp_path / "b.jsonl", "\n".join(lines + [json.dumps({"text": t, "label": int(n)}) for t, n in more])),
    ):
        task = load_file(path)
        texts = {row.text for rows in task.splits.values() for row in rows}
        assert set(odd) <= texts


def test_number_labels_are_ordered_by_value(tmp_path: Path) -> None:
    rows = [(f"t {i}", str(i % 12)) for i in range(600)]
    assert load_file(write(tmp_path / "n.csv", csv_of(rows))).labels == tuple(map(str, range(12)))


def test_a_split_column_is_kept(tmp_path: Path) -> None:
    rows = [(f"{text},{['train', 'dev', 'Test'][i % 3]}", label) for i, (text, label) in enumerate(ROWS)]
    task = load_file(write(tmp_path / "s.csv", csv_of(rows, "text,split,label")))
    assert [len(task.train), len(task.validation), len(task.test)] == [34, 33, 33]
    assert task.notes == ()


def test_a_text_in_two_splits_stays_in_the_held_out_one_and_is_noted(tmp_path: Path) -> None:
    rows = ["a,no,train", "b,yes,train", "c,no,train", "c,no,validation", "A,yes,test", "d,no,test", "d,no,test"]
    task = load_file(write(tmp_path / "s.csv", "text,label,split\n" + "\n".join([*rows, "e,yes,train", "f,no,train"])))
    assert [row.text for row in task.test] == ["A", "d"]
    assert [row.text for row in task.validation] == ["c"]
    assert [row.text for row in task.train] == ["b", "e", "f"]
    assert task.notes == (
        "test: 1 repeats dropped",
        "train: 2 texts that a held-out split has too dropped",
    )


def test_contradicting_labels_are_dropped_and_noted(tmp_path: Path) -> None:
    task = load_file(write(tmp_path / "c.csv", csv_of([*ROWS, ("same", "yes"), ("Same", "no")])))
    assert sum("contradicting" in note for note in task.notes) == 1
    assert not [row for rows in task.splits.values() for row in rows if row.text.casefold() == "same"]


def test_conll_file(tmp_path: Path) -> None:
    task = load_file(write(tmp_path / "ner.conll", conll_of()))
    assert task.kind == "tagging"
    assert task.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    example = task.train[0]
    assert example.text == " ".join(example.words)
    assert example.words[1:] == ("Lee", "slept")
    assert [task.labels[tag] for tag in example.tags][0::2] == ["B-PER", "O"]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems(tmp_path: Path, end: str) -> None:
    plain = load_file(write(tmp_path / "ner.conll", conll_of()))
    other = load_file(write(tmp_path / "ner.conll", conll_of().replace("\n", end).encode()))
    assert other.fingerprint == plain.fingerprint


@pytest.mark.parametrize("names", [("train.txt", "valid.txt", "test.txt"), ("train.conll", "dev.bio", "test.iob2")])
def test_a_folder_of_conll_files(tmp_path: Path, names: tuple[str, ...]) -> None:
    for start, name in enumerate(names):
        write(tmp_path / name, conll_of(4).replace("Ann", "Ann" * (start + 1)).replace(" ", "\t"))
    write(tmp_path / "README.md", "not data")
    task = load_file(tmp_path)
    assert [len(rows) for rows in task.splits.values()] == [4, 4, 4]
    assert task.name == tmp_path.name


def test_a_folder_with_train_and_validation_only_makes_validation_the_test(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", csv_of(ROWS))
    write(tmp_path / "validation.jsonl", '{"text": "new", "label": "no"}')
    task = load_file(tmp_path)
    assert [row.text for row in task.test] == ["new"]
    assert len(task.train) + len(task.validation) == 100
    assert "the validation split is the test" in task.notes[0]


def test_tagged_jsonl(tmp_path: Path) -> None:
    lines = [json.dumps({"tokens": ["Ann", str(i)], "ner_tags": ["B-PER", "O"]}) for i in range(60)]
    task = load_file(write(tmp_path / "t.jsonl", "\n".join(lines)))
    assert task.labels == ("O", "B-PER", "I-PER")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("I-PER I-PER O I-PER B-PER I-LOC", "B-PER I-PER O B-PER B-PER B-LOC"),  # IOB1
        ("B-PER E-PER S-LOC O B-PER I-PER E-PER", "B-PER I-PER B-LOC O B-PER I-PER I-PER"),  # IOBES
        ("B-PER L-PER U-LOC U-LOC", "B-PER I-PER B-LOC B-LOC"),  # BILOU
        ("B-A-B I-A-B O", "B-A-B I-A-B O"),
    ],
)
def test_tag_schemes_become_iob2(given: str, wanted: str) -> None:
    assert bio(given.split(), "x") == wanted.split()


def test_converted_tags_are_noted(tmp_path: Path) -> None:
    task = load_file(write(tmp_path / "ner.conll", conll_of().replace("B-PER", "I-PER")))
    assert "rewritten to BIO" in task.notes[0]
    assert task.labels[task.train[0].tags[0]] == "B-PER"


GOOD = "good,yes\n"
BAD: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "the file is empty"),
    "blank": ("a.csv", " \n\n", "the file is empty"),
    "header only": ("a.csv", "text,label\n", "holds no examples"),
    "latin1": ("a.csv", b"text,label\nok,yes\ncaf\xe9,no\n", r"line 3: byte 0xe9 .* not UTF-8; .*iconv"),
    "utf16": ("a.csv", "text,label".encode("utf-16"), "UTF-16"),
    "no label": ("a.csv", "text,class\na,b\n", r"no column 'label' \(found: 'text', 'class'\)"),
    "no header": ("a.csv", "I loved it,1\n", "begin the file with a header"),
    "semicolons": ("a.csv", "text;label\na;b\n", "look separated by ';', not ','"),
    "twice": ("a.csv", "text,label,text\na,b,c\n", "'text' stands twice"),
    "ragged": ("a.csv", f"text,label\n{GOOD}a,b,c\n", "line 3: 3 fields where the header has 2; .*quotes"),
    "short": ("a.csv", f'text,label\n"x\ny",yes\n{GOOD}lonely\n', "line 5: 1 fields where the header has 2"),
    "open quote": ("a.csv", f'text,label\n{GOOD}"never closed,yes\n', "line 3: unexpected end of data; close"),
    "empty text": ("a.csv", f"text,label\n{GOOD}  ,no\n", "line 3: the text is empty"),
    "nan text": ("a.csv", f"text,label\n{GOOD}NaN,no\n", "line 3: the text is empty"),
    "nan label": ("a.csv", f"text,label\n{GOOD}a,nan\n", "line 3: the label is empty"),
    "empty label": ("a.csv", f"text,label\n{GOOD}a,\n", "line 3: the label is empty"),
    "long": ("a.csv", f"text,label\n{GOOD}{'x' * 100_000},no\n", "line 3: the text has 100,000 characters, at"),
    "longer": ("a.csv", f"text,label\n{GOOD}{'x' * 200_000},no\n", "line 3: the text has more than 131,072"),
    "single class": ("a.csv", csv_of([(text, "yes") for text, _ in ROWS]), "a single class"),
    "few": ("a.csv", "text,label\na,yes\nb,no\n", "2 rows are too few"),
    "bad split": ("a.csv", "text,label,split\na,b,train\nc,d,tset\n", "line 3: the split is 'tset'; write"),
    "no train": ("a.csv", "text,label,split\na,b,test\n", "no row has the split 'train'"),
    "new label": ("a.csv", "text,label,split\na,x,train\nb,y,train\nc,x,dev\nd,z,test\n", "line 5: .* 'z', which"),
    "bad json": ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "line 2: not JSON"),
    "no object": ("a.jsonl", "[1]\n", "line 1: .* is no object"),
    "json keys": ("a.jsonl", '{"txt": "a", "label": 1}\n', r"no column 'text' \(found: txt, label\)"),
    "json text": ("a.jsonl", '{"text": 5, "label": 1}\n', "line 1: the text is 5; write the text as a string"),
    "json nan": ("a.jsonl", '{"text": "a", "label": NaN}\n', "line 1: the label is nan; write labels as"),
    "json null": ("a.jsonl", '{"text": "a", "label": null}\n', "line 1: the label is None"),
    "json mixed": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"tokens": ["a"], "tags": ["O"]}\n',
        "line 2 has tagged words, but .* line 1 has a text",
    ),
    "json tags": ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}\n', "line 1: 2 words but 1 tags"),
    "json tokens": ("a.jsonl", '{"tokens": "a b", "tags": ["O"]}\n', "line 1: 'tokens' is 'a b'; make it a list"),
    "json half": ("a.jsonl", '{"text": "a \\ud83d b", "label": 1}\n', r"line 1: the text has '\\ud83d', half a char"),
    "json half label": ("a.jsonl", '{"text": "a", "label": "\\ud83d"}\n', r"line 1: the label has '\\ud83d', half"),
    "json half word": ("a.jsonl", '{"tokens": ["\\ude00"], "tags": ["O"]}\n', r"line 1: the text has '\\ude00', half"),
    "json digits": ("a.jsonl", '{"text": "a", "label": ' + "1" * 5000 + "}\n", "line 1: not JSON .a number of too"),
    "json space": ("a.jsonl", '{"tokens": ["a b", "c"], "tags": ["O", "O"]}\n', "line 1: the word 'a b' holds a space"),
    "space": ("a.conll", "New York\tB-LOC\n", "line 1: the word 'New York' holds a space; give each"),
    "untagged": ("a.conll", "Ann B-PER\nLee\n", "line 2: 1 columns instead of 2 as before: 'Lee'"),
    "wide": ("a.conll", "Ann B-PER\nLee x O\n", "line 2: 3 columns instead of 2"),
    "prose": ("a.txt", "word\n", "line 1: 1 columns instead of at least 2"),
    "scheme": ("a.conll", "\nAnn PER\n", "line 2: unknown tag 'PER'; tags are O"),
    "scheme 2": ("a.conll", "Ann B_PER\n", "unknown tag 'B_PER'"),
    "scheme 3": ("a.conll", "Ann X-PER\n", "unknown tag 'X-PER'"),
    "only o": ("a.conll", "".join(f"w{i} O\n\n" for i in range(80)), "a single class"),
    "type": ("a.xlsx", "PK", "files of type '.xlsx' are not read; give one of .csv"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_file_and_says_what_to_do(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as caught:
        load_file(path)
    text = str(caught.value)
    assert "\n" not in text
    assert "a." in text or "'a'" in text
    assert ";" in text  # what to do comes after it
    assert len(text) < 500


def test_missing_file_and_folders_without_train_or_with_two(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; check the path"):
        load_file(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match=r"no train file \(found: nothing\)"):
        load_file(tmp_path)
    write(tmp_path / "test.csv", csv_of(ROWS))
    with pytest.raises(UserError, match=r"no train file \(found: test\.csv\)"):
        load_file(tmp_path)
    write(tmp_path / "train.csv", csv_of(ROWS))
    write(tmp_path / "train.txt", conll_of())
    with pytest.raises(UserError, match=r"train\.csv and train\.txt are both the train split"):
        load_file(tmp_path)


def test_a_tag_that_train_lacks(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", conll_of(5))
    write(tmp_path / "valid.txt", conll_of(5).replace("Ann", "Bea"))
    write(tmp_path / "test.txt", "Bob B-ORG\n")
    with pytest.raises(UserError, match=r"test\.txt line 1: the test split has the label 'B-ORG', which train lacks"):
        load_file(tmp_path)
