"""Named entities (person, organisation, location) in loan agreements filed with the SEC.

Source: J.C. Salinas Alvarado, K. Verspoor, T. Baldwin, "Domain Adaption of Named Entity Recognition to
Support Credit Risk Assessment", ALTA 2015, as packed in OpenAI's `evals` (ner_finance, MIT). Parties in a
contract ("Borrower", "Lender") are tagged PERSON, so the words themselves give much away.

The package lists each sentence's entities in order. They are found again from left to right as whole words; all
1,164 are found, and in no sentence could the list be placed in a second way. The text comes with punctuation
already split off by spaces, so words are what stands between spaces, and no entity has punctuation glued to it.
Metric: strict entity F1 (training/ner_metrics.py).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from training.errors import UserError
from training.resources import Resources
from training.task import Example, Task, split_by_text, tagged, without_duplicates

VERSION = 1
RESOURCES = ("evals",)
TYPES = ("LOCATION", "ORGANIZATION", "PERSON")
LABELS = ("O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BI"))
FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}
NONE_FOUND = "No entities found"
_ENTITY = re.compile(r"([^,\[\]]+?) - (PERSON|ORGANIZATION|LOCATION)")


def load(resources: Resources) -> Task:
    """The task; raises MissingResource when `evals` was not fetched, UserError when an entity does not fit
    its sentence."""
    examples, repeats, _ = without_duplicates(_read(resources.path("evals") / "ner_finance" / "samples.jsonl"))
    splits: dict[str, list[Example]] = {name: [] for name in FRACTIONS}
    for example, split in zip(examples, split_by_text((e.text for e in examples), FRACTIONS), strict=True):
        splits[split].append(example)
    return Task(
        name="ner_finance",
        kind="tagging",
        labels=LABELS,
        train=tuple(splits["train"]),
        validation=tuple(splits["validation"]),
        test=tuple(splits["test"]),
        out_of_domain={},
        licence="MIT (evals); upstream corpus by Salinas Alvarado et al.",
        source="evals 3.0.1.post1, registry/data/ner_finance",
        version=VERSION,
        notes=(f"{repeats} repeated sentences dropped",),
    ).check()


def _read(path: Path) -> list[Example]:
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = json.loads(line)
        words = row["input"][-1]["content"].split()
        tags = bio(words, row["ideal"], f"{path.name} line {number}")
        examples.append(tagged(words, [LABELS.index(tag) for tag in tags]))
    return examples


def bio(words: list[str], listed: str, where: str) -> list[str]:
    """BIO tags of `words` from a list like "[Bank - ORGANIZATION, Borrower - PERSON]". Raises UserError when
    one is unplaced."""
    tags = ["O"] * len(words)
    entities = [] if listed == NONE_FOUND else _ENTITY.findall(listed)
    if listed != NONE_FOUND and "[" + ", ".join(f"{n.strip()} - {k}" for n, k in entities) + "]" != listed:
        raise UserError(f"{where}: the entity list '{listed[:80]}' cannot be read")
    position = 0
    for name, kind in entities:
        parts = name.split()
        while words[position : position + len(parts)] != parts:
            position += 1
            if position >= len(words):
                raise UserError(f"{where}: the entity '{name.strip()}' does not stand in the sentence as whole words")
        tags[position : position + len(parts)] = [f"B-{kind}", *[f"I-{kind}"] * (len(parts) - 1)]
        position += len(parts)
    return tags
