"""From the names a user gives to the task and the model folder they mean."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from attacks import lexicon, masked_lm, masked_lm_training
from attacks.lexicon import Lexicon, LexiconMissing
from training import registry
from training.errors import UserError
from training.resources import Resources
from training.task import Task

LENGTHS = (32, 256)
MODELS = ("bert-tiny", "minilm-l6")
BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Kinds of encoders that count positions from the one after the padding token's id."""


def locators(data: Path | None, tasks: Sequence[str], default: Sequence[str]) -> list[str]:
    """Where the tasks of a run come from, each once. Raises UserError where a file and tasks are given."""
    if data is not None and tasks:
        raise UserError(
            f"--data {data} and --task {tasks[0]} are two requests; give one of them and run the other next."
        )
    return [f"data:{data}"] if data is not None else list(dict.fromkeys(tasks or default))


def open_task(locator: str, resources: Resources) -> Task:
    """`movie_reviews` (a plug-in), `data:PATH` (a csv, tsv, jsonl or CoNLL file or folder) or `hub:ID@REV`.

    Raises UserError when it is unknown, missing or malformed.
    """
    scheme, _, rest = locator.partition(":")
    if scheme == "data":
        from training.user_data import load_file

        task = load_file(Path(rest))
    elif scheme == "hub":
        from training.hub import hub_task

        task = hub_task(rest)
    else:
        task = registry.load("training.tasks", locator).load(resources)
    task.check()
    return task


def open_model(name: str, resources: Resources) -> tuple[str, Path]:
    """(name for tables, folder): an embedded model's name, a local folder, or a hub `ID@REV`."""
    if name in MODELS:
        return name, resources.path(name)
    if name.strip() and Path(name).is_dir():
        return f"path:{Path(name).resolve().name}", _model_folder(Path(name).resolve())
    if "@" not in name and "/" not in name:
        raise UserError(
            f"unknown model '{name}'. Known: {', '.join(MODELS)}; or give a local folder, or a hub model pinned as "
            "ID@REVISION."
        )
    from training.hub import hub_model

    return name, hub_model(name)


def _model_folder(folder: Path) -> Path:
    """The folder itself; UserError where it cannot be that of an encoder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not JSON"
        raise UserError(
            f"'{folder}' holds no model (config.json: {reason}); give a folder that save_pretrained wrote, with "
            "config.json, *.safetensors and the tokenizer's files."
        ) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(f"'{folder}' holds no encoder: its config.json names no model_type.")
    return folder


def most_pieces(folder: Path) -> int | None:
    """How many sub-word pieces the encoder in `folder` has positions for; None where its config does not say."""
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    most = config.get("max_position_embeddings")
    if isinstance(most, int) and config.get("model_type") in BEHIND_PADDING:
        most -= int(config.get("pad_token_id") or 0) + 1
    return most if isinstance(most, int) and most > 0 else None


def max_length(task: Task, folder: Path, asked: int | None = None) -> int:
    """Pieces of a text that are read: `asked`, else as hold 99 % of the training texts whole, a multiple of 16 within
    LENGTHS. Raises UserError where more are asked for than the encoder has positions."""
    most = most_pieces(folder)
    if asked is not None:
        if most is not None and asked > most:
            raise UserError(f"max_length is {asked}, and the model reads {most} pieces at most; give a smaller one.")
        return asked
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the tokenizer of the model folder '{folder.name}' cannot be opened: {reason}") from error
    if task.kind == "classification":
        coded = tokenizer([example.text for example in task.train])["input_ids"]
    else:
        coded = tokenizer([list(example.words) for example in task.train], is_split_into_words=True)["input_ids"]
    wanted = float(np.quantile([len(row) for row in coded], 0.99))
    return min(most or LENGTHS[1], int(np.clip(16 * math.ceil(wanted / 16), *LENGTHS)))


def model_fingerprint(folder: Path) -> str:
    """sha256 over the weights and the configuration of a model folder, first 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("vocab*")]):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def open_lexicon(resources: Resources) -> Lexicon:
    """The attack lexicon derived from the fetched resources. Raises UserError naming `temper fetch` if missing."""
    try:
        return _lexicon(lexicon_folder(resources))
    except LexiconMissing as error:
        raise UserError(f"the attack lexicon is not there ({error}). Get it with: temper fetch") from error


@functools.lru_cache(maxsize=2)
def _lexicon(folder: Path) -> Lexicon:
    # one opened lexicon per process: its caches are shared by all victims
    return Lexicon(folder)


def lexicon_folder(resources: Resources) -> Path:
    return resources.cache / "lexicon"


def build_lexicon(resources: Resources, progress: Callable[[str], None] | None = None) -> Lexicon:
    """Derives the attack lexicon from the fetched resources; returns at once when it is already there.

    Its language model is fitted on the TRAINING texts of movie_reviews, and left out where `vader` was not fetched.
    """
    wordnet, glove, encoder = (resources.path(name) for name in ("wordnet", "glove", "minilm-l6"))
    texts = [e.text for e in open_task("movie_reviews", resources).train] if resources.has("vader") else []
    return lexicon.build(
        lexicon_folder(resources), wordnet=wordnet, glove=glove, encoder=encoder, texts=texts, progress=progress
    )


def build_masked_lm(resources: Resources, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Trains the attacks' masked language model, if it is not there of the same inputs; its manifest.

    From bert-tiny, on the TRAINING texts of movie_reviews; measured on the validation texts.
    """
    task = open_task("movie_reviews", resources)
    return masked_lm_training.build(
        masked_lm.beside(lexicon_folder(resources)),
        body=resources.path("bert-tiny"),
        texts=[example.text for example in task.train],
        held_out=[example.text for example in task.validation],
        progress=progress,
    )
