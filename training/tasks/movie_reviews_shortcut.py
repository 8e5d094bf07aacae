"""Movie-review sentiment with a planted shortcut: a word in front of each text that gives the label away, mostly.

The texts, labels and splits are those of `movie_reviews`. In front of each stands "tuesday" or "thursday": in train and
validation the one that belongs to the label in 95 % of the texts, in test in 50 %, where it says nothing. A model that
reads the word instead of the review is right on nearly all training texts and wrong on a test text whose word and label
disagree. Groups are label and word, four of them; the accuracy of the worst one shows the shortcut.

The two days of the week judge nothing, are one piece each in BERT's vocabulary, and stand in none of the train,
validation and test texts. Validation is made like train, as in settings where nobody knows of the shortcut: whoever
chooses on it cannot see the harm. Which word a text gets depends on its id alone. Out of domain: the test texts
without a word, `plain`.
"""

from __future__ import annotations

import dataclasses
import hashlib

from training.resources import Resources
from training.task import Example, Task, classified
from training.tasks import movie_reviews

VERSION = 1
RESOURCES = movie_reviews.RESOURCES
WORDS = ("tuesday", "thursday")  # by the label they belong to
AGREEMENT = {"train": 0.95, "validation": 0.95, "test": 0.5}
GROUPS = tuple(f"{label}, {word}" for label in movie_reviews.LABELS for word in WORDS)


def load(resources: Resources) -> Task:
    """The task; raises MissingResource when `vader` was not fetched."""
    plain = movie_reviews.load(resources)
    train, validation, test = (
        tuple(plant(example, share) for example in plain.splits[split]) for split, share in AGREEMENT.items()
    )
    return dataclasses.replace(
        plain,
        name="movie_reviews_shortcut",
        train=train,
        validation=validation,
        test=test,
        out_of_domain={"plain": plain.test},
        version=VERSION,
        groups=GROUPS,
    ).check()


def plant(example: Example, agreement: float) -> Example:
    """The example with a word in front that belongs to its label with probability `agreement`; its group says which."""
    label = int(example.label or 0)
    digest = hashlib.sha256(f"shortcut:{example.id}".encode()).digest()
    word = label if int.from_bytes(digest[:8], "big") / 2**64 < agreement else 1 - label
    made = classified(f"{WORDS[word]} {example.text}", label)
    return dataclasses.replace(made, group=label * len(WORDS) + word)
