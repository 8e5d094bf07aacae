"""Names of each entity type: those of the training sentences, how often they occur there, and WordNet's instances."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attacks.entities import Tags, spans

Name = tuple[str, ...]
# Entity type, in upper case -> the WordNet noun the instances of whose first sense are names of it. Organisations are
# left to the training sentences: WordNet 3.0 has 31, and several are no names of one ("Capital", "Eelam").
WORDNET = {
    "PER": "person",
    "PERSON": "person",
    "GPE": "administrative_district",
    "LOC": "administrative_district",
    "LOCATION": "administrative_district",
}
_WORD = re.compile(r"[A-Z][a-z]+")


@dataclass(frozen=True)
class Gazetteer:
    """`names[type][name]`: how often the training sentences hold this name (its words) as an entity of this type.

    A name with the count 0 comes from elsewhere. Names of two types are none: a victim may take them for either.
    """

    names: Mapping[str, Mapping[Name, int]]

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all names and counts."""
        rows = [[kind, *name, count] for kind in sorted(self.names) for name, count in sorted(self.names[kind].items())]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def count(self, kind: str, name: Sequence[str]) -> int:
        return self.names.get(kind, {}).get(tuple(name), 0)

    def rarer(self, kind: str, name: Sequence[str]) -> list[Name]:
        """Names of the type that are rarer in training than `name`, the rarest first, then alphabetical.

        Where nothing is rarer (the name occurs once, or never), names that are as rare. Never the name itself, in
        whatever case.
        """
        own, spelt = self.count(kind, name), [word.lower() for word in name]
        limit = max(1, own - 1)
        others = [
            (count, other)
            for other, count in self.names.get(kind, {}).items()
            if count <= limit and [word.lower() for word in other] != spelt
        ]
        return [other for _, other in sorted(others)]


def from_sentences(sentences: Iterable[tuple[Sequence[str], Tags]]) -> Gazetteer:
    """The names of tagged sentences: (words, BIO tags) each. Names of which a word has no letter are left out, and
    those that do not begin with a capital ("lender")."""
    counted: dict[str, Counter[Name]] = {}
    for words, tags in sentences:
        for kind, start, stop in spans(tags):
            name = tuple(words[start:stop])
            counted.setdefault(kind, Counter())[name] += 1
    return Gazetteer(_unambiguous(counted, {}))


def with_wordnet(known: Gazetteer, folder: Path) -> Gazetteer:
    """`known` and, with the count 0, the WordNet instances of its types; `folder`: WordNet in NLTK's layout.

    Only names whose words are plain capitalised ones ("New York", not "St. Louis" or "O'Neill"): how a data set cuts
    the others into words is not known here.
    """
    wanted = {kind: WORDNET[kind.upper()] for kind in known.names if kind.upper() in WORDNET}
    found = _instances(folder, frozenset(wanted.values()))
    extra = {
        kind: {name for name in (tuple(one.split("_")) for one in found[root]) if all(map(_WORD.fullmatch, name))}
        for kind, root in wanted.items()
    }
    return Gazetteer(_unambiguous(known.names, extra))


@functools.lru_cache(maxsize=2)
def _instances(folder: Path, roots: frozenset[str]) -> dict[str, frozenset[str]]:
    """Lemma -> every name of every instance of its first noun sense and of the classes below it; see wndb(5WN)."""
    names: dict[str, list[str]] = {}
    below: dict[str, dict[str, list[str]]] = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if line and not line.startswith(" "):
            fields = line.partition("|")[0].split()
            end = 4 + 2 * int(fields[3], 16)
            names[fields[0]] = fields[4:end:2]
            links = zip(fields[end + 1 :: 4], fields[end + 2 :: 4], strict=False)
            down = below.setdefault(fields[0], {"~": [], "~i": []})
            for symbol, target in links:
                down.get(symbol, []).append(target)
    first = {}
    for line in (folder / "index.noun").read_text(encoding="latin-1").splitlines():
        if line.partition(" ")[0] in roots:
            fields = line.split()
            first[fields[0]] = fields[-int(fields[2])]
    return {root: _below(first[root], names, below) if root in first else frozenset() for root in roots}


def _below(root: str, names: dict[str, list[str]], below: dict[str, dict[str, list[str]]]) -> frozenset[str]:
    seen, left, found = set(), [root], set()
    while left:
        synset = left.pop()
        if synset not in seen:
            seen.add(synset)
            found |= {name for instance in below[synset]["~i"] for name in names[instance]}
            left += below[synset]["~"]
    return frozenset(found)


def _unambiguous(
    counted: Mapping[str, Mapping[Name, int]], extra: Mapping[str, set[Name]]
) -> dict[str, dict[Name, int]]:
    types = Counter(name for kind in counted for name in {*counted[kind], *extra.get(kind, ())})
    made: dict[str, dict[Name, int]] = {}
    for kind in sorted(counted):
        together = {name: counted[kind].get(name, 0) for name in {*counted[kind], *extra.get(kind, ())}}
        made[kind] = {name: count for name, count in sorted(together.items()) if types[name] == 1 and _usable(name)}
    return made


def _usable(name: Name) -> bool:
    return name[0][:1].isupper() and all(any(map(str.isalpha, word)) for word in name)
