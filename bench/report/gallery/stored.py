"""Which text of which runs is drawn, and its attributions as the records hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.board import Board
from bench.report.page.source import Columns, Tables, seed_of
from bench.store import Store
from explain.pictures.canvas import Scored
from explain.pictures.matrices import entity_name
from training.errors import UserError

CLEAN, ATTACKED = "clean", "attacked"
CONTROL, PREFERRED = "random", "integrated_gradients"
TEXTS, ENTITIES, HIT_ENTITIES = "attributions", "entity_attributions", "attacked_entities"


@dataclass(frozen=True)
class Words:
    """A stored attribution: scores in logits, positive for the class explained."""

    words: tuple[str, ...]
    scores: tuple[float, ...]
    dropped: int = 0


@dataclass
class View:
    """One text as the model of one arm sees it, by explainer.

    `entities`: for a tagger, by explainer and entity, and `attacked_entities` of those in its adversarial version.
    `says`: the class explained, where it is known.
    """

    arm: str
    spec_id: str
    says: str = ""
    clean: dict[str, Scored] = field(default_factory=dict)
    attacked: dict[str, Scored] = field(default_factory=dict)
    entities: dict[str, dict[str, Scored]] = field(default_factory=dict)
    attacked_entities: dict[str, dict[str, Scored]] = field(default_factory=dict)

    def pair(self, explainer: str) -> tuple[str, Scored, Scored] | None:
        """What is explained, in the text and in its adversarial version; of a tagger the first entity it has in both.

        None where no stored attack on this text succeeded, or none left an entity's words alone.
        """
        for name, after in self.attacked_entities.get(explainer, {}).items():
            return f"the entity {name}", self.entities[explainer][name], after
        if explainer in self.clean and explainer in self.attacked:
            return self.says or "the class predicted before", self.clean[explainer], self.attacked[explainer]
        return None


@dataclass
class Chosen:
    """One text and the arms' views of it in the order of the board. `name` begins its files' names, `about` says which
    it is, `notes` what could not be had."""

    name: str
    text: str
    about: str
    views: list[View]
    notes: list[str] = field(default_factory=list)

    @property
    def tagging(self) -> bool:
        return any(view.entities for view in self.views)

    def explainer(self, wanted: str | None) -> str:
        """The one asked for, else integrated gradients, else the first that is no control. Raises UserError."""
        known = list(dict.fromkeys(name for view in self.views for name in (*view.entities, *view.clean)))
        if wanted is not None and wanted not in known:
            raise UserError(f"there is no attribution of this text by '{wanted}'; there are {', '.join(known)}.")
        others = [name for name in known if name != CONTROL]
        return wanted or (PREFERRED if PREFERRED in known else (others or known)[0])


@dataclass(frozen=True)
class Arms:
    """The runs that are drawn: one seed of a board's arms, by their labels."""

    board: Board
    seed: int
    tables: dict[str, Tables]


def open_arms(
    store: Store,
    boards: Sequence[Board],
    wanted: str | None = None,
    labels: Sequence[str] = (),
    seed: int | None = None,
) -> Arms:
    """The arms called `labels` (all where none is named) of the board whose name holds `wanted`, of `seed`.

    Without `wanted` the first board with attributions is taken, without `seed` the lowest seed that has some. Raises
    UserError where there is no such board, arm or seed; arms without attributions are there all the same.
    """
    found = [board for board in boards if wanted is None or wanted in board.name]
    exact = [board for board in found if board.name == wanted]
    if wanted is not None and len(exact or found) != 1:
        names = "; ".join(board.name for board in found or boards)
        raise UserError(f"'{wanted}' is in the names of {len(found)} boards, give one of these whole: {names}.")
    opened = [arms for board in exact or found for arms in _seeds(store, board, labels, seed)]
    if not opened:
        known = dict.fromkeys(arm.label for board in exact or found for arm in board.arms)
        what = f" of seed {seed}" if seed is not None else ""
        raise UserError(f"no run of {', '.join(labels) or 'any mitigation'}{what}; there are {', '.join(known)}.")
    return next((arms for arms in opened if any(map(_explained, arms.tables.values()))), opened[0])


def _seeds(store: Store, board: Board, labels: Sequence[str], seed: int | None) -> Iterator[Arms]:
    wanted = [arm for arm in board.arms if not labels or arm.label in labels]
    if {arm.label for arm in wanted} < set(labels):
        return
    for one in sorted({seed_of(record) for arm in wanted for record in arm.records}):
        if seed in (None, one):
            found = {arm.label: [r for r in arm.records if seed_of(r) == one] for arm in wanted}
            tables = {label: Tables(store, store.read(some[0].spec_id)) for label, some in found.items() if some}
            arms = Arms(board, one, tables)
            yield arms
            if any(map(_explained, tables.values())):
                return


