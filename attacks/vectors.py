"""Word vectors in which near means "same meaning": GloVe made to agree with WordNet, and each word's neighbours.

1. Partial whitening: centre, then divide each principal axis by its variance to the power 0.35. Plain GloVe puts every
   pair of frequent words at a cosine far above 0 (50th neighbour at about 0.75), which makes a threshold idle; full
   whitening (0.5) gives the rare axes so much weight that good loses nice and great.
2. Counter-fitting (Mrksic et al. 2016, arXiv 1603.00892), with d(a, b) = 1 - cos(a, b):
   antonym repel sum max(0, 1 - d), synonym attract sum max(0, d - 0.2), and vector-space preservation.
   Deviations: synonym slack 0.2 instead of 0 and only pairs that are among the first two senses of both words
   (with slack 0 and all senses love and honey come out at 0.98); preservation ties each vector to its own start, as
   in Attract-Repel (Mrksic et al. 2017, arXiv 1706.00374), because tying it to its neighbours from one side only
   contracts the space; full-batch gradient descent instead of SGD; inflected forms of a pair follow the pair.
3. The neighbours of a word never include a word that opposes it: an antonym, or near an antonym (`WordNet.opposites`).

Everything here is numpy on one array: same machine and library versions give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from attacks.wordnet import WORD, WordNet

VERSION = 2
NEIGHBOURS = 50  # as many candidates as TextFooler ever asks for
VOCABULARY = 40_000  # most frequent words kept; GloVe is sorted by frequency
SYNONYM_SLACK = 0.2
WHITENING = 0.35
ANCHOR = 1.0  # weight of a word's own start against one synonym or antonym
STEPS = 60  # the synonym cosines have settled near their limit (mean 0.81) by then
RATE = 0.1

Pairs = np.ndarray  # (pairs, 2) int64, row indices


@dataclass(frozen=True)
class Vectors:
    """words[i] has the unit vector matrix[i] (float32) and neighbours[i] = (i, nearest, second nearest, ...)."""

    words: tuple[str, ...]
    matrix: np.ndarray
    neighbours: np.ndarray

    @property
    def index(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


def load(folder: Path) -> Vectors:
    """Open what `save` wrote; the arrays stay on disk until read."""
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    matrix = np.load(folder / "matrix.npy", mmap_mode="r", allow_pickle=False)
    neighbours = np.load(folder / "neighbours.npy", mmap_mode="r", allow_pickle=False)
    return Vectors(tuple(words), matrix, neighbours)


def save(vectors: Vectors, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("\n".join(vectors.words), encoding="utf-8")
    np.save(folder / "matrix.npy", vectors.matrix, allow_pickle=False)
    np.save(folder / "neighbours.npy", vectors.neighbours, allow_pickle=False)


def fit(
    words: list[str], matrix: np.ndarray, wordnet: WordNet, progress: Callable[[str], None] | None = None
) -> Vectors:
    """Counter-fit `matrix` (words, dimensions) and find neighbours; `words` are lower case and distinct."""
    report = progress or (lambda _: None)
    index = {word: i for i, word in enumerate(words)}
    antonyms = _pairs(wordnet.antonyms(), index)
    opposite = _pairs(wordnet.opposites(), index)
    close = _pairs(wordnet.close_pairs(), index)
    opposed = set(map(tuple, opposite.tolist()))
    close = _array(pair for pair in map(tuple, close.tolist()) if pair not in opposed)
    report("counter-fitting word vectors")
    fitted = _counter_fit(_unit(_whiten(matrix.astype(np.float64))), close, antonyms)
    report("nearest neighbours")
    return Vectors(tuple(words), fitted, _nearest(fitted, NEIGHBOURS, opposite))


def read_glove(folder: Path, wanted: Callable[[str], bool]) -> tuple[list[str], np.ndarray]:
    """The VOCABULARY most frequent alphabetic words of GloVe-6B-50d for which `wanted` is true, and their vectors."""
    import pandas as pd

    column = pd.read_parquet(folder / "glove_6B_index.parquet")["index"].tolist()
    everything = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    rows = [i for i, word in enumerate(column) if isinstance(word, str) and WORD.fullmatch(word) and wanted(word)]
    rows = rows[:VOCABULARY]
    return [column[i] for i in rows], np.asarray(everything[rows], dtype=np.float32)


@cache
def _forms(pos: str, lemma: str) -> Mapping[str, str]:
    """Inflection tag -> form of a verb, noun or adjective, from lemminflect's dictionary."""
    import lemminflect

    universal = {"n": "NOUN", "v": "VERB", "a": "ADJ"}.get(pos)
    found = lemminflect.getAllInflections(lemma, universal) if universal else {}
    return {tag: forms[0] for tag, forms in found.items()}


