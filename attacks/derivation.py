"""What a lexicon derives from WordNet and GloVe, into a folder in the layout of `attacks.lexicon`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from attacks import pos, vectors, wordnet
from attacks.stopwords import WITHOUT_VECTORS


def write(folder: Path, source: Path, glove: Path, report: Callable[[str], None]) -> None:
    """WordNet, synonyms, senses, parts of speech and vectors, from what `lexicon.build` takes."""
    report("reading WordNet")
    corpora = folder / "nltk_data" / "corpora"
    wordnet.write_nltk(source / "wordnet" / "dict", corpora / "wordnet")
    (corpora / "omw-2.0").mkdir()  # NLTK wants the folder and, for English, never looks inside
    net = wordnet.read(source / "wordnet" / "dict")
    (folder / "synonyms.json").write_text(json.dumps(net.synonyms()), encoding="utf-8")
    (folder / "senses.json").write_text(json.dumps(net.senses_by_kind()), encoding="utf-8")
    report("parts of speech")
    pos.save(source, folder / "pos", net.lemmas)
    report("reading GloVe")
    base = set(net.lemmas) | pos.lowercase_words(source)
    wanted = base | {form for form, _, lemma in wordnet.inflected_forms() if lemma in base}
    words, matrix = vectors.read_glove(glove, (wanted - WITHOUT_VECTORS).__contains__)
    vectors.save(vectors.fit(words, matrix, net, report), folder / "vectors")
