"""Every attacked text with what each attack made of it, in files small enough to be opened one at a time.

Three kinds of files: an index of all texts (for the list), per arm the outcomes as one letter per text (for filters),
and pieces with the texts, their adversarial versions and attributions. While a board is read, finished rows are kept in
memory only up to `BUFFER`; the rest waits on disk, so the number of texts is not bounded by memory.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.report.page import script
from bench.report.page.script import shorts
from bench.report.page.source import Columns, Tables, seed_of

PIECE_BYTES, ROW_BYTES, MOST_TEXTS = 600_000, 260, 1000
INDEX_ROWS = 5000
BUFFER = 200_000
EXCERPT = 110
LETTERS = {"success": "s", "failed": "f", "skipped": "k", "error": "e"}
SCORES = ("dnaopc", "drift_tau")


class Examples:
    """Writes the files of one board into `folder` as `examples-<name>-...`; `runs` is its number of records."""

    def __init__(self, folder: Path, name: str, runs: int) -> None:
        self._folder, self._name, self._runs = folder, f"examples-{name}", runs
        self._places: dict[str, int] = {}
        self._texts: list[tuple[str, str, Any]] = []
        self._counts: list[list[int]] = []
        self._letters: dict[int, dict[str, dict[int, str]]] = {}
        self._names: dict[str, dict[str, int]] = {"attacks": {}, "explainers": {}}
        self._rows: dict[int, list[tuple[int, str, list[Any]]]] = defaultdict(list)
        self._waiting = 0
        self._per_piece = 0

    def add(self, arm: int, tables: Tables) -> None:
        attacks, seed = list(tables.starting("attack")), seed_of(tables.record)
        if attacks and not self._per_piece:
            size = PIECE_BYTES // (ROW_BYTES * len(attacks) * max(1, self._runs))
            self._per_piece = min(MOST_TEXTS, max(1, size))
        for subject, columns in attacks:
            self._attack(arm, seed, subject, columns)
        for explainer, columns in tables.starting("explain"):
            self._explain(arm, seed, explainer, columns)
        for explainer, columns in tables.starting("attributions"):
            self._attributions(arm, seed, explainer, columns)
        if len(self._letters) > 1 or arm not in self._letters:
            self._write_letters(keep=arm)

    def _attack(self, arm: int, seed: int, subject: str, columns: Columns) -> None:
        attack = self._names["attacks"].setdefault(subject, len(self._names["attacks"]))
        letters = self._letters.setdefault(arm, {}).setdefault(f"{attack}|{seed}", {})
        plain = (columns[name] for name in ("id", "text", "label", "status", "perturbed"))
        numbers = (shorts(columns[name]) for name in ("p_before", "p_after", "queries", "words", "words_changed"))
        for one, text, label, status, perturbed, *found, error in zip(*plain, *numbers, columns["error"], strict=True):
            place = self._place(str(one), str(text), label)
            letters[place] = letter = LETTERS.get(str(status), "e")
            counts = self._counts[place]
            counts[0] += letter == "s"
            counts[1] += 1
            self._keep(place, "o", [arm, seed, attack, letter, perturbed, *found, error])

    def _explain(self, arm: int, seed: int, explainer: str, columns: Columns) -> None:
        number = self._names["explainers"].setdefault(explainer, len(self._names["explainers"]))
        scores = [shorts(columns.get(name) or [None] * len(columns["id"])) for name in SCORES]
        for one, *values in zip(columns["id"], *scores, strict=True):
            if (place := self._places.get(str(one))) is not None:
                self._keep(place, "x", [arm, seed, number, *values])

    def _attributions(self, arm: int, seed: int, explainer: str, columns: Columns) -> None:
        """`words` and `scores` are JSON lists of equal length; `version` says of which text, "clean" where absent."""
        number = self._names["explainers"].setdefault(explainer, len(self._names["explainers"]))
        versions = columns.get("version") or ["clean"] * len(columns["id"])
        for one, version, words, scores in zip(
            columns["id"], versions, columns["words"], columns["scores"], strict=True
        ):
            place = self._places.get(str(one))
            if place is not None and isinstance(words, str) and isinstance(scores, str):
                shown = shorts(json.loads(scores), 3)
                self._keep(place, "a", [arm, seed, number, version, json.loads(words), shown])

    def _place(self, one: str, text: str, label: Any) -> int:
        place = self._places.setdefault(one, len(self._texts))
        if place == len(self._texts):
            self._texts.append((one, text, label))
            self._counts.append([0, 0])
        return place

    def _keep(self, place: int, kind: str, row: list[Any]) -> None:
        if not self._per_piece:
            return
        self._rows[place // self._per_piece].append((place, kind, row))
        self._waiting += 1
        if self._waiting >= BUFFER:
            self._spill()

    def _spill(self) -> None:
        for piece, rows in self._rows.items():
            with (self._folder / f".{self._name}-{piece}.part").open("a", encoding="ascii") as stream:
                stream.writelines(f"{json.dumps(row)}\n" for row in rows)
        self._rows.clear()
        self._waiting = 0

    def _write_letters(self, keep: int | None = None) -> None:
        for arm in [one for one in self._letters if one != keep]:
            found = self._letters.pop(arm)
            lines = {
                key: "".join(known.get(place, "-") for place in range(len(self._texts))) for key, known in found.items()
            }
            script.write(self._folder, f"{self._name}-arm-{arm}", lines)

    def data(self) -> dict[str, Any] | None:
        """Writes what is still open, and returns how the files are cut; None where nothing was attacked."""
        if not self._texts:
            return None
        self._write_letters()
        for start in range(0, len(self._texts), INDEX_ROWS):
            part = slice(start, start + INDEX_ROWS)
            index = [
                [one, label, text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…", *counts]
                for (one, text, label), counts in zip(self._texts[part], self._counts[part], strict=True)
            ]
            script.write(self._folder, f"{self._name}-index-{start // INDEX_ROWS}", index)
        pieces = -(-len(self._texts) // self._per_piece)
        for piece in range(pieces):
            script.write(self._folder, f"{self._name}-piece-{piece}", self._piece(piece))
        return {
            "texts": len(self._texts),
            "indexes": -(-len(self._texts) // INDEX_ROWS),
            "per_index": INDEX_ROWS,
            "pieces": pieces,
            "per_piece": self._per_piece,
            **{name: list(known) for name, known in self._names.items()},
        }

    def _piece(self, piece: int) -> list[dict[str, Any]]:
        first = piece * self._per_piece
        made: list[dict[str, Any]] = [
            {"id": one, "text": text, "label": label, "versions": [], "o": [], "x": [], "a": []}
            for one, text, label in self._texts[first : first + self._per_piece]
        ]
        seen: list[dict[str, int]] = [{} for _ in made]
        part = self._folder / f".{self._name}-{piece}.part"
        spilled = part.read_text(encoding="ascii").splitlines() if part.exists() else []
        for place, kind, row in itertools.chain(map(json.loads, spilled), self._rows.pop(piece, ())):
            if kind == "o" and row[4] is not None:
                # arms, seeds and modes often end at the same adversarial text
                row[4] = seen[place - first].setdefault(row[4], len(seen[place - first]))
            made[place - first][kind].append(row)
        for example, versions in zip(made, seen, strict=True):
            example["versions"] = list(versions)
        part.unlink(missing_ok=True)
        return made
