"""The planted shortcut: shares, groups and determinism."""

from __future__ import annotations

import numpy as np
import pytest

from training.task import classified
from training.tasks import movie_reviews, movie_reviews_shortcut

GROUPS = ("negative, tuesday", "negative, thursday", "positive, tuesday", "positive, thursday")


def test_the_word_and_the_group_say_the_same() -> None:
    assert movie_reviews_shortcut.GROUPS == GROUPS
    for label in (0, 1):
        own, other = ("tuesday", "thursday") if label == 0 else ("thursday", "tuesday")
        example = classified("A fine Film .", label)
        always, never = (movie_reviews_shortcut.plant(example, share) for share in (1.0, 0.0))
        assert always.text == f"{own} A fine Film ."
        assert never.text == f"{other} A fine Film ."
        assert GROUPS[always.group or 0] == f"{movie_reviews.LABELS[label]}, {own}"
        assert GROUPS[never.group or 0] == f"{movie_reviews.LABELS[label]}, {other}"
        assert len({example.id, always.id, never.id}) == 3
        assert always.label == never.label == label


def test_the_word_depends_on_the_text_alone_and_meets_its_share() -> None:
    examples = [classified(f"text number {i}", i % 2) for i in range(2000)]
    made = [movie_reviews_shortcut.plant(example, 0.95) for example in examples]
    assert made[7] == movie_reviews_shortcut.plant(examples[7], 0.95)
    assert np.mean([example.group in (0, 3) for example in made]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.resources
def test_the_task_is_movie_reviews_with_words_in_front(resources) -> None:
    plain, task = movie_reviews.load(resources), movie_reviews_shortcut.load(resources)
    assert task.name == "movie_reviews_shortcut"
    assert task.groups == GROUPS
    for split, share in (("train", 0.95), ("validation", 0.95), ("test", 0.5)):
        pairs = list(zip(plain.splits[split], task.splits[split], strict=True))
        assert all(now.text.split(" ", 1)[1] == before.text and now.label == before.label for before, now in pairs)
        agreeing = np.mean([now.group in (0, 3) for _, now in pairs])
        assert agreeing == pytest.approx(share, abs=0.02)
        found = {word for before, _ in pairs for word in before.text.lower().split()}
        assert not found & set(movie_reviews_shortcut.WORDS)
    assert {example.group for example in task.test} == {0, 1, 2, 3}
    assert task.out_of_domain == {"plain": plain.test}
    again = movie_reviews_shortcut.load(resources)
    assert again.fingerprint == task.fingerprint != plain.fingerprint
