"""Scores of a tagging model on one split: per sentence, per entity type, and per tag over the words.

Three tables of the Record come from the same predictions. `clean` holds strict entity counts per sentence, from which
the board's entity F1 is made. `entities` is seqeval's strict report. `tokens` is a plain classification report over the
words, O included; it is no entity score and is kept because it is often reported as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from training import loop, ner_metrics
from training.model import Classifier
from training.ner_metrics import Tags
from training.task import Example

AVERAGES = ("micro", "macro", "weighted")
COLUMNS = ["name", "precision", "recall", "f1", "support"]


def score(classifier: Classifier, name: str, examples: Sequence[Example]) -> dict[str, pd.DataFrame]:
    """The table `name`, one row a sentence, and for the test split (`clean`) also `entities` and `tokens`."""
    gold = [[classifier.labels[tag] for tag in example.tags] for example in examples]
    predicted = loop.predict_tags(classifier, examples)
    counts = [ner_metrics.span_counts(g, p) for g, p in zip(gold, predicted, strict=True)]
    frame = pd.DataFrame(counts, columns=["tp", "fp", "fn"])
    frame["words"] = [len(g) for g in gold]
    frame["correct_words"] = [sum(map(str.__eq__, g, p)) for g, p in zip(gold, predicted, strict=True)]
    frame.insert(0, "id", [example.id for example in examples])
    if name != "clean":
        return {name: frame}
    return {name: frame, "entities": entities(gold, predicted), "tokens": tokens(gold, predicted, classifier.labels)}


def entities(gold: Sequence[Tags], predicted: Sequence[Tags]) -> pd.DataFrame:
    """One row a type, then `micro avg`, `macro avg` and `weighted avg`: strict scores in 0..1 (0 where undefined)."""
    found = ner_metrics.entity_scores(gold, predicted)
    rows = found.types | {f"{kind} avg": getattr(found, kind) for kind in AVERAGES}
    return pd.DataFrame([{"name": name, **asdict(row)} for name, row in rows.items()], columns=COLUMNS).round(6)


def tokens(gold: Sequence[Tags], predicted: Sequence[Tags], labels: Sequence[str]) -> pd.DataFrame:
    """One row a tag, O included, then the averages, over all words: scikit-learn's classification report.

    Tags that neither side uses are left out, as that report does. The micro average is the share of right words.
    """
    right, given = [[tag for sentence in side for tag in sentence] for side in (gold, predicted)]
    used = [label for label in labels if label in {*right, *given}]
    each = np.array(precision_recall_fscore_support(right, given, labels=used, zero_division=0))
    rows = [(name, *values) for name, values in zip(used, each.T, strict=True)]
    for kind in AVERAGES:
        average = precision_recall_fscore_support(right, given, labels=used, average=kind, zero_division=0)
        rows.append((f"{kind} avg", *average[:3], len(right)))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"support": int}).round(6)
