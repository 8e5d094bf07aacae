"""Data sets and models of the Hugging Face hub, by id and commit, or from a local folder in the hub's layout.

Only data files and safetensors weights are taken: no script of a repository is ever run, no pickle opened. A
hub id needs its full commit (`ID@` and 40 hex digits), since branches and tags can move under a result; a
local folder needs none. The network is used only for a commit that is not yet in the hub's own cache, and
never with HF_HUB_OFFLINE=1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.rationale_layouts import posts
from training.rows import Columns, Row, read_rows, row_of, shown
from training.task import Task
from training.user_data import assemble, split_name

COLUMNS = Columns(
    text=("text", "sentence", "review"),
    label=("label",),
    words=("tokens", "words"),
    tags=("ner_tags", "tags"),
    rationale=("rationale", "rationales", "evidences"),
)
POST = ("post_tokens", "annotators", "rationales")  # HateXplain's columns
DATA = (".parquet", ".csv", ".tsv", ".jsonl")
MODEL_FILES = ("*.json", "*.safetensors", "vocab.txt", "merges.txt", "*.model", "LICENSE*", "NOTICE*")
DATA_FILES = ("README.md", *(f"*{suffix}" for suffix in DATA))
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
UNLABELLED = "-1"  # the hub's mark for a withheld label
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


def hub_task(locator: str) -> Task:
    """The Task in `ID@COMMIT` or in a local folder: text, sentence or review with label, or tokens with
    ner_tags.

    Label names come from the features in the parquet files or in README.md. Raises UserError when the id is
    not pinned, not at hand offline, or holds no data files of that shape.
    """
    folder, source = _open(locator, "dataset", DATA_FILES)
    card = _card(folder)
    notes: list[str] = []
    splits: dict[str, list[Row]] = {}
    labels: list[str] | None = None
    for split, files in _data_files(folder, locator).items():
        rows = [row for file in files for row in _rows(file)]
        names = _names_of_parquet(files) or _names_of_features(_card_features(card))
        labels = labels or names
        withheld = rows and all(row.label == UNLABELLED for row in rows)
        if withheld:
            notes.append(f"{split}: its labels are withheld (-1), so the split was left out")
        else:
            splits[split] = [_named(row, names) for row in rows]
    if "train" not in splits:
        raise UserError(f"{locator}: the train split has no labels; choose another data set")
    tagging = splits["train"][0].label is None
    return assemble(
        source.partition("@")[0].rpartition("/")[2],
        splits,
        source=f"hub:{source}",
        licence=str(card.get("license", "unknown: see the data set's page")),
        labels=None if tagging else labels,
        notes=notes,
    )


def hub_model(locator: str) -> Path:
    """The folder of the model `ID@COMMIT`, or the local folder itself, with safetensors weights and a fast
    tokenizer.

    Raises UserError when it is not pinned, not at hand offline, holds only pickled weights, or needs code of
    its own.
    """
    folder, _ = _open(locator, "model", MODEL_FILES)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"model {locator}: no readable config.json; give a folder made by save_pretrained") from None
    if "auto_map" in config:
        raise UserError(f"model {locator}: it needs code from its repository, which is never run; choose another model")
    if not any(folder.glob("*.safetensors")):
        pickles = [file.name for pattern in PICKLES for file in folder.glob(pattern)]
        found = f"only pickled weights ({pickles[0]})" if pickles else "no weights"
        raise UserError(
            f"model {locator}: {found}; opening a pickle can run any code, so only *.safetensors are read. "
            "Convert them with save_pretrained(..., safe_serialization=True), or pin a commit that has them"
        )
    for index in folder.glob("*.safetensors.index.json"):
        for shard in set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()):
            if not (folder / shard).is_file():
                raise UserError(f"model {locator}: the weights file {shard} is missing; download the model again")
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.txt").is_file():
        raise UserError(f"model {locator}: there is no tokenizer.json; save its fast tokenizer into the folder")
    return folder


def _open(locator: str, kind: str, patterns: Sequence[str]) -> tuple[Path, str]:
    """(folder, source): a local folder as it is, or the snapshot of a pinned id."""
    identifier, _, revision = locator.rpartition("@")
    for local in (locator, identifier):
        if local and Path(local).is_dir():
            return Path(local).resolve(), Path(local).resolve().name
    identifier = identifier or locator
    if not re.fullmatch(r"[\w.-]+/[\w.-]+|[\w.-]+", identifier):
        raise UserError(
            f"{kind} {shown(locator)}: neither a folder on this machine nor a hub id of the form NAME/NAME@COMMIT"
        )
    if "@" not in locator or not _COMMIT.fullmatch(revision):
        raise UserError(
            f"{kind} {locator}: unpinned. Give the full commit, {identifier}@ and 40 hex digits (on the "
            "hub's page under Files, History), since a branch or tag can move; a local folder needs none"
        )
    return _snapshot(identifier, revision, kind, patterns), locator


def _snapshot(identifier: str, revision: str, kind: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    where = f"{kind} {identifier}@{revision}"
    try:
        folder = snapshot_download(
            identifier,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=constants.HF_HUB_OFFLINE,
        )
    except LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE=1 is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise UserError(
            f"{where}: not in the local cache, and {reason}; fetch it once with a network, or give a local "
            "folder in the hub's layout"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{where}: the hub refused ({reason}); check the id, the commit and your access") from error
    return Path(folder)


def _data_files(folder: Path, locator: str) -> dict[str, list[Path]]:
    """Split -> its files, from names such as train.csv, data/train-00000-of-00002.parquet or
    default/train/0000.parquet."""
    groups: dict[Path, dict[str, list[Path]]] = {}
    for file in sorted(folder.rglob("*")):
        if (
            file.suffix not in DATA
            or not file.is_file()
            or any(p.startswith(".") for p in file.relative_to(folder).parts)
        ):
            continue
        home, split = file.parent, split_name(re.split(r"[-._]", file.name)[0])
        if split is None and file.stem.isdigit():
            home, split = file.parent.parent, split_name(file.parent.name)
        if split is not None:
            groups.setdefault(home, {}).setdefault(split, []).append(file)
    groups = {home: splits for home, splits in groups.items() if "train" in splits}
    if not groups:
        found = ", ".join(sorted(file.name for file in folder.iterdir())[:6]) or "nothing"
        raise UserError(
            f"{locator}: no train file of type {', '.join(DATA)} (found: {found}); scripts are not run, so "
            "pin a commit with data files (the branch refs/convert/parquet often has one)"
        )
    if len(groups) > 1:
        names = ", ".join(sorted(str(home.relative_to(folder)) for home in groups))
        raise UserError(f"{locator}: several data sets in one ({names}); download it and give the one folder you mean")
    (splits,) = groups.values()
    for split, files in splits.items():
        _check_shards(files, f"{locator}, {split} split")
    return splits


def _check_shards(files: Sequence[Path], where: str) -> None:
    if len({file.suffix for file in files}) > 1:
        raise UserError(f"{where}: there as {' and as '.join(file.name for file in files)}; keep one form")
    shards = [match.groups() for file in files if (match := _SHARD.search(file.name))]
    for _, total in shards:
        if len(shards) != int(total):
            raise UserError(f"{where}: {len(shards)} of {int(total)} files are there; download it again")


def _rows(file: Path) -> Iterable[Row]:
    if file.suffix != ".parquet":
        return read_rows(file, COLUMNS)
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file, partitioning=None)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a readable parquet file ({str(error).splitlines()[0]}); get it again") from error
    if set(POST) <= set(table.column_names):
        found = table.select(POST).to_pylist()
        return posts((f"{file} row {number}", post) for number, post in enumerate(found, start=1))
    wanted = {*COLUMNS.text, *COLUMNS.label, *COLUMNS.words, *COLUMNS.tags, *COLUMNS.rationale}
    columns = [name for name in table.column_names if name in wanted]
    records = table.select(columns).to_pylist()
    others = {name: None for name in table.column_names if name not in wanted} if len(columns) < 2 else {}
    return [row_of(f"{file} row {n}", record | others, COLUMNS) for n, record in enumerate(records, start=1)]


def _named(row: Row, names: Sequence[str] | None) -> Row:
    """The row with label numbers turned into names. Text labels stay."""
    if row.label is not None:
        return replace(row, label=_name(row.label, names, row.where))
    if names is None and any(tag.isdigit() for tag in row.tags):
        raise UserError(
            f"{row.where}: the tags are numbers and no names are given; add them as class_label to the "
            "features in README.md"
        )
    return Row(row.where, row.text, None, row.words, tuple(_name(tag, names, row.where) for tag in row.tags))


def _name(label: str, names: Sequence[str] | None, where: str) -> str:
    if names is None or label in names:
        return label
    if label.isdigit() and int(label) < len(names):
        return names[int(label)]
    raise UserError(f"{where}: the label {shown(label)} is none of the declared ones ({', '.join(names[:12])})")


def _names_of_parquet(files: Sequence[Path]) -> list[str] | None:
    """Class names from the features that the `datasets` library writes into a parquet schema."""
    if files[0].suffix != ".parquet":
        return None
    import pyarrow.parquet

    written = (pyarrow.parquet.read_schema(files[0]).metadata or {}).get(b"huggingface")
    return _names_of_features(json.loads(written)["info"]["features"]) if written else None


def _names_of_features(features: Mapping[str, Any]) -> list[str] | None:
    annotators = features.get(POST[1])
    if isinstance(annotators, Mapping):
        annotators = annotators.get("feature", annotators)
        features = {**features, COLUMNS.label[0]: annotators.get(COLUMNS.label[0])}
    for column in (*COLUMNS.tags, *COLUMNS.label):
        if (names := _class_names(features.get(column))) is not None:
            return names
    return None


def _class_names(feature: Any) -> list[str] | None:
    """Names in a ClassLabel, or in a list of ClassLabels, in the parquet's or the card's spelling."""
    if not isinstance(feature, Mapping):
        return None
    names = feature.get("names")
    if isinstance(names, Mapping):  # the card's: {'0': neg, '1': pos}
        return [str(names[key]) for key in sorted(names, key=int)]
    if names is not None:
        return [str(name) for name in names]
    inner = (feature.get(key) for key in ("feature", "class_label", "dtype", "sequence", "list"))
    return next((found for item in inner if (found := _class_names(item)) is not None), None)


def _card(folder: Path) -> dict[str, Any]:
    """The YAML head of README.md; empty when there is none."""
    import yaml
    from huggingface_hub.repocard import metadata_load

    readme = folder / "README.md"
    try:
        return (metadata_load(readme) or {}) if readme.is_file() else {}
    except (ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{readme}: its YAML head cannot be read ({reason}); repair or remove it") from error


def _card_features(card: Mapping[str, Any]) -> dict[str, Any]:
    """Column -> feature, from the first `dataset_info` of a card."""
    info = card.get("dataset_info") or {}
    info = info[0] if isinstance(info, list) else info
    return {feature["name"]: feature for feature in info.get("features", []) if "name" in feature}