def _explained(tables: Tables) -> bool:
    return any(name.partition(":")[0] in (TEXTS, ENTITIES) for name in tables.record.tables)


def choose(arms: Arms, wanted: str | None = None) -> Chosen:
    """The text asked for: its number in the order in which texts were explained, from 1, or the beginning of its id.

    By default the one of which there is most to show: attacked successfully for most arms, or with most entities.
    Raises UserError where nothing is stored or the text is not among what is.
    """
    counts = _counts(arms)
    ids = list(counts)
    one = _one(ids, wanted) if wanted is not None else max(ids, key=lambda name: counts[name])
    notes: list[str] = []
    views = []
    for label, tables in arms.tables.items():
        view = _view(label, tables, one)
        if view.clean or view.entities:
            views.append(view)
        else:
            notes.append(f"{label}: no attribution of this text in {view.spec_id}")
    text, gold = text_of(arms.tables.values(), one)
    first = next(iter(views[0].clean.values() or next(iter(views[0].entities.values())).values()))
    about = f"text {ids.index(one) + 1} of {len(ids)} explained ({one}){gold}; seed {arms.seed}"
    return Chosen(one[:8], text or " ".join(first.words), about, views, notes)


def explained(arms: Arms) -> list[str]:
    """The ids of all texts with an attribution, in the order in which they were explained. Raises UserError on none."""
    return list(_counts(arms))


def _counts(arms: Arms) -> Counter[str]:
    """By text what there is to show of it."""
    counts: Counter[str] = Counter()
    for tables in arms.tables.values():
        for name, columns in _first(tables):
            ids = [str(one) for one in columns.get("id", ())]
            later = [v == ATTACKED for v in columns["version"]] if name == TEXTS else [True] * len(ids)
            counts.update(dict.fromkeys(ids, 0))
            counts.update(one for one, more in zip(ids, later, strict=True) if more)
    if not counts:
        raise UserError(
            f"the runs of '{arms.board.name}' hold no attributions (they were made without an explainer, or by an "
            "older TemperBench); run them again with --explainer, or explain a text of your own with --sentence."
        )
    return counts


def _first(tables: Tables) -> Iterator[tuple[str, Columns]]:
    """The attributions by one explainer: all have the same texts."""
    for kind in (TEXTS, ENTITIES):
        for _, columns in tables.starting(kind):
            yield kind, columns
            break


def _one(ids: Sequence[str], wanted: str) -> str:
    if wanted not in ids and wanted.isdigit() and 1 <= int(wanted) <= len(ids):
        return ids[int(wanted) - 1]
    found = [one for one in ids if wanted and one.startswith(wanted)]
    if wanted in ids or len(found) == 1:
        return wanted if wanted in ids else found[0]
    raise UserError(f"--text '{wanted}' is no text: give a number from 1 to {len(ids)}, or an id such as {ids[0]}.")


def _view(label: str, tables: Tables, one: str) -> View:
    view = View(label, tables.record.spec_id)
    names: dict[tuple[int, int, str], str] = {}
    for explainer, columns in tables.starting(TEXTS):
        for row in _rows(columns, one):
            side = view.attacked if row.get("version") == ATTACKED else view.clean
            side[explainer] = _words(row)
    for explainer, columns in tables.starting(ENTITIES):
        for row in _rows(columns, one):
            found, span = _words(row), (int(row["first"]), int(row["last"]), str(row["kind"]))
            names[span] = entity_name(found.words, *span)
            view.entities.setdefault(explainer, {})[names[span]] = found
    for explainer, columns in tables.starting(HIT_ENTITIES):
        for row in _rows(columns, one):
            name = names[int(row["first"]), int(row["last"]), str(row["kind"])]
            view.attacked_entities.setdefault(explainer, {})[name] = _words(row)
    for _, columns in tables.starting("explain"):
        for row in _rows(columns, one):
            view.says = view.says or (f"class {int(row['target'])}" if row.get("target") is not None else "")
    return view


def _rows(columns: Columns, one: str) -> Iterator[dict[str, Any]]:
    for place, name in enumerate(columns.get("id", ())):  # a table without rows has no columns
        if str(name) == one:
            yield {column: cells[place] for column, cells in columns.items()}


def _words(row: dict[str, Any]) -> Words:
    return Words(tuple(json.loads(row["words"])), tuple(map(float, json.loads(row["scores"]))))


def text_of(every: Iterable[Tables], one: str) -> tuple[str, str]:
    """The text as the attacks stored it, and its label in words; ("", "") where none did."""
    for tables in every:
        for _, columns in tables.starting("attack"):
            for row in _rows(columns, one):
                label = row.get("label") if "gold" not in row else None
                return str(row["text"]), "" if label is None else f", of class {int(label)}"
    return "", ""
