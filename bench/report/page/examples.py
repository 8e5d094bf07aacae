"""Every attacked text with what each attack made of it, in files small enough to be opened one at a time.

Three kinds of files: an index of all texts (for the list), the outcomes of some arms as one letter per text (for
filters), and pieces with the texts, their adversarial versions and attributions. While a board is read, its columns are
kept in memory only up to `BUFFER` rows; the rest waits on disk, so the number of texts is not bounded by memory.

A piece is `{runs, texts}`. `runs` has for each block (bench/report/page/blocks.py) the arms, seeds and attacks or
explainers of its tables; a text has under "o", "x" and "a" `[block, column, ...]`, of which a column is a list over
those tables, or the one cell that all of them have. Numbers are the record's; the page rounds them.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic_core

from bench.report.page import script
from bench.report.page.blocks import Block, Head, Slice, Turned, joined
from bench.report.page.script import shorts
from bench.report.page.source import Columns, Tables, seed_of

PIECE_BYTES, ROW_BYTES, MOST_TEXTS = 600_000, 260, 1000
INDEX_ROWS = 5000
LETTERS_BYTES = 100_000
BUFFER = 200_000
EXCERPT = 110
OUTCOME = ("perturbed", "p_before", "p_after", "queries", "words", "words_changed", "error")
SCORES = ("dnaopc", "drift_tau")


class Examples:
    """Writes the files of one board into `folder` as `examples-<name>-...`; `runs` is its number of records.

    Blocks are of three kinds: "o" outcomes, "x" scores of explanations, "a" attributions.
    """

    def __init__(self, folder: Path, name: str, runs: int) -> None:
        self._folder, self._name, self._runs = folder, f"examples-{name}", runs
        self._places: dict[str, int] = {}
        self._texts: list[tuple[str, str, Any]] = []
        self._counts: list[tuple[int, int]] = []
        self._letters: dict[int, dict[str, str]] = {}
        self._lettered = 0
        self._first_arms = [0]
        self._names: dict[str, dict[str, int]] = {"attacks": {}, "explainers": {}}
        self._blocks: dict[tuple[str, tuple[int | None, ...]], Block] = {}
        self._kinds: list[str] = []
        self._attacked: dict[tuple[Any, ...], Block] = {}
        self._spilled: set[int] = set()
        self._waiting = 0
        self._per_piece = 0

    def add(self, arm: int, tables: Tables) -> None:
        """The record's tables; records come arm by arm."""
        attacks, seed = tables.attacks, seed_of(tables.record)
        if attacks and not self._per_piece:
            size = PIECE_BYTES // (ROW_BYTES * len(attacks) * max(1, self._runs))
            self._per_piece = min(MOST_TEXTS, max(1, size))
        if arm not in self._letters and self._lettered > LETTERS_BYTES:
            self._write_letters()
            self._first_arms.append(arm)
        for subject, columns, letters in attacks:
            self._attack((arm, seed, self._number("attacks", subject)), columns, letters)
        for explainer, columns in tables.starting("explain"):
            places = tuple(map(self._places.get, map(str, columns["id"])))
            scores = [columns.get(name) or [None] * len(places) for name in SCORES]
            self._keep(self._block("x", places), (arm, seed, self._number("explainers", explainer)), scores)
        for explainer, columns in tables.starting("attributions"):
            self._attributions((arm, seed, self._number("explainers", explainer)), columns)

    def _number(self, kind: str, name: str) -> int:
        return self._names[kind].setdefault(name, len(self._names[kind]))

    def _attack(self, head: Head, columns: Columns, letters: str) -> None:
        ids, texts, labels = tuple(columns["id"]), columns["text"], columns["label"]
        block = self._attacked.get(ids)
        if block is None:
            block = self._attacked[ids] = self._block("o", self._placed(ids, texts, labels))
        arm, seed, attack = head
        lines, key = self._letters.setdefault(arm, {}), f"{attack}|{seed}"
        lines[key] = letters if block.in_order and key not in lines else _line(lines.get(key, ""), block, letters)
        self._lettered += len(letters)
        self._keep(block, head, (letters, *[columns[name] for name in OUTCOME]))

    def _placed(self, ids: Sequence[Any], texts: Sequence[Any], labels: Sequence[Any]) -> tuple[int, ...]:
        """The places of the texts; new ones get the next."""
        for one, text, label in zip(map(str, ids), texts, labels, strict=True):
            if one not in self._places:
                self._places[one] = len(self._texts)
                self._texts.append((one, str(text), label))
        return tuple(self._places[str(one)] for one in ids)

    def _attributions(self, head: Head, columns: Columns) -> None:
        """`words` and `scores` are JSON lists of equal length; `version` says of which text, "clean" where absent."""
        ids, words, scores = columns["id"], columns["words"], columns["scores"]
        places = tuple(
            self._places.get(str(one)) if isinstance(some, str) and isinstance(others, str) else None
            for one, some, others in zip(ids, words, scores, strict=True)
        )
        for place, text in zip(places, words, strict=True):
            if place is not None:
                _words(text)  # a torn one is refused while it is known whose it is
        parsed = [None if place is None else _parsed(text) for place, text in zip(places, scores, strict=True)]
        versions = columns.get("version") or ["clean"] * len(ids)
        self._keep(self._block("a", places), head, (versions, words, parsed))

    def _block(self, kind: str, places: tuple[int | None, ...]) -> Block:
        found = self._blocks.get((kind, places))
        if found is None:
            found = self._blocks[kind, places] = Block(places)
            self._kinds.append(kind)
        return found

    def _keep(self, block: Block, head: Head, fields: Sequence[Sequence[Any]]) -> None:
        if not self._per_piece:
            return
        block.add(head, fields)
        self._waiting += len(block.places)
        if self._waiting >= BUFFER:
            self._spill()

    def _slices(self) -> dict[int, list[Slice]]:
        """By piece all that is waiting."""
        found: dict[int, list[Slice]] = defaultdict(list)
        for number, block in enumerate(self._blocks.values()):
            for piece, heads, rows in block.take(self._per_piece):
                found[piece].append((number, heads, rows))
        self._waiting = 0
        return found

    def _part(self, piece: int) -> Path:
        return self._folder / f".{self._name}-{piece}.part"

    def _spill(self) -> None:
        for piece, slices in self._slices().items():
            self._spilled.add(piece)
            with self._part(piece).open("a", encoding="ascii") as stream:
                stream.writelines(f"{script.encode(one, unknown=True)}\n" for one in slices)

    def _write_letters(self) -> None:
        script.write(self._folder, f"{self._name}-letters-{len(self._first_arms) - 1}", self._letters)
        self._letters, self._lettered = {}, 0

    def data(self) -> dict[str, Any] | None:
        """Writes what is still open, and returns how the files are cut; None where nothing was attacked.

        `letters`: the first arm in each file of outcomes.
        """
        if not self._texts:
            return None
        self._write_letters()
        pieces, slices = -(-len(self._texts) // self._per_piece), self._slices()
        for piece in range(pieces):
            self._write_piece(piece, slices.pop(piece, []))
        for start in range(0, len(self._texts), INDEX_ROWS):
            part = slice(start, start + INDEX_ROWS)
            index = [
                [one, label, text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…", *counts]
                for (one, text, label), counts in zip(self._texts[part], self._counts[part], strict=True)
            ]
            script.write(self._folder, f"{self._name}-index-{start // INDEX_ROWS}", index)
        return {
            "texts": len(self._texts),
            "indexes": -(-len(self._texts) // INDEX_ROWS),
            "per_index": INDEX_ROWS,
            "pieces": pieces,
            "per_piece": self._per_piece,
            "letters": self._first_arms,
            **{name: list(known) for name, known in self._names.items()},
        }

    def _write_piece(self, piece: int, slices: list[Slice]) -> None:
        first = piece * self._per_piece
        texts = [_Text(*text) for text in self._texts[first : first + self._per_piece]]
        runs: list[Any] = []
        if piece in self._spilled:
            lines = self._part(piece).read_text(encoding="ascii").splitlines()
            slices = [*map(json.loads, lines), *slices]
            self._part(piece).unlink()
        for number, heads, rows in joined(slices):
            for row in rows:
                texts[row[1] - first].add(self._kinds[number], len(runs), row)
            runs.append(heads)
        self._counts += [text.counts() for text in texts]
        made = {"runs": runs, "texts": [text.shown for text in texts]}
        script.write(self._folder, f"{self._name}-piece-{piece}", made, unknown=True)


class _Text:
    """One text of a piece; adversarial versions and lists of words, in which runs often end alike, are kept once."""

    def __init__(self, one: str, text: str, label: Any) -> None:
        self._versions: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._rows: dict[str, list[Any]] = {"o": [], "x": [], "a": []}
        self._about = {"id": one, "text": text, "label": label}

    def add(self, kind: str, block: int, row: Turned) -> None:
        _, _, first, *rest = row
        if kind == "o":
            perturbed, *found = rest
            columns = ["".join(first), _same(_numbered(self._versions, perturbed)), *map(_same, found)]
        elif kind == "x":
            columns = [shorts(first), *map(shorts, rest)]
        else:
            words, scores = rest
            columns = [first, _numbered(self._words, words), scores]
        self._rows[kind].append([block, *columns])

    @property
    def shown(self) -> dict[str, Any]:
        words = [_words(text) for text in self._words]
        return {**self._about, "versions": list(self._versions), "words": words, **self._rows}

    def counts(self) -> tuple[int, int]:
        """In how many of all attacks it was changed until the victim was wrong."""
        letters = "".join(letters for _, letters, *_ in self._rows["o"])
        return letters.count("s"), len(letters)


def _numbered(known: dict[str, int], column: Sequence[Any]) -> list[int | None]:
    """Each cell as its number in `known`, which gets the new ones."""
    for cell in dict.fromkeys(column):
        if cell is not None:
            known.setdefault(cell, len(known))
    return list(map(known.get, column))


def _same(column: Sequence[Any]) -> Any:
    """The column, or its cell where all are equal."""
    # most often two of them tell, without a look at all
    alike = column[:1].count(column[-1]) and column.count(column[0]) == len(column)
    return column[0] if alike else column


def _line(known: str, block: Block, letters: str) -> str:
    """The letters by place, "-" where there is none, over those that are `known` of the same run."""
    placed = [(place, letter) for place, letter in zip(block.places, letters, strict=True) if place is not None]
    line = list(known.ljust(max((place for place, _ in placed), default=-1) + 1, "-"))
    for place, letter in placed:
        line[place] = letter
    return "".join(line)


@functools.lru_cache(4096)
def _words(text: str) -> list[Any]:
    """The words of an attribution: every explainer has those of the text."""
    return _parsed(text)


def _parsed(text: str) -> list[Any]:
    """A JSON list. Raises ValueError."""
    found = None
    with suppress(ValueError):
        found = pydantic_core.from_json(text)
    if found is None:  # the slower parser knows half a surrogate pair, and says what is wrong
        found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError(f"'{text[:80]}' is no list")
    return found
