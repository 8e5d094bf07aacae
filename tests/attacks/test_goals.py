"""Every goal on entity spans, on predictions made by hand, before any attack uses it."""

from __future__ import annotations

import numpy as np
import pytest

from attacks.goals import GOALS, goal_function, reached, score
from attacks.tagging_victim import Prediction, TaggingVictim

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
GOLD = ["B-PER", "I-PER", "O", "B-LOC", "O"]


def said(tags: str, sure: float = 0.8, **at: dict[str, float]) -> Prediction:
    """Tags with `sure` for each and the rest spread evenly; `at` w0={"B-LOC": 0.5, ...}: the whole row of a word."""
    names = tags.split()
    rows = np.full((len(names), len(LABELS)), (1 - sure) / (len(LABELS) - 1))
    for i, tag in enumerate(names):
        rows[i, LABELS.index(tag)] = sure
    for place, row in at.items():
        rows[int(place[1:])] = [row.get(label, 0.0) for label in LABELS]
    return Prediction(tuple(names), rows.astype(np.float32), LABELS)


@pytest.mark.parametrize(
    ("tags", "goals"),
    [
        ("B-PER I-PER O B-LOC O", ""),
        # the place is gone
        ("B-PER I-PER O O O", "untargeted drop"),
        # the person is another type: neither dropped nor invented
        ("B-LOC I-LOC O B-LOC O", "untargeted relabel"),
        # one more where there is none
        ("B-PER I-PER O B-LOC B-PER", "untargeted invent"),
        # the person in pieces of its type
        ("B-PER B-PER O B-LOC O", "untargeted split"),
        # pieces of two types are no split, and no relabelling of the whole either
        ("B-PER B-LOC O B-LOC O", "untargeted"),
        # too short, too long: wrong, but still predicted in part
        ("B-PER O O B-LOC O", "untargeted"),
        ("B-PER I-PER I-PER B-LOC O", "untargeted"),
        ("B-PER I-PER O B-LOC I-LOC", "untargeted"),
        # one word of another type: not the span
        ("B-LOC O O B-LOC O", "untargeted"),
        # a stray I- is no entity: the person is dropped, the last word invents nothing
        ("I-PER I-PER O B-LOC O", "untargeted drop"),
        ("B-PER I-PER O B-LOC I-PER", ""),
        # several at once
        ("O O B-PER B-PER O", "untargeted drop relabel invent"),
    ],
)
def test_what_a_prediction_reaches(tags: str, goals: str):
    assert {goal for goal in GOALS if reached(goal, GOLD, said(tags))} == set(goals.split())


def test_a_sentence_without_entities_can_only_get_one_invented():
    gold = ["O", "O"]
    assert [goal for goal in GOALS if reached(goal, gold, said("O B-LOC"))] == ["untargeted", "invent"]
    assert not [goal for goal in GOALS if reached(goal, gold, said("O I-LOC"))]
    assert score("untargeted", gold, said("O O", 0.8)) == pytest.approx(0.05 / 2)
    assert (
        score("drop", gold, said("O O"))
        == score("relabel", gold, said("O O"))
        == score("split", gold, said("O O"))
        == 0
    )


def test_the_empty_sentence_reaches_nothing():
    nothing = Prediction((), np.zeros((0, 5), dtype=np.float32), LABELS)
    assert [score(goal, [], nothing) for goal in GOALS] == [0.0] * 5


def test_scores_by_hand():
    certain = {"O": 1.0}
    before = said(
        "B-PER I-PER O B-LOC O",
        w0={"B-PER": 0.5, "O": 0.2, "B-LOC": 0.3},
        w1={"I-PER": 0.6, "O": 0.1, "I-LOC": 0.1, "B-PER": 0.2},
        w2={"O": 0.8, "I-PER": 0.1, "B-LOC": 0.1},
        w3={"B-LOC": 0.9, "O": 0.05, "B-PER": 0.05},
        w4=certain,
    )
    # the person: 0.5 * 0.6 and then not I-PER again, 0.9
    assert score("untargeted", GOLD, before) == pytest.approx((1 - 0.27) / 2)
    # the person all O: 0.2 * 0.1 = 0.02; the place: 0.05
    assert score("drop", GOLD, before) == pytest.approx(0.05 / 2)
    # the person as a place: 0.3 * 0.1; the place as a person: 0.05
    assert score("relabel", GOLD, before) == pytest.approx(0.05 / 2)
    assert score("invent", GOLD, before) == pytest.approx(0.1 / 2)
    # B-PER twice: 0.5 * 0.2; the place has one word
    assert score("split", GOLD, before) == pytest.approx(0.1 / 2)


@pytest.mark.parametrize("goal", GOALS)
def test_reaching_the_goal_never_scores_below_not_reaching_it(goal: str):
    rng = np.random.default_rng(0)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(2000):
        rows = rng.dirichlet([0.3] * 5, size=5).astype(np.float32)
        tags = tuple(LABELS[i] for i in rows.argmax(1)) if rng.random() < 0.5 else tuple(rng.choice(LABELS, 5))
        one = Prediction(tags, rows, LABELS)
        scores[reached(goal, GOLD, one)].append(score(goal, GOLD, one))
    assert min(scores[False]) >= 0
    assert max(scores[False]) <= 0.5 <= min(scores[True])
    assert max(scores[True]) <= 1


def test_the_score_rises_when_the_gold_tags_get_less_likely():
    for goal, tag in (("drop", "O"), ("relabel", "B-PER"), ("untargeted", "I-LOC")):
        rising = [
            score(goal, GOLD, said(" ".join(GOLD), 0.99, w3={"B-LOC": 1 - p, tag: p})) for p in (0.1, 0.2, 0.4, 0.45)
        ]
        assert rising == sorted(rising)
        assert rising[-1] > rising[0] + 0.1


def test_labels_that_a_model_lacks_have_no_chance():
    one = Prediction(("O",), np.ones((1, 1), dtype=np.float32), ("O",))
    assert score("untargeted", ["B-PER"], one) == 1.0  # surely not predicted, and reached
    assert score("drop", ["B-PER"], one) == 1.0
    assert score("relabel", ["B-PER"], one) == 0.0


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="unknown goal 'drpo'; allowed: untargeted, drop"):
        reached("drpo", GOLD, said("O O O O O"))
    with pytest.raises(ValueError, match="5 gold tags but 1 predicted"):
        score("drop", GOLD, said("O"))
    with pytest.raises(ValueError, match="unknown goal"):
        goal_function(TaggingVictim(lambda _: [], LABELS), "suppress")
