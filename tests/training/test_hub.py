"""Hub data sets and models from local folders in the hub's layout: no network anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.errors import UserError
from training.hub import hub_model, hub_task

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = [(f"text {i}", i % 2) for i in range(40)]


def parquet(path: Path, columns: dict[str, list], features: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


SENTIMENT = {
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    "sentence": {"dtype": "string", "_type": "Value"},
}


def columns(rows: list[tuple[str, int]], name: str = "sentence") -> dict[str, list]:
    return {"idx": list(range(len(rows))), name: [r[0] for r in rows], "label": [r[1] for r in rows]}


def test_parquet_with_features_and_withheld_test_labels(tmp_path: Path) -> None:
    home = tmp_path / "sst"
    parquet(home / "data" / "train-00000-of-00002.parquet", columns(TEXTS[:20]), SENTIMENT)
    parquet(home / "data" / "train-00001-of-00002.parquet", columns(TEXTS[20:30]), SENTIMENT)
    parquet(home / "data" / "validation-00000-of-00001.parquet", columns(TEXTS[30:]), SENTIMENT)
    parquet(home / "data" / "test-00000-of-00001.parquet", columns([("hidden", -1)]), SENTIMENT)
    (home / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Words\n")
    task = hub_task(str(home))
    assert (task.name, task.labels, task.licence) == ("sst", ("neg", "pos"), "cc-by-4.0")
    assert {row.text for row in task.test} == {text for text, _ in TEXTS[30:]}
    assert len(task.train) + len(task.validation) == 30
    assert task.test[0].label == 0
    assert "labels are withheld" in task.notes[0]
    assert hub_task(f"{home}@{COMMIT}").fingerprint == task.fingerprint


def test_csv_with_names_from_the_card(tmp_path: Path) -> None:
    card = """---
dataset_info:
  features:
  - name: review
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
---
"""
    (tmp_path / "README.md").write_text(card)
    pd.DataFrame(TEXTS[:30], columns=["review", "label"]).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame(TEXTS[30:], columns=["review", "label"]).to_csv(tmp_path / "test.csv", index=False)
    task = hub_task(str(tmp_path))
    assert task.labels == ("neg", "pos")
    assert len(task.test) == 10


def test_jsonl_with_text_labels_needs_no_names(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "label": "ab"[label]}) for text, label in TEXTS]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    assert hub_task(str(tmp_path)).labels == ("a", "b")


@pytest.mark.parametrize("where", ["parquet", "card"])
def test_tags_get_their_names(tmp_path: Path, where: str) -> None:
    names = ["O", "B-PER", "I-PER"]
    data: dict[str, list] = {"tokens": [["Ann", "Lee", str(i)] for i in range(60)], "ner_tags": [[1, 2, 0]] * 60}
    feature = {"ner_tags": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}}
    parquet(tmp_path / "default" / "train" / "0000.parquet", data, feature if where == "parquet" else None)
    if where == "card":
        listed = "".join(f"          '{i}': {name}\n" for i, name in enumerate(names))
        (tmp_path / "README.md").write_text(
            "---\ndataset_info:\n- features:\n  - name: ner_tags\n    sequence:\n      class_label:\n        names:\n"
            f"{listed}---\n"
        )
    task = hub_task(str(tmp_path))
    assert task.kind == "tagging"
    assert [task.labels[tag] for tag in task.train[0].tags] == ["B-PER", "I-PER", "O"]


def test_number_tags_without_names_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", {"tokens": [["a"]], "ner_tags": [[1]]})
    with pytest.raises(UserError, match="the tags are numbers and no names are given"):
        hub_task(str(tmp_path))


@pytest.mark.parametrize("locator", ["org/name", "org/name@main", "org/name@0123abc", "name"])
def test_an_unpinned_id_is_refused(locator: str) -> None:
    for opener in (hub_task, hub_model):
        with pytest.raises(UserError, match="unpinned"):
            opener(locator)


def test_a_path_that_is_not_there_is_no_id() -> None:
    with pytest.raises(UserError, match="neither a folder on this machine nor a hub id"):
        hub_task("/no/such/folder")


def test_offline_and_not_cached_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for opener, kind in ((hub_task, "dataset"), (hub_model, "model")):
        with pytest.raises(UserError, match=rf"^{kind} org/name@{COMMIT}: not in the local cache.*OFFLINE") as caught:
            opener(f"org/name@{COMMIT}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"loader.py": "1/0"}, r"no train file .*loader\.py.* scripts are not run"),
        ({"train-00000-of-00002.csv": "text,label\n"}, "1 of 2 files are there; download it again"),
        ({"a/train.csv": "text,label\n", "b/train.csv": "text,label\n"}, r"several data sets in one \(a, b\)"),
        ({"train.csv": "text,label\na,b\n", "train.jsonl": "{}"}, "keep one form"),
        ({"train.parquet": "no parquet"}, "not a readable parquet file"),
        ({"train.csv": "premise,label\na,1\n"}, "no column 'text or sentence or review'"),
        ({"train.csv": "text,label\na,-1\nb,-1\n"}, "the train split has no labels"),
        ({"train.csv": "text,label\na,1\n", "README.md": "---\nx: [\n---\n"}, "YAML head cannot be read"),
    ],
)
def test_a_folder_of_the_wrong_shape_is_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        hub_task(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_parquet_of_other_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", {"question": ["a"], "label": [1]})
    with pytest.raises(UserError, match=r"row 1: there is no column 'text.*found: label, question"):
        hub_task(str(tmp_path))


def test_a_label_outside_the_declared_names(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", columns([("a", 0), ("b", 5)]), SENTIMENT)
    with pytest.raises(UserError, match=r"row 2: the label '5' is none of the declared ones \(neg, pos\)"):
        hub_task(str(tmp_path))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_a_safetensors_model_opens(model: Path) -> None:
    assert hub_model(str(model)) == model.resolve()


def test_a_pickle_only_model_is_refused_with_the_reason(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model\.bin\); opening a pickle can run"):
        hub_model(str(model))
    (model / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="no weights"):
        hub_model(str(model))


def test_other_broken_models_are_refused(model: Path) -> None:
    config = model / "config.json"
    good = config.read_text()
    config.write_text(json.dumps({**json.loads(good), "auto_map": {"AutoModel": "evil.py"}}))
    with pytest.raises(UserError, match="needs code from its repository"):
        hub_model(str(model))
    config.write_text("{")
    with pytest.raises(UserError, match="no readable config"):
        hub_model(str(model))
    config.write_text(good)
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002.safetensors"}}')
    with pytest.raises(UserError, match=r"model-00002\.safetensors is missing"):
        hub_model(str(model))
    (model / "model.safetensors.index.json").unlink()
    (model / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer"):
        hub_model(str(model))
