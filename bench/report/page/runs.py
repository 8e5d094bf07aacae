"""Where the numbers come from: every record of a board with its state, environment, versions and hyper-parameters."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

from bench.board import Board
from bench.record import Record
from bench.report.page.script import short
from bench.report.page.source import Tables, seed_of

SUMMARY = (
    "temperature", "parameters", "trainable_parameters", "learning_rate", "learning_rate_source", "train_examples",
    "steps", "epochs", "counted_cost", "validation_score", "train_score", "health", "health_reason",
)  # fmt: skip


class Runs:
    """One row per record; equal environments and specs are kept once."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._environments: dict[str, int] = {}
        self._written: dict[bytes, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._specs: dict[str, Any] = {}

    def add(self, arm: int, tables: Tables) -> None:
        record = tables.record
        environment = self._environment(record)
        seconds = [stage.seconds for stage in record.stages.values() if stage.seconds is not None]
        if str(arm) not in self._specs:
            self._specs[str(arm)] = {k: v for k, v in record.spec.items() if k != "seed"}
        self._rows.append(
            {
                "id": record.spec_id,
                "arm": arm,
                "seed": seed_of(record),
                "status": record.status,
                "reason": record.reason,
                "created": record.created,
                "environment": environment,
                "seconds": short(sum(seconds)) if seconds else None,
                "problems": [
                    [name, stage.status, stage.reason] for name, stage in record.stages.items() if stage.status != "ok"
                ],
                "errors": _errors(tables),
                "summary": {name: value for name in SUMMARY if (value := record.summary.get(name)) not in (None, "")},
            }
        )

    def _environment(self, record: Record) -> int:
        """Its number; equal ones whose entries stand in another order are the same."""
        # most are equal as they stand, which the faster writer says in a tenth of the time
        written = pydantic_core.to_json(record.environment)
        if written not in self._written:
            key = json.dumps(record.environment, sort_keys=True)
            self._written[written] = self._environments.setdefault(key, len(self._environments))
        return self._written[written]

    def data(self) -> dict[str, Any] | None:
        return {
            "environments": [json.loads(key) for key in self._environments],
            "fingerprint": self._board.fingerprint,
            "specs": self._specs,
            "rows": self._rows,
        }


def _errors(tables: Tables) -> list[list[Any]]:
    """[attack, error, texts] of the texts that an attack gave no verdict on."""
    counts: dict[tuple[str, str], int] = {}
    for subject, columns in tables.starting("attack"):
        if "error" not in columns["status"]:
            continue
        for status, error in zip(columns["status"], columns["error"], strict=True):
            if status == "error":
                counts[subject, str(error)] = counts.get((subject, str(error)), 0) + 1
    return [[subject, error, count] for (subject, error), count in counts.items()]
