"""The trigram model against a corpus small enough to work by hand, and its place in the lexicon."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from attacks import lexicon, ngrams
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.ngrams import MARKS, Ngrams
from tests.attacks.conftest import REVIEWS

END, UNKNOWN = MARKS[1], MARKS[2]

# "a b" twice and "a c" once. Five words can be predicted: a, b, c, the end, the unknown one.
# Singles, after how many different words: a 1 (the start), b 1, c 1, end 2; n1 = 3, n2 = 1, D = 3/5.
SINGLE = {"a": (1 - 0.6 + 0.6 * 4 / 5) / 5, END: (2 - 0.6 + 0.6 * 4 / 5) / 5, UNKNOWN: 0.6 * 4 / 5 / 5}
# Pairs: (start, a) 3 occurrences, the other four after 1 word each; n2 = 0, so D = 1/2.
FIRST_A = (3 - 0.5 + 0.5 * 1 * SINGLE["a"]) / 3
A_B = (1 - 0.5 + 0.5 * 2 * SINGLE["a"]) / 2  # b is as frequent as a
B_END = (1 - 0.5 + 0.5 * 1 * SINGLE[END]) / 1
# Triples: (start a b) 2, (start a c) 1, (a b end) 2, (a c end) 1; n1 = n2 = 2, D = 1/3.
START_A_B = (2 - 1 / 3 + 1 / 3 * 2 * A_B) / 3
START_A_C = (1 - 1 / 3 + 1 / 3 * 2 * A_B) / 3
A_B_END = (2 - 1 / 3 + 1 / 3 * 1 * B_END) / 2


@pytest.fixture(scope="module")
def worked() -> Ngrams:
    return ngrams.fit(["a b", "A b!", "a, c"])


def test_every_order_is_the_one_worked_by_hand(worked: Ngrams) -> None:
    expected = {
        ("a", ()): FIRST_A,
        ("b", ("a",)): START_A_B,
        ("c", ("a",)): START_A_C,
        (END, ("a", "b")): A_B_END,
        (END, ("c", "b")): B_END,  # the pair was never seen before a third word
        ("b", ("b", "a")): A_B,
        ("a", ("zz", "zz")): SINGLE["a"],
        ("zz", ("zz", "zz")): SINGLE[UNKNOWN],
    }
    for (word, before), probability in expected.items():
        assert math.exp(worked.log_probability(word, before)) == pytest.approx(probability, rel=1e-12)


def test_perplexity_is_the_inverse_geometric_mean_with_the_end(worked: Ngrams) -> None:
    assert worked.perplexity("A, b.") == pytest.approx((FIRST_A * START_A_B * A_B_END) ** (-1 / 3), rel=1e-12)
    nothing = math.exp(-worked.log_probability(END))
    assert worked.perplexity("") == worked.perplexity(" ?! \n") == pytest.approx(nothing, rel=1e-12)
    assert worked.perplexity("a b") < worked.perplexity("a c") < worked.perplexity("b a")
    assert worked.perplexity("a c") < worked.perplexity("x y")


@pytest.mark.parametrize("before", [(), ("the",), ("the", "movie"), ("was", "good"), ("zz", "movie"), ("zz", "zz")])
def test_probabilities_over_the_vocabulary_sum_to_one(before: tuple[str, ...]) -> None:
    model = ngrams.fit([*REVIEWS, "The movie was, in a word, good.", "good good good"])
    logs = [model.log_probability(word, before) for word in model.words[1:]]
    assert math.fsum(map(math.exp, logs)) == pytest.approx(1, abs=1e-12)
    assert max(logs) < 0
    assert all(map(math.isfinite, logs))


def test_what_is_around_a_place_is_what_a_swap_changes() -> None:
    model = ngrams.fit([*REVIEWS, "A good movie was long.", "the long film was good"])
    words = ["the", "movie", "was", "good"]
    for place in range(len(words)):
        swapped = [*words[:place], "long", *words[place + 1 :]]
        whole = sum(model.log_probabilities(swapped)) - sum(model.log_probabilities(words))
        part = model.log_probability_around(swapped, place) - model.log_probability_around(words, place)
        assert part == pytest.approx(whole, abs=1e-9)


def test_a_single_word_is_a_corpus_and_no_word_is_none() -> None:
    model = ngrams.fit(["once"])
    assert math.fsum(math.exp(model.log_probability(word)) for word in model.words[1:]) == pytest.approx(1)
    with pytest.raises(ValueError, match="no text has a word"):
        ngrams.fit(["", "!?"])


def test_saving_and_order_of_the_texts_change_nothing(tmp_path: Path) -> None:
    for name, texts in (("a", REVIEWS), ("b", REVIEWS[::-1])):
        ngrams.save(ngrams.fit(texts), tmp_path / name)
    for file in ("words.txt", "grams.npy"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    model, again = ngrams.fit(REVIEWS), ngrams.load(tmp_path / "a")
    assert again.words == model.words
    assert again.perplexity("The plot was odd") == model.perplexity("The plot was odd")
    assert again.grams.dtype == np.int32


def test_tokens_keep_apostrophes_and_hyphens_inside_words() -> None:
    assert ngrams.tokens("It’s 'odd', don't -- a well-made 2nd\tTRY_.") == [
        "it's", "odd", "don't", "a", "well-made", "2nd", "try_",
    ]  # fmt: skip


def test_the_lexicon_holds_it_and_says_where_it_comes_from(small_lexicon: Lexicon, inputs, tmp_path: Path) -> None:
    assert small_lexicon.ngrams.perplexity("The movie was good.") < small_lexicon.ngrams.perplexity("Good was the it.")
    without = lexicon.build(tmp_path / "without", **{**inputs, "texts": ()})
    other = lexicon.build(tmp_path / "other", **{**inputs, "texts": [*REVIEWS, "Another text."]})
    assert len({small_lexicon.fingerprint, without.fingerprint, other.fingerprint}) == 3
    assert without.senses("movie", "n") == ["film", "picture"]
    with pytest.raises(LexiconMissing, match=r"has no ngrams.*temper fetch"):
        _ = without.ngrams
    shutil.rmtree(other.folder / "ngrams")
    with pytest.raises(LexiconMissing, match="missing or damaged"):
        Lexicon(other.folder)


@pytest.mark.resources
def test_it_is_fitted_on_training_texts_alone(resources, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import sources

    given: dict[str, object] = {}
    monkeypatch.setattr(lexicon, "build", lambda _, **inputs: given.update(inputs))
    sources.build_lexicon(resources)
    task = sources.open_task("movie_reviews", resources)
    assert list(given["texts"]) == [example.text for example in task.train]
    assert not set(given["texts"]) & {example.text for example in (*task.validation, *task.test)}


@pytest.mark.resources
def test_it_finds_unseen_reviews_likelier_than_the_same_words_mixed(resources) -> None:
    import random

    from bench import sources

    task = sources.open_task("movie_reviews", resources)
    model = ngrams.fit([example.text for example in task.train])
    better = 0
    for example in task.validation[:200]:
        words = ngrams.tokens(example.text)
        mixed = random.Random(0).sample(words, len(words))
        better += model.perplexity(" ".join(words)) < model.perplexity(" ".join(mixed))
    assert better > 180
