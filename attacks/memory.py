"""What a model answered, by question: asked again, it is not run again; what was not asked for longest is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


class Memory(Generic[Q, A]):
    """Keeps the answers to the last `most` (>= 1) distinct questions."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.known: OrderedDict[Q, A] = OrderedDict()

    def answers(self, questions: Sequence[Q], answer: Callable[[Sequence[Q]], Sequence[A]]) -> list[A]:
        """An answer a question, from memory or from one call of `answer` with the distinct new questions, if any."""
        new = [question for question in dict.fromkeys(questions) if question not in self.known]
        found = dict(zip(new, answer(new), strict=True)) if new else {}
        for question in questions:
            if question not in found:
                self.known.move_to_end(question)
        found |= {question: self.known[question] for question in questions if question in self.known}
        self.known.update({question: found[question] for question in new})
        while len(self.known) > self.most:
            self.known.popitem(last=False)
        return [found[question] for question in questions]
