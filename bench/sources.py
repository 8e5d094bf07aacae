"""From the names a user gives to the task and the model folder they mean."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks import lexicon, masked_lm, masked_lm_training
from attacks.lexicon import Lexicon, LexiconMissing
from training import registry
from training.errors import UserError
from training.resources import Resources
from training.task import Task

MODELS = ("bert-tiny", "minilm-l6")


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
    if Path(name).is_dir():
        return f"path:{Path(name).resolve().name}", Path(name).resolve()
    if "@" not in name and "/" not in name:
        raise UserError(
            f"unknown model '{name}'. Known: {', '.join(MODELS)}; or give a local folder, or a hub model pinned as "
            "ID@REVISION."
        )
    from training.hub import hub_model

    return name, hub_model(name)


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
