"""The attack stages of a tagging cell: every tagging recipe on the same sentences, scored by strict entity F1.

There is one mode, `tags`, at temperature 1: a likelihood summed over words, nearly all of them O, would fit a
temperature to the words without entities, so none is fitted. That probabilities may hide from an attack is seen by the
sweep (sweep.py), which attacks at other temperatures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attacks import gazetteer, tagging_engine
from attacks.entities import spans
from attacks.gazetteer import Gazetteer
from attacks.tagged import TaggedOutcome, TaggedSample
from attacks.tagging_victim import Prediction, TaggingVictim, Words, span_prediction, token_prediction
from bench.keys import attack_key
from bench.metrics import TAGS
from bench.stages import Cell
from bench.work import Journal, subset
from training import registry, span_head
from training.model import Classifier


def attacked_samples(cell: Cell) -> list[TaggedSample]:
    """The sentences every arm is attacked on: the first of the test split's fixed order."""
    chosen = subset(cell.task.test, cell.spec.sizes.attacked)
    return [TaggedSample(e.id, e.words, tuple(cell.task.labels[tag] for tag in e.tags)) for e in chosen]


def known_names(cell: Cell) -> Gazetteer:
    """The names of the training sentences; the same for every arm, whatever share of the labels it was given."""
    chosen = subset(cell.task.train, cell.spec.sizes.train)
    return gazetteer.from_sentences((e.words, [cell.task.labels[tag] for tag in e.tags]) for e in chosen)


def victim(classifier: Classifier, temperature: float = 1.0) -> TaggingVictim:
    """The fine-tuned model as the attacker sees it: token head or span head, logits divided by `temperature` (> 0)."""
    head = _token_head if classifier.span_width is None else _span_head
    return TaggingVictim(lambda sentences: head(classifier, sentences, temperature), classifier.labels)


def _token_head(classifier: Classifier, sentences: Sequence[Words], temperature: float) -> list[Prediction]:
    return [token_prediction(logits, classifier.labels, temperature) for logits in classifier.word_logits(sentences)]


def _span_head(classifier: Classifier, sentences: Sequence[Words], temperature: float) -> list[Prediction]:
    """Decisions as `Classifier.tags` makes them, and the scores of the same spans, from one forward pass."""
    coded = classifier._coded(sentences)
    types, labels, width = span_head.types_of(classifier.labels), classifier.labels, classifier.span_width or 1
    found: dict[int, Prediction] = {}
    for chosen, output in classifier._forward(coded["input_ids"]):
        for row, index in enumerate(chosen):
            pieces, count = coded.word_ids(index), len(sentences[index])
            scores = output[row].reshape(-1, width, output.shape[-1])[: len(pieces)]
            tags = span_head.decode(scores, pieces, count, labels)
            first = span_head.first_pieces(pieces)
            ends = [(a, b) for a in first for b in first if 0 <= first[b] - first[a] < width]
            rows = np.array([scores[first[a], first[b] - first[a]] for a, b in ends]).reshape(-1, 1 + len(types))
            places = np.array(ends, dtype=int).reshape(-1, 2)
            found[index] = span_prediction(tags, places, rows / temperature, types, labels)
    return [found[index] for index in range(len(sentences))]


def attack(cell: Cell, recipe: str) -> tuple[list[TaggedOutcome], dict[str, Any]]:
    """Attacks the fixed sample; continues where a killed run stopped."""
    spec, samples = cell.spec, attacked_samples(cell)

    def make(folder: Path) -> dict[str, Any]:
        outcomes = attack_sentences(cell, recipe, samples, 1.0, folder / "outcomes.jsonl", f"{recipe}:{TAGS}")
        still_fool(cell, outcomes)
        module, names = registry.load("attacks.recipes", recipe), known_names(cell)
        return tagging_engine.fingerprint(module, cell.lexicon(), names, spec.budget_per_word, spec.goal, spec.regime)

    key = attack_key(spec, recipe, TAGS)
    folder, fingerprint = cell.work.run(f"attack-{recipe}-{TAGS}", key, make, resumable=True)
    by_id = Journal(folder / "outcomes.jsonl", TaggedOutcome.from_dict).finished
    return [by_id[sample.id] for sample in samples], fingerprint


