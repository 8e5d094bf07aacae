"""What the recipes' authors attack with, where it lies on this machine: looked for, never downloaded.

Each resource is sought where its own library keeps it:

    counter_fitted    TextAttack's cache, word_embeddings/paragramcf/counter-fitted-vectors.txt
    use               tensorflow_hub's cache, universal-sentence-encoder/3
    stsb_distilbert, bert_base, gpt2    the Hugging Face cache, weights as safetensors
    perceptron, nltk_wordnet            NLTK's search path
    language_tool     the folder of language-tool-python, with Java

Data alone is opened: a pickle and a torch checkpoint can run code when they are read, so TextAttack's own copy of the
vectors (its word list is a pickle), the HowNet bank, flair's taggers and weights in pytorch_model.bin stay shut. A
TensorFlow SavedModel is a graph, and is opened when none of its operations touches files or runs Python.

A resource is known by 16 hex digits over the bytes of its files, which become part of the fingerprint of every recipe
that NEEDS it. Hashing takes about a second for 500 MB, once a process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attacks.lexicon import Lexicon

COUNTER_FITTED = Path("word_embeddings", "paragramcf", "counter-fitted-vectors.txt")
USE_ADDRESS = "https://tfhub.dev/google/universal-sentence-encoder/3"  # the one TextAttack's recipes ask for
PERCEPTRON = "averaged_perceptron_tagger_eng"
WORDNET = ("data", "index")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")  # one of them says how texts are cut
MODEL_FILES = ("config.json", "model.safetensors", *TOKENIZERS, "merges.txt", "tokenizer_config.json")
OURS = Path("textattack", "post_install_check_3")  # beside the NLTK data of a lexicon of ours


class OriginalMissing(Exception):  # noqa: N818 (as LexiconMissing)
    """A resource of the authors is not on this machine."""


@dataclass(frozen=True)
class Resource:
    """`title`: as recipes name it in ORIGINAL. `files`: what it consists of, nothing when it is not here. `open`: makes
    the part that a recipe uses from these files.
    """

    title: str
    files: Callable[[], Sequence[Path]]
    open: Callable[[Sequence[Path]], Any]


def textattack_cache() -> Path:
    """Where TextAttack keeps what it downloads."""
    return Path(os.environ.get("TA_CACHE_DIR") or Path("~/.cache/textattack").expanduser())


def _counter_fitted() -> list[Path]:
    path = textattack_cache() / COUNTER_FITTED
    return [path] if path.is_file() else []


def _hub(*names: str) -> list[Path]:
    """The files of the first of these models that the Hugging Face cache holds whole, without pickled weights."""
    from huggingface_hub import constants, try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(name, "config.json", cache_dir=constants.HF_HUB_CACHE)
        files = [Path(found).parent / file for file in MODEL_FILES] if isinstance(found, str) else []
        held = [path for path in files if path.is_file()]
        if {"config.json", "model.safetensors"} <= {path.name for path in held} and len(held) > 2:
            return held
    return []


def _stsb() -> list[Path]:
    """The sentence encoder, if it pools as ours does: a folder that says otherwise is another one."""
    import json

    files = _hub("sentence-transformers/stsb-distilbert-base", "stsb-distilbert-base")
    pooling = files[0].parent / "1_Pooling" / "config.json" if files else Path()
    said = json.loads(pooling.read_text(encoding="utf-8")) if pooling.is_file() else {}
    chosen = {name for name, value in said.items() if name.startswith("pooling_mode_") and value is True}
    return [*files, pooling] if chosen == {"pooling_mode_mean_tokens"} else []


def _nltk_roots() -> list[Path]:
    """NLTK's search path without the folders of our own lexicons, which are on it while an attack runs."""
    import nltk.data

    roots = [Path(root) for root in nltk.data.path if root]
    return [root for root in roots if not (root.parent / OURS).is_file()]


def _perceptron() -> list[Path]:
    for root in _nltk_roots():
        folder = root / "taggers" / PERCEPTRON
        files = [folder / f"{PERCEPTRON}.{part}.json" for part in ("weights", "tagdict", "classes")]
        if all(path.is_file() for path in files):
            return files
    return []


