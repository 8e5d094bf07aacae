from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from attacks import lexicon
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.stopwords import WITHOUT_VECTORS


def test_a_full_lexicon_opens_with_all_parts(small_lexicon: Lexicon) -> None:
    assert set(small_lexicon.parts) == set(lexicon.ALL_PARTS)
    assert len(small_lexicon.stopwords) == 179
    assert small_lexicon.encoder.encode(["a film", "a good film", "a film"]).shape == (3, 32)
    assert small_lexicon.tagger.universal(("the", "movie", "was", "boring")) == ("DET", "NOUN", "VERB", "ADJ")


def test_synonyms_are_sorted_single_words_without_the_word_itself(small_lexicon: Lexicon) -> None:
    assert small_lexicon.synonyms("movie") == ["film", "picture"]
    assert small_lexicon.synonyms("Movie") == ["film", "picture"]
    assert small_lexicon.synonyms("love") == []
    assert small_lexicon.synonyms("unheard") == []
    small_lexicon.synonyms("movie").append("spoilt")
    assert small_lexicon.synonyms("movie") == ["film", "picture"]


def test_synonyms_are_near_and_opposites_are_no_neighbours(small_lexicon: Lexicon) -> None:
    vectors = small_lexicon.vectors
    index = vectors.index

    def cosine(a: str, b: str) -> float:
        return float(vectors.matrix[index[a]] @ vectors.matrix[index[b]])

    assert cosine("movie", "film") > 0.6
    assert cosine("love", "hate") < 0.3
    for a, b in [("good", "bad"), ("love", "hate"), ("good", "awful")]:
        assert index[b] not in vectors.neighbours[index[a]]
        assert index[a] not in vectors.neighbours[index[b]]
    assert (vectors.neighbours[:, 0] == np.arange(len(vectors.words))).all()
    np.testing.assert_allclose(np.linalg.norm(vectors.matrix, axis=1), 1, rtol=1e-5)


def test_nltk_reads_the_wordnet_copy(small_lexicon: Lexicon) -> None:
    folder = small_lexicon.folder / "nltk_data" / "corpora" / "wordnet"
    nouns = (folder / "data.noun").read_text().splitlines()
    assert [line[:8] for line in nouns[1:]] == ["00000000", "00000001"]
    assert "went go" in (folder / "verb.exc").read_text().splitlines()
    assert (folder / "cntlist.rev").exists()


def test_building_twice_changes_nothing(small_lexicon: Lexicon, inputs: dict[str, Path]) -> None:
    manifest = small_lexicon.folder / "manifest.json"
    before = manifest.stat().st_mtime_ns
    assert lexicon.build(small_lexicon.folder, **inputs).fingerprint == small_lexicon.fingerprint
    assert manifest.stat().st_mtime_ns == before


def test_building_elsewhere_gives_the_same_bytes(small_lexicon: Lexicon, inputs, tmp_path: Path) -> None:
    other = lexicon.build(tmp_path / "again", **inputs)
    assert other.fingerprint == small_lexicon.fingerprint
    for name in ("synonyms.json", "vectors/matrix.npy", "vectors/neighbours.npy", "pos/lexicon.txt"):
        assert (other.folder / name).read_bytes() == (small_lexicon.folder / name).read_bytes()


def test_another_input_is_another_lexicon(small_lexicon: Lexicon, inputs, tmp_path: Path) -> None:
    changed = tmp_path / "en"
    shutil.copytree(inputs["wordnet"], changed)
    with (changed / "en-lexicon.txt").open("a") as file:
        file.write("novel NN\n")
    out = tmp_path / "lexicon"
    first = lexicon.build(out, **inputs).fingerprint
    second = lexicon.build(out, **{**inputs, "wordnet": changed}).fingerprint
    assert (first, second != first) == (small_lexicon.fingerprint, True)


def test_a_build_that_dies_leaves_nothing_that_looks_complete(inputs, tmp_path: Path) -> None:
    def die(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lexicon.build(tmp_path / "lexicon", **inputs, progress=die)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LexiconMissing, match="no complete lexicon"):
        Lexicon(tmp_path / "lexicon")


@pytest.mark.parametrize("harm", ["cut", "remove", "no manifest", "old"])
def test_damage_is_seen_at_opening_and_repaired_by_building(tmp_path: Path, harm: str) -> None:
    folder = lexicon.minimal(tmp_path / "lexicon").folder
    words, manifest = folder / "nltk_data/corpora/stopwords/english", folder / "manifest.json"
    if harm == "cut":
        words.write_text("the\n")
    elif harm == "remove":
        words.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 0}))
    with pytest.raises(LexiconMissing):
        Lexicon(folder)
    assert len(lexicon.minimal(folder).stopwords) == 179


def test_missing_inputs_and_parts_are_named(inputs, tmp_path: Path, stopword_lexicon: Lexicon) -> None:
    with pytest.raises(LexiconMissing, match=r"glove_6B_index.parquet"):
        lexicon.build(tmp_path / "x", **{**inputs, "glove": tmp_path})
    with pytest.raises(LexiconMissing, match="has no synonyms"):
        stopword_lexicon.synonyms("movie")


def test_a_lost_encoder_is_named(inputs, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    shutil.copytree(inputs["encoder"], encoder)
    built = lexicon.build(tmp_path / "lexicon", **{**inputs, "encoder": encoder})
    (encoder / "model.safetensors").unlink()
    with pytest.raises(LexiconMissing, match="sentence encoder"):
        _ = Lexicon(built.folder).encoder


@pytest.mark.resources
@pytest.mark.slow
def test_the_real_lexicon(resources, tmp_path: Path) -> None:
    built = lexicon.build(
        tmp_path / "lexicon",
        wordnet=resources.path("wordnet"),
        glove=resources.path("glove"),
        encoder=resources.path("minilm-l6"),
    )
    assert built.synonyms("movie") == ["film", "flick", "pic", "picture"]
    vectors = built.vectors
    index = vectors.index
    assert not WITHOUT_VECTORS & set(vectors.words)
    for a, b in [("good", "bad"), ("love", "hate"), ("loved", "hated"), ("best", "worst"), ("happy", "sad")]:
        assert index[b] not in vectors.neighbours[index[a]]
        assert index[a] not in vectors.neighbours[index[b]]
    nearest = [vectors.words[i] for i in vectors.neighbours[index["terrible"]][1:7]]
    assert {"horrible", "awful", "dreadful"} <= set(nearest)
    same, other = (
        built.encoder.encode(["a good film", "a fine movie", "the train is late"])[1:]
        @ built.encoder.encode(["a good film", "a fine movie", "the train is late"])[0]
    )
    assert same > other + 0.3
