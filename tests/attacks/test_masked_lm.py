"""The masked language model: against transformers, against all combinations, and how it is built and found."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from attacks import lexicon, masked_lm, masked_lm_training
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.masked_lm import MaskedLM
from tests.attacks.conftest import FEW_STEPS as SMALL
from tests.attacks.conftest import KINDS, SUBJECTS, reviews


@pytest.fixture
def model(masked_folder: Path) -> MaskedLM:
    return MaskedLM(masked_folder)


def test_it_has_learnt_what_goes_where(model: MaskedLM) -> None:
    (subject, _), (kind, _) = (
        found[0] for found in model.fill([("the ", " was good ."), ("The film was very", ".")], 3)
    )
    assert subject in SUBJECTS
    assert kind in KINDS
    made = masked_lm.manifest(model.folder)
    assert made is not None
    assert made["held_out"]["loss"] < 2.0  # a uniform guess among the 113 pieces: 4.7
    assert made["held_out"]["top_50"] == 1.0


def test_filling_is_the_softmax_at_the_mask_over_whole_words(model: MaskedLM) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    reference = AutoModelForMaskedLM.from_pretrained(model.folder).eval()
    coded = tokenizer("the movie was [MASK] and boring .", return_tensors="pt")
    with torch.inference_mode():
        logits = reference(**coded).logits[0, coded["input_ids"][0].tolist().index(tokenizer.mask_token_id)]
    wanted = {
        piece: float(torch.softmax(logits, 0)[number])
        for piece, number in tokenizer.get_vocab().items()
        if piece.isalpha() and (len(piece) > 1 or piece in "ai")
    }
    found = model.fill([("the movie was ", " and boring .")], 10_000)[0]
    assert {word: pytest.approx(value, rel=1e-4) for word, value in found} == wanted
    assert [value for _, value in found] == pytest.approx(sorted(wanted.values(), reverse=True), rel=1e-4)
    assert [word for word, _ in model.fill([("the movie was ", " and boring .")], 5)[0]] == [w for w, _ in found[:5]]


def test_many_gaps_are_answered_as_one_by_one_and_once(model: MaskedLM) -> None:
    gaps = [("", ""), ("the ", " was dull ."), ("", "film"), ("a [MASK] of ", "!"), ("the " * 300, " was dull " * 300)]
    together = model.fill([*gaps, gaps[1]], 4)
    assert together[5] == together[1]
    assert model.forwarded == len(gaps)
    assert model.fill([*gaps, gaps[1]], 4) == together
    assert model.forwarded == len(gaps)
    for gap, answer in zip(gaps, together, strict=False):
        assert MaskedLM(model.folder).fill([gap], 4) == [answer]  # to the last bit
    assert model.fill([], 4) == []


def test_a_long_text_is_read_around_the_gap(model: MaskedLM) -> None:
    near = model.fill([("the film " * 20, " was dull ." * 20)], 5)
    assert near == model.fill([("the film " * 20, " was dull ." * 20)], 5)
    assert masked_lm._around(500, 501, 1000) == (437, 563)
    assert masked_lm._around(0, 1, 1000) == (0, 126)
    assert masked_lm._around(999, 1000, 1000) == (874, 1000)
    assert masked_lm._around(3, 4, 9) == (0, 9)


def test_spelling_finds_the_best_of_all_combinations(model: MaskedLM) -> None:
    tokenizer = model._tokenizer
    text, word = "the xyz was dull .", "xyz"
    coded = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logs = torch.log_softmax(model._model(**coded).logits[0], -1)
    assert tokenizer.tokenize(word) == ["x", "##y", "##z"]
    vocabulary = {piece: n for piece, n in tokenizer.get_vocab().items() if piece.removeprefix("##").isalpha()}
    begin = {piece: n for piece, n in vocabulary.items() if not piece.startswith("##")}
    more = {piece.removeprefix("##"): n for piece, n in vocabulary.items() if piece.startswith("##")}
    scores: dict[str, float] = {}
    for (a, i), (b, j), (c, k) in itertools.product(begin.items(), more.items(), more.items()):
        score = float(logs[2, i] + logs[3, j] + logs[4, k])
        scores[a + b + c] = max(score, scores.get(a + b + c, score))
    best = sorted(scores, key=lambda made: -scores[made])[:12]
    found = model.spell(text, 4, 7, 12)
    assert [scores[made] for made in found] == pytest.approx([scores[made] for made in best], abs=1e-4)
    assert len(set(found)) == 12


def test_spelling_keeps_what_is_no_letter_and_proposes_whole_words_for_one_piece(model: MaskedLM) -> None:
    text = "The film's plot was dull 10/10 日 ."
    assert all("'" in made and made.index("'") == len(made) - 2 for made in model.spell(text, 4, 10, 5))
    one = model.spell(text, 11, 15, 5)
    assert len(one) == 5
    assert all(len(made) > 1 or made in "ai" for made in one)
    assert model.spell(text, text.index("10"), text.index("10") + 2, 5) in ([], ["10"])
    assert model.spell(text, text.index("日"), text.index("日") + 1, 5) == []
    assert model.spell("", 0, 0, 5) == []
    assert model.spell("z" * 40, 0, 40, 5) == []


def test_building_is_done_once_seeded_and_all_or_nothing(tiny_model: Path, tmp_path: Path) -> None:
    texts, calls = reviews(40, 0), []
    settings = {**SMALL, "steps": 4}

    def build(out: str, progress=lambda done, total: calls.append((done, total)), **changes) -> dict:
        chosen = {"body": tiny_model, "texts": texts, "settings": settings, "progress": progress, **changes}
        return masked_lm_training.build(tmp_path / out, **chosen)

    torch.manual_seed(7)
    before = torch.get_rng_state()
    made = build("a")
    assert torch.equal(torch.get_rng_state(), before)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert made["held_out"] == {}
    assert build("a") == made
    assert len(calls) == 4
    build("b")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second
    other = build("b", settings={**settings, "seed": 1})
    assert masked_lm.fingerprint(other) != masked_lm.fingerprint(made)
    assert (tmp_path / "b" / "model.safetensors").read_bytes() != first
    assert masked_lm.fingerprint(build("b", texts=texts[:-1])) != masked_lm.fingerprint(made)

    def killed(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("c", killed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(ValueError, match="needs texts"):
        build("d", texts=[])
    with pytest.raises(ValueError, match=r"not found: model\.safetensors"):
        build("d", body=tmp_path)


def test_a_head_that_is_shipped_is_trained_on(masked_folder: Path, tmp_path: Path) -> None:
    held_out = reviews(60, 1)
    again = masked_lm_training.build(
        tmp_path / "again", body=masked_folder, texts=reviews(200, 0), held_out=held_out, settings={**SMALL, "steps": 0}
    )
    made = masked_lm.manifest(masked_folder)
    assert made is not None
    assert again["held_out"]["loss"] == pytest.approx(made["held_out"]["loss"], abs=1e-3)


def test_the_lexicon_finds_it_beside_itself_or_says_how_to_get_it(masked_folder: Path, tmp_path: Path) -> None:
    import shutil

    found = lexicon.minimal(tmp_path / "lexicon")
    assert found.parts == ("stopwords",)
    plain = found.fingerprint
    with pytest.raises(LexiconMissing, match=r"has no masked_lm .* get it with: temper fetch masked-lm"):
        _ = found.masked_lm
    with pytest.raises(LexiconMissing, match="temper fetch masked-lm"):
        found.fingerprint_for(["masked_lm"])
    shutil.copytree(masked_folder, tmp_path / "masked-lm")
    found = Lexicon(tmp_path / "lexicon")
    assert found.parts == ("stopwords", "masked_lm")
    assert found.fingerprint == found.fingerprint_for(["stopwords", "vectors"]) == plain
    made = masked_lm.manifest(masked_folder)
    assert made is not None
    assert found.fingerprint_for(["masked_lm"]) == f"{plain}+masked_lm:{masked_lm.fingerprint(made)}"
    assert found.masked_lm.fill([("the ", " was good .")], 1)
    with (tmp_path / "masked-lm" / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(LexiconMissing, match="temper fetch masked-lm"):
        _ = Lexicon(tmp_path / "lexicon").masked_lm


@pytest.mark.resources
@pytest.mark.slow
def test_the_one_that_was_built_is_as_good_as_its_docstring_says(resources) -> None:
    folder = masked_lm.beside(resources.cache / "lexicon")
    made = masked_lm.manifest(folder)
    if made is None:
        pytest.skip("not built (temper fetch masked-lm)")
    assert made["held_out"]["accuracy"] > 0.25
    words = [word for word, _ in MaskedLM(folder).fill([("the ", " was long and the acting was awful .")], 5)[0]]
    assert {"film", "movie"} <= set(words)