def _wordnet() -> list[Path]:
    """The archive that NLTK downloads, or its folder where that was unpacked."""
    for root in _nltk_roots():
        archive, folder = root / "corpora" / "wordnet.zip", root / "corpora" / "wordnet"
        if archive.is_file():
            return [archive]
        files = [path for path in sorted(folder.glob("*")) if path.is_file()]
        if {f"{kind}.{name}" for kind in WORDNET for name in ("noun", "verb", "adj", "adv")} <= {p.name for p in files}:
            return files
    return []


def _use() -> list[Path]:
    if not all(importlib.util.find_spec(name) for name in ("tensorflow", "tensorflow_hub")):
        return []
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules"))
    folder = cache / hashlib.sha1(USE_ADDRESS.encode(), usedforsecurity=False).hexdigest()
    held = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return held if folder / "saved_model.pb" in held else []


def _language_tool() -> list[Path]:
    if shutil.which("java") is None or importlib.util.find_spec("language_tool_python") is None:
        return []
    from language_tool_python.download_lt import LocalLanguageTool

    found = LocalLanguageTool.get_latest_installed_version()
    return [] if found is None else sorted(found.get_directory_path().rglob("*.jar"))


def _model(name: str) -> Callable[[Sequence[Path]], Any]:
    """A function of attacks.original_models, imported when something is opened and not before."""

    def opened(files: Sequence[Path]) -> Any:
        from attacks import original_models

        return getattr(original_models, name)(files)

    return opened


RESOURCES: dict[str, Resource] = {
    "counter_fitted": Resource("counter-fitted Paragram vectors", _counter_fitted, _model("counter_fitted")),
    "use": Resource("Universal Sentence Encoder", _use, _model("universal_sentence_encoder")),
    "stsb_distilbert": Resource("DistilBERT sentence encoder", _stsb, _model("sentence_encoder")),
    "bert_base": Resource(
        "BERT-base masked language model",
        lambda: _hub("google-bert/bert-base-uncased", "bert-base-uncased"),
        _model("masked_lm"),
    ),
    "gpt2": Resource("GPT-2", lambda: _hub("openai-community/gpt2", "gpt2"), _model("causal_lm")),
    "perceptron": Resource("NLTK perceptron tagger", _perceptron, _model("perceptron")),
    "nltk_wordnet": Resource("NLTK WordNet", _wordnet, _model("nltk_synonyms")),
    "language_tool": Resource("LanguageTool", _language_tool, _model("language_tool")),
}
BY_TITLE = {resource.title: name for name, resource in RESOURCES.items()}


def found() -> tuple[str, ...]:
    """Names of the resources that are on this machine and can be opened."""
    return tuple(name for name, resource in RESOURCES.items() if resource.files())


def files(name: str) -> tuple[Path, ...]:
    """What the resource consists of. Raises OriginalMissing when it is not here."""
    held = tuple(RESOURCES[name].files())
    if not held:
        raise OriginalMissing(f"{RESOURCES[name].title} is not on this machine, or not in a form that is safe to open")
    return held


def fingerprint(name: str) -> str:
    """16 hex digits over the bytes of the resource's files, in the order of their names."""
    return _digest(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files(name)))


def fingerprints(needs: Iterable[str]) -> list[str]:
    """`counter_fitted:9c..04` for each of `needs` that is a resource here, by name."""
    return [f"{name}:{fingerprint(name)}" for name in sorted(set(needs) & set(RESOURCES))]


@functools.cache
def _digest(held: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in held:
        with Path(path).open("rb") as file:
            whole.update(f"{Path(path).name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def opened(name: str) -> Any:
    """The part itself, one for the whole process. Raises OriginalMissing, and ValueError when a file is damaged."""
    return _opened(name, files(name))


@functools.cache
def _opened(name: str, held: tuple[Path, ...]) -> Any:
    return RESOURCES[name].open(held)


class Replaced:
    """A lexicon in which some parts are the authors' own; all else is the lexicon's.

    `parts`: attribute of the lexicon -> name of a resource, as in vectors="counter_fitted". Opened at first use.
    """

    def __init__(self, lexicon: Lexicon, **parts: str) -> None:
        self._lexicon, self._parts = lexicon, parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return opened(self._parts[name]) if name in self._parts else getattr(self._lexicon, name)
