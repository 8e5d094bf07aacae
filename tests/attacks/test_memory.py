from __future__ import annotations

from collections.abc import Sequence

from attacks.memory import Memory


class Model:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, questions: Sequence[str]) -> list[int]:
        self.calls.append(list(questions))
        return [len(question) for question in questions]


def test_only_new_questions_are_answered_each_once_and_in_the_order_asked() -> None:
    memory, model = Memory[str, int](10), Model()
    assert memory.answers(["a", "bb", "a"], model) == [1, 2, 1]
    assert memory.answers(["ccc", "a", "ccc"], model) == [3, 1, 3]
    assert memory.answers(["a", "bb"], model) == [1, 2]
    assert memory.answers([], model) == []
    assert model.calls == [["a", "bb"], ["ccc"]]


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    memory, model = Memory[str, int](2), Model()
    memory.answers(["a", "bb"], model)
    memory.answers(["a"], model)
    memory.answers(["ccc"], model)
    assert list(memory.known) == ["a", "ccc"]


def test_more_questions_than_are_kept_are_answered_all_the_same() -> None:
    memory, model = Memory[str, int](2), Model()
    memory.answers(["a"], model)
    assert memory.answers(["a", "bb", "ccc", "dddd", "a"], model) == [1, 2, 3, 4, 1]
    assert list(memory.known) == ["ccc", "dddd"]