def attack_sentences(
    cell: Cell, recipe: str, samples: Sequence[TaggedSample], at: float, path: Path, stage: str, *,
    seed: int | None = None, budget: int | None = None,
) -> list[TaggedOutcome]:  # fmt: skip
    """One outcome per sample at the temperature `at`, each written to `path` at once; those in there are kept."""
    journal = Journal(path, TaggedOutcome.from_dict, lambda done: cell.tick(stage, done, len(samples)))
    return tagging_engine.attack(
        victim(cell.classifier, at),
        samples,
        registry.load("attacks.recipes", recipe),
        lexicon=cell.lexicon(),
        gazetteer=known_names(cell),
        budget_per_word=budget or cell.spec.budget_per_word,
        seed=cell.spec.seed if seed is None else seed,
        goal=cell.spec.goal,
        regime=cell.spec.regime,
        finished=journal.finished,
        on_outcome=journal.append,
    )


def still_fool(cell: Cell, outcomes: Sequence[TaggedOutcome]) -> None:
    """Raises RuntimeError unless every stored success fools a checkpoint that is opened afresh.

    The victim of the attack remembers what it said; this one answers anew, so luck with a random answer does not count.
    """
    fooled = [o for o in outcomes if o.status == "success"]
    if not fooled:
        return
    said = cell.open_checkpoint().tags([o.perturbed or () for o in fooled])
    weak = sum(spans(o.perturbed_gold or ()) == spans(tags) for o, tags in zip(fooled, said, strict=True))
    if weak:
        raise RuntimeError(f"{weak} of {len(fooled)} stored adversarial sentences do not fool the reloaded checkpoint")


def outcome_table(outcomes: Sequence[TaggedOutcome]) -> pd.DataFrame:
    """One row per attacked sentence. `tp`, `fp`, `fn`: strict entity counts under attack, unknown for an error.

    Words and tags are joined by spaces, so that the table can be scored again without the Work folder. `label`,
    `p_before` and `p_after`, which tables of texts with one label have, are unknown.
    """

    def joined(row: Sequence[str] | None) -> str | None:
        return None if row is None else " ".join(row)

    rows: list[dict[str, Any]] = []
    for o in outcomes:
        hits, invented, missed = o.counts or (None, None, None)
        rows.append(
            {"id": o.id, "status": o.status, "text": joined(o.words), "perturbed": joined(o.perturbed)}
            | {"gold": joined(o.gold), "predicted": joined(o.predicted)}
            | {"perturbed_gold": joined(o.perturbed_gold), "perturbed_predicted": joined(o.perturbed_predicted)}
            | {"tp": hits, "fp": invented, "fn": missed, "label": None, "p_before": None, "p_after": None}
            | {"queries": o.queries, "words": len(o.words), "words_changed": o.words_changed}
            | {"seconds": o.seconds, "error": o.error}
        )
    return pd.DataFrame(rows)


def attack_all(
    cell: Cell, walk: Callable[[str, Callable[[], Any]], Any], tables: dict[str, pd.DataFrame], prints: dict[str, Any]
) -> dict[str, list[TaggedOutcome]]:
    """Every recipe of the cell as a stage `attack:<recipe>:tags`; fills in the Record's tables and fingerprints.

    Returns recipe -> outcomes, of those that ran.
    """
    outcomes = {}
    for recipe in cell.spec.recipes:
        found = walk(f"attack:{recipe}:{TAGS}", functools.partial(attack, cell, recipe))
        if found is not None:
            tables[f"attack:{recipe}:{TAGS}"] = outcome_table(found[0])
            prints[f"recipe:{recipe}"] = found[1]
            outcomes[recipe] = found[0]
    return outcomes
