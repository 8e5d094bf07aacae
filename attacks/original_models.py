"""Opens the authors' resources (attacks/originals.py) as the parts that our recipes are made of.

Where a part of ours does the same work over other data, it is that part: the recipes keep their caches, their
batching, and answers that do not depend on what they are asked with.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from attacks import lanes
from attacks.causal_lm import CausalLM
from attacks.encoder import REMEMBERED, SentenceEncoder
from attacks.masked_lm import MaskedLM
from attacks.memory import Memory
from attacks.pos import CACHE, UNIVERSAL
from attacks.vectors import NEIGHBOURS, Vectors

# A graph with one of these reads or writes files that it names itself, or calls Python. Those that restore a model's
# own weights are in every SavedModel and are given their file by the loader.
UNSAFE = ("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc")
LANGUAGE = "en-US"


class Nearest:
    """Row i: i and its nearest by cosine, computed when it is first asked for and then kept.

    All rows of tens of thousands of words would take minutes; a text asks for a few. Cosines that are equal to six
    digits stand in the order of the words, so that rounding does not decide.
    """

    def __init__(self, matrix: np.ndarray, count: int = NEIGHBOURS) -> None:
        self._matrix, self._count, self._rows = matrix, count, dict[int, np.ndarray]()

    def __getitem__(self, row: int) -> np.ndarray:
        if row not in self._rows:
            cosine = np.round(self._matrix @ self._matrix[row], 6)
            cosine[row] = 2  # itself, before any that has its direction
            order = np.lexsort((np.arange(len(cosine)), -cosine))
            self._rows[row] = order[: self._count + 1].astype(np.int32)
        return self._rows[row]


def counter_fitted(files: Sequence[Path]) -> Vectors:
    """The vectors of a text file with a word and its numbers a line, as Mrksic et al. 2016 (arXiv 1603.00892) publish.

    They are scaled to unit length, as ours are. Raises ValueError for a line that has not as many numbers as the first.
    """
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    with files[0].open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            word, *values = line.split()
            try:
                row = np.array(values, dtype=np.float32)
            except ValueError:
                row = np.empty(0, dtype=np.float32)
            if not len(row) or (rows and len(row) != len(rows[0])) or not np.isfinite(row).all():
                wanted = f"{len(rows[0])} numbers" if rows else "numbers"
                raise ValueError(f"{files[0]}, line {number}: not a word and {wanted}; get the file again")
            if word not in words:
                words[word] = len(rows)
                rows.append(row)
    if not rows:
        raise ValueError(f"{files[0]} is empty; get the file again")
    matrix = np.stack(rows)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return Vectors(tuple(words), matrix, Nearest(matrix))  # type: ignore[arg-type]


def sentence_encoder(files: Sequence[Path]) -> SentenceEncoder:
    return SentenceEncoder(files[0].parent)


def masked_lm(files: Sequence[Path]) -> MaskedLM:
    return MaskedLM(files[0].parent)


def causal_lm(files: Sequence[Path]) -> CausalLM:
    return CausalLM(files[0].parent)


class Perceptron:
    """NLTK's averaged perceptron with the interface of `attacks.pos.Tagger`."""

    def __init__(self, weights: dict, tagdict: dict, classes: list[str]) -> None:
        from nltk.tag.perceptron import PerceptronTagger

        self._tagger = PerceptronTagger(load=False)
        self._tagger.decode_json_params((weights, tagdict, classes))
        self._universal = lru_cache(maxsize=CACHE)(self._universal_uncached)

    def tag(self, words: Sequence[str]) -> list[str]:
        """One Penn tag per word."""
        return [tag for _, tag in self._tagger.tag(list(words))]

    def universal(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """One universal tag per word; remembered."""
        return self._universal(words)

    def _universal_uncached(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(UNIVERSAL.get(tag, "X") for tag in self.tag(words))


def perceptron(files: Sequence[Path]) -> Perceptron:
    weights, tagdict, classes = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    return Perceptron(weights, tagdict, classes)


def nltk_synonyms(files: Sequence[Path]) -> Callable[[str], list[str]]:
    """word -> single words that share a synset with it in NLTK's WordNet, alphabetical, without the word itself.

    The word is looked up as written and by the base forms that NLTK finds, as TextAttack's WordSwapWordNet does.
    Ask only after `lexicon.prepare_textattack`.
    """
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import FileSystemPathPointer, find

    archive = files[0].suffix == ".zip"
    root = find("corpora/wordnet.zip/wordnet/", [str(files[0].parent.parent)]) if archive else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other languages are not there
        net = WordNetCorpusReader(root or FileSystemPathPointer(str(files[0].parent)), None)

    @lru_cache(maxsize=CACHE)
    def synonyms(word: str) -> tuple[str, ...]:
        from textattack.shared.utils import is_one_word

        names = {name for synset in net.synsets(word) for name in synset.lemma_names()}
        return tuple(sorted(n for n in names if n != word and "_" not in n and is_one_word(n)))

    return lambda word: list(synonyms(word))


class UniversalSentenceEncoder:
    """texts -> vectors (n, 512) float32 from the SavedModel in `folder`; the model is loaded at the first text.

    Each text goes through it alone, so its vector does not depend on the others; vectors are remembered by text.
    Raises ValueError for a graph that is not safe to load (`check_graph`).
    """

    def __init__(self, folder: Path) -> None:
        check_graph(folder)
        self.folder = folder
        self._memory: Memory[str, np.ndarray] = Memory(REMEMBERED)
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack(list(lanes.ask(self._serve, texts)))

    def _serve(self, texts: Sequence[str]) -> list[np.ndarray]:
        return self._memory.answers(texts, lambda new: [self._forward(text) for text in new])

    def _forward(self, text: str) -> np.ndarray:
        if self._model is None:
            import tensorflow_hub

            self._model = tensorflow_hub.load(str(self.folder))
        found = self._model([text])
        return np.asarray(found["outputs"] if isinstance(found, dict) else found, dtype=np.float32)[0]


def check_graph(folder: Path) -> None:
    """Raises ValueError when the SavedModel in `folder` holds an operation that touches files or runs Python."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in model.meta_graphs]
    used = {node.op for graph in graphs for node in graph.node}
    used |= {node.op for graph in graphs for function in graph.library.function for node in function.node_def}
    if unsafe := sorted(used & set(UNSAFE)):
        raise ValueError(f"{folder} is no plain encoder: its graph has {', '.join(unsafe)}; get it again")


def universal_sentence_encoder(files: Sequence[Path]) -> UniversalSentenceEncoder:
    return UniversalSentenceEncoder(next(path.parent for path in files if path.name == "saved_model.pb"))


class LanguageTool:
    """`count(text)`: how many errors LanguageTool's English rules find in a text; remembered by text.

    It runs as a Java server on this machine, started at the first text, and ends with the process.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._memory: Memory[str, int] = Memory(REMEMBERED)
        self._server: Any = None

    def count(self, text: str) -> int:
        return self._memory.answers([text], lambda new: [self._check(one) for one in new])[0]

    def _check(self, text: str) -> int:
        if self._server is None:
            import language_tool_python

            self._server = language_tool_python.LanguageTool(LANGUAGE, language_tool_download_version=self._version)
        return len(self._server.check(text))


def language_tool(files: Sequence[Path]) -> LanguageTool:
    folder = next(parent for parent in files[0].parents if parent.name.startswith("LanguageTool-"))
    return LanguageTool(folder.name.removeprefix("LanguageTool-"))
