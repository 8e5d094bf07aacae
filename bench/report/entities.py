"""Entity scores of tagging runs on a terminal, and beside them the report over words that is often taken for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from bench.record import Record
from bench.store import Store

BASELINE = "baseline"
ARTICLE = (
    "The article reported F1 91.8 on validation and 91.9 on test, against 86.3 for its baseline, and a report over "
    "words with micro avg 0.973, macro avg 0.909, weighted avg 0.973 for 46,435 words."
)


def show(store: Store, spec_ids: Iterable[str], console: Console, *, words_too: bool = False) -> None:
    """Prints the entity scores of each tagging run's baseline, first seed; with `words_too` both reports, compared."""
    for record in (store.read(spec_id) for spec_id in spec_ids if store.has(spec_id)):
        if "entities" not in record.tables or record.spec["mitigation"] != BASELINE or record.spec["seed"] != 0:
            continue
        entities, tokens = (store.tables(record, name) for name in ("entities", "tokens"))
        name = f"{record.spec['task']} / {record.spec['model']} / {record.spec['tier']}, baseline, seed 0"
        if not words_too:
            console.print(_table(f"entities, strict: {name}", entities))
            continue
        console.print(name, style="bold", highlight=False)
        # below each other where the terminal is too narrow for both
        both = [_table("ours: entities, strict", entities), _table("theirs: words, O included", tokens)]
        console.print(Columns(both, padding=(0, 4)))
        for line in (ARTICLE, why_not(entities, tokens), _validation(record)):
            console.print(line, highlight=False, markup=False)


def why_not(entities: pd.DataFrame, tokens: pd.DataFrame) -> str:
    """Why the micro average over words is no entity F1, in one sentence with this run's numbers."""
    entity, word = _rows(entities)["micro avg"], _rows(tokens)["micro avg"]
    outside = _rows(tokens).get("O", {"support": 0})["support"]
    return (
        f"Why 0.973 is not an entity F1: the micro average over words (here {word['f1']:.3f}) is the share of words "
        f"with the right tag, and {outside:,} of {word['support']:,} are O, so a model that finds no entity at all "
        f"scores {outside / max(1, word['support']):.3f}, while an entity counts only with its exact first word, last "
        f"word and type (micro F1 here {entity['f1']:.3f})."
    )


def _rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["name"]): {str(key): value for key, value in row.items()} for row in table.to_dict("records")}


def _validation(record: Record) -> str:
    reached = record.summary.get("validation_score")
    return f"Entity F1 on validation: {'unknown' if reached is None else format(reached, '.3f')}."


def _table(title: str, rows: pd.DataFrame) -> Table:
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    made.add_column("", no_wrap=True)
    for heading in ("precision", "recall", "F1", "n"):
        made.add_column(heading, justify="right", no_wrap=True)
    for name, row in _rows(rows).items():
        if name == "micro avg":
            made.add_section()
        made.add_row(name, *(f"{row[column]:.3f}" for column in ("precision", "recall", "f1")), f"{row['support']:,}")
    return made