def _pairs(pairs: Iterable[tuple[str, str, str]], index: Mapping[str, int]) -> Pairs:
    """Index pairs (smaller, larger) of the word pairs and of their equal inflections (loved - hated)."""
    out = set()
    for pos, a, b in pairs:
        left, right = _forms(pos, a), _forms(pos, b)
        both = [(a, b), *((left[tag], right[tag]) for tag in left if tag in right)]
        out |= {(index[x], index[y]) for x, y in both if x != y and x in index and y in index}
    return _array((min(pair), max(pair)) for pair in out)


def _array(pairs: Iterable[tuple[int, ...]]) -> Pairs:
    return np.array(sorted(set(pairs)), dtype=np.int64).reshape(-1, 2)


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def _whiten(matrix: np.ndarray) -> np.ndarray:
    centred = matrix - matrix.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    return centred @ axes / np.maximum(values, 1e-12) ** WHITENING


def _counter_fit(start: np.ndarray, close: Pairs, antonyms: Pairs) -> np.ndarray:
    """Gradient descent on the sums above; rows stay unit length. Returns float32."""
    vectors = start.copy()
    for _ in range(STEPS):
        gradient = -ANCHOR * start
        # in cosines: attract while cos < 1 - slack, repel while cos > 0
        for pairs, sign, limit in ((close, 1.0, 1 - SYNONYM_SLACK), (antonyms, -1.0, 0.0)):
            cosine = np.einsum("pd,pd->p", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
            active = pairs[sign * cosine < sign * limit]
            shape = (len(start), len(start))
            ends = (active[:, 0], active[:, 1])
            weights = sparse.csr_matrix((np.full(len(active), sign), ends), shape=shape)
            gradient = gradient - (weights + weights.T) @ vectors
        gradient -= np.einsum("nd,nd->n", gradient, vectors)[:, None] * vectors
        vectors = _unit(vectors - RATE * gradient)
    return vectors.astype(np.float32)


def _nearest(vectors: np.ndarray, count: int, opposite: Pairs, chunk: int = 1000) -> np.ndarray:
    """(words, 1 + count) int32: each row is the word itself and its nearest by cosine, opposed words left out.

    Where too few words are left, a row ends with the word itself again, which TextAttack passes over.
    """
    count = min(count, len(vectors) - 1)
    either = np.vstack([opposite, opposite[:, ::-1]])
    either = either[np.argsort(either[:, 0], kind="stable")]
    transposed = np.ascontiguousarray(vectors.T, dtype=np.float32)
    rows = []
    for begin in range(0, len(vectors), chunk):
        cosine = vectors[begin : begin + chunk].astype(np.float32) @ transposed
        low, high = np.searchsorted(either[:, 0], [begin, begin + len(cosine)])
        cosine[either[low:high, 0] - begin, either[low:high, 1]] = -2
        cosine[np.arange(len(cosine)), np.arange(begin, begin + len(cosine))] = 2
        found = np.argpartition(-cosine, count, axis=1)[:, : count + 1]
        # six digits and then the frequency rank, so that rounding noise does not decide the order
        value = np.round(np.take_along_axis(cosine, found, axis=1), 6)
        order = np.lexsort((found, -value), axis=1)
        found, value = np.take_along_axis(found, order, axis=1), np.take_along_axis(value, order, axis=1)
        rows.append(np.where(value < -1, found[:, :1], found))
    return np.vstack(rows).astype(np.int32)
