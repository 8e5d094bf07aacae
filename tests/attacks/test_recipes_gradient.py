"""The recipes that follow gradients: on a small victim that reads one word, and on a real fine-tuned one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from attacks.engine import attack
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.outcome import Outcome, Sample
from attacks.recipes import embedding_pgd, hotflip
from attacks.victim import Victim
from attacks.white_box import WhiteBox
from tests.attacks.conftest import SAMPLES, count_words, opened, opened_on_films, right_ones

RECIPES = ("hotflip", "embedding_pgd")
LENGTH = 48
TEN = tuple(
    Sample(f"ten{i}", f"the {('movie', 'film')[i % 2]} was {word} and the plot was not.", i % 2)
    for i, word in enumerate(("boring", "dull", "awful", "bad", "good") * 2)
)
ODD = (
    *SAMPLES,
    Sample("unicode", "Un film très bad 日本 \u202eх", 1),
    Sample("capitals", "BORING Film, Terribly BAD", 1),
)


@pytest.fixture(scope="module")
def victim(tiny_model: Path) -> Victim:
    """It calls texts about a movie 0 and texts about a film 1, which are synonyms to the small lexicon."""
    words = ("boring", "dull", "awful", "bad", "good", "very", "really", "great")
    rng = random.Random(0)
    texts = [(f"the {('movie', 'film')[i % 2]} was {' '.join(rng.sample(words, 2))}", i % 2) for i in range(256)]
    made = opened(tiny_model, texts, 2e-3, 3, LENGTH)
    assert (made.logits([s.text for s in TEN]).argmax(axis=1) == [s.label for s in TEN]).all()
    return made


@pytest.fixture
def run(victim: Victim, small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch):
    # in this lexicon's twenty random vectors synonyms come out at 0.79 or so
    monkeypatch.setattr(hotflip, "MIN_COSINE", 0.5)

    def attacked(recipe: str, samples: Sequence[Sample] = TEN, **options) -> list[Outcome]:
        settings = {"lexicon": small_lexicon, "budget_per_word": 50, "seed": 0, "of": victim, **options}
        return attack(settings.pop("of"), samples, recipe, **settings)

    return attacked


def test_hotflip_swaps_the_word_that_decides(run, victim: Victim) -> None:
    outcomes = run("hotflip")
    fallen = [outcome for outcome in outcomes if outcome.status == "success"]
    assert len(fallen) >= 5
    for outcome in fallen:
        assert victim.logits([outcome.perturbed])[0].argmax() != outcome.label
        pairs = [(a, b) for a, b in zip(outcome.text.split(), outcome.perturbed.split(), strict=True) if a != b]
        assert 1 <= len(pairs) == outcome.words_changed <= hotflip.MAX_WORDS
        assert all(victim.white_box.one_piece(new.strip(".")) is not None for _, new in pairs)
        assert ("movie", "film") in pairs or ("film", "movie") in pairs


def test_hotflip_counts_gradients_as_queries(run, victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[str] = []
    plain = WhiteBox.swap_losses

    def counted(box: WhiteBox, text: str, swaps, label: int):
        gradients.append(text)
        return plain(box, text, swaps, label)

    monkeypatch.setattr(WhiteBox, "swap_losses", counted)
    asked: list[str] = []

    def predict(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return victim.predict(texts)

    outcome = run("hotflip", TEN[:1], of=Victim(predict, white_box=victim.white_box))[0]
    assert gradients[0] == TEN[0].text
    assert outcome.queries == len(gradients) + len(asked)


def test_pgd_finds_a_point_in_the_ball_and_changes_no_word(run, victim: Victim, monkeypatch) -> None:
    seen: list[tuple[torch.Tensor, int]] = []
    plain = WhiteBox.gradient

    def spied(box: WhiteBox, embeddings: torch.Tensor, label: int):
        seen.append((embeddings.clone(), label))
        return plain(box, embeddings, label)

    monkeypatch.setattr(WhiteBox, "gradient", spied)
    monkeypatch.setattr(embedding_pgd, "RADIUS", 1.0)
    box, fallen = victim.white_box, 0
    for sample in TEN:
        seen.clear()
        (outcome,) = run("embedding_pgd", [sample])
        pieces = box.pieces(sample.text)
        shifts = torch.cat([embeddings for embeddings, _ in seen]) - box.embed(pieces.ids)
        assert shifts.norm(dim=2).max() <= box.mean_norm * (1 + 1e-5)
        assert not shifts[:, pieces.special].any()
        assert outcome.queries == 1 + len(seen)
        assert not shifts[0].any()  # the first start is the text itself
        if outcome.status == "success":
            fallen += 1
            assert (outcome.perturbed, outcome.words_changed) == (sample.text, 0)
            assert np.argmax(outcome.probabilities_after) != sample.label
            there = torch.softmax(box.logits(seen[-1][0])[0], dim=0)
            np.testing.assert_allclose(outcome.probabilities_after, there, atol=1e-6)
    assert fallen >= 1


def test_pgd_with_no_room_moves_nothing(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_pgd, "RADIUS", 0.0)
    assert {outcome.status for outcome in run("embedding_pgd")} == {"failed"}


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_larger_ball_holds_the_smaller_one(run, monkeypatch: pytest.MonkeyPatch, norm: str) -> None:
    monkeypatch.setattr(embedding_pgd, "NORM", norm)
    fallen = []
    for radius in (0.02, 1.0):
        monkeypatch.setattr(embedding_pgd, "RADIUS", radius)
        fallen.append(sum(outcome.status == "success" for outcome in run("embedding_pgd")))
    assert fallen[0] <= fallen[1]
    assert fallen[1] == len(TEN)


def test_sharper_logits_hide_nothing(run, victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A victim whose softmax is saturated falls exactly where the plain one does."""
    monkeypatch.setattr(embedding_pgd, "RADIUS", 0.8)
    box = victim.white_box

    class Sharp(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.get_input_embeddings = box.module, box.module.get_input_embeddings

        def forward(self, **given):
            output = self.inner(**given)
            output.logits = output.logits * 1000
            return output

    sharp = Victim(lambda texts: victim.predict(texts) * 1000, white_box=WhiteBox(Sharp(), box.tokenizer, LENGTH))
    for recipe in RECIPES:
        plain, hidden = run(recipe), run(recipe, of=sharp)
        assert [o.status for o in plain] == [o.status for o in hidden]
        assert "success" in {o.status for o in plain}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_victim_without_gradients_is_refused_before_any_attack(run, recipe: str) -> None:
    with pytest.raises(ValueError, match=f"'{recipe}' needs the victim's gradients"):
        run(recipe, of=Victim(count_words))


def test_what_the_recipes_need_and_count(victim: Victim, stopword_lexicon: Lexicon) -> None:
    assert getattr(hotflip, "RANKED", True)
    assert not embedding_pgd.RANKED
    with pytest.raises(LexiconMissing, match="has no"):
        attack(victim, TEN[:1], "hotflip", lexicon=stopword_lexicon, budget_per_word=5, seed=0)


@pytest.mark.resources
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_real_victim_falls_at_least_once_in_ten(recipe: str, real_victim, full_lexicon: Lexicon) -> None:
    victim, reviews = real_victim
    outcomes = attack(victim, reviews, recipe, lexicon=full_lexicon, budget_per_word=50, seed=0)
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert sum(outcome.status == "success" for outcome in outcomes) >= 1


@pytest.fixture(scope="module")
def real_victim(resources) -> tuple[Victim, list[Sample]]:
    """bert-tiny fine-tuned on film reviews, and ten short ones that it gets right."""
    victim, reviews = opened_on_films(resources, passes=1, length=LENGTH)
    return victim, right_ones(victim, [one for one in reviews if 8 <= len(one.text.split()) <= 25])[:10]
