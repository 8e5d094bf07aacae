"""Which Records may stand in one table: boards of arms, each arm a mitigation over its seeds."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from bench.metrics import Missing, Values
from bench.record import Record
from bench.robustness.masking import Sign
from bench.spec import BASELINE, GIVEN
from bench.stats import Difference, Interval
from training.health import UNHEALTHY


@dataclass
class Arm:
    """One row: a mitigation with its hyper-parameters, over its seeds.

    `seeds`: those with at least one measured metric. `values` (full name -> seed -> Values) holds, once the board is
    finished, only what is compared again: the ranked metric and what the transfer matrix is made of.
    """

    label: str
    records: list[Record] = field(default_factory=list)
    values: dict[str, dict[int, Values]] = field(default_factory=dict)
    cells: dict[str, Interval | Missing] = field(default_factory=dict)
    masking: list[str] = field(default_factory=list)
    signs: list[Sign] = field(default_factory=list)
    difference: Difference | None = None
    p_adjusted: float | None = None
    verdict: str = ""
    below: str = ""
    rank: int | None = None
    ranks: tuple[int, int] | None = None
    group: str = ""
    front: bool = False
    no_rank: str = ""
    identity: str = ""
    seeds: int = 0

    @property
    def failures(self) -> list[str]:
        return [f"seed {r.spec.get('seed')}: {r.reason}" for r in self.records if r.status == "failed"]

    @property
    def hides(self) -> list[str]:
        """Why no number of this arm bounds its robustness: the signs of masking that calibration does not undo."""
        return [sign.text for sign in self.signs if not sign.ranked]

    @property
    def unhealthy(self) -> dict[str, list[int]]:
        """Verdict -> the seeds of the runs that got it (training/health.py); `failed`: other runs without an end."""
        found: dict[str, list[int]] = {}
        for record in self.records:
            verdict = str(record.summary.get("health"))
            if verdict in UNHEALTHY or record.status == "failed":
                state = verdict if verdict in UNHEALTHY else "failed"
                found.setdefault(state, []).append(int(record.spec["seed"]))  # type: ignore[arg-type]
        return found

    def fact(self, name: str) -> Any:
        """An entry of the summaries that all seeds share; several are joined, None where unknown."""
        values = [r.summary.get(name, r.spec.get(name)) for r in self.records]
        first = values[0]
        # nearly always so, and to compare them as JSON takes ten times as long
        if type(first) in (str, float) and all(type(value) is type(first) and value == first for value in values):
            return first
        known = sorted({json.dumps(value) for value in values} - {"null"})
        return json.loads(known[0]) if len(known) == 1 else ", ".join(known) or None


@dataclass
class Board:
    """One comparable set of arms, in order; `metrics` are the full names shown, `score` the one ranked by.

    `fingerprint` is what their numbers mean (`comparability`), `asked` what else all of them share (`asked`).
    """

    task: str
    model: str
    tier: str
    fingerprint: dict[str, Any]
    asked: dict[str, Any] = field(default_factory=dict)
    arms: list[Arm] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    score: str = "worst_case"
    interactions: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    number: int = 1
    labelled: float = 1.0

    @property
    def name(self) -> str:
        text = f"{self.task} / {self.model} / {self.tier}"
        text += f", {100 * self.labelled:g} % of the labels" if self.labelled < 1 else ""
        regime = self.fingerprint.get("regime", "default")
        text += f", regime {regime}" if regime != "default" else ""
        goal = self.fingerprint.get("goal", "untargeted")
        text += f", goal {goal}" if goal != "untargeted" else ""
        return text if self.number == 1 else f"{text} ({self.number})"


def comparability(record: Record) -> dict[str, Any]:
    """What two records must share to stand in one column: data, model, sizes, budget, attacks and explainers."""
    kept = ("data", "model", "task", "lexicon")
    found = {
        key: value
        for key, value in record.fingerprints.items()
        if key in kept or key.startswith(("recipe:", "explainer:"))
    }
    for key in ("sizes", "budget_per_word", "lexicon_fingerprint"):
        if key in record.spec:
            found[key] = record.spec[key]
    found["regime"] = record.spec.get("regime", "default")
    found["goal"] = record.spec.get("goal", "untargeted")
    return found


def asked(record: Record) -> dict[str, Any]:
    """What was asked of the run of every arm of a board alike: attacks, explainers, and settings but the learning rate.

    An arm that met fewer attacks would have the better worst case, and one that trained longer the better everything.
    """
    spec, settings = record.spec, record.spec.get("settings")
    found: dict[str, Any] = {"adaptive": spec.get("adaptive", False)}
    for key in ("recipes", "explainers"):
        if isinstance(names := spec.get(key), list):
            found[key] = sorted(map(str, names))
    return found | ({k: v for k, v in settings.items() if k != "learning_rate"} if isinstance(settings, dict) else {})


def labelled(record: Record) -> float:
    """The share of the training texts whose labels were used, in (0, 1]."""
    settings = record.spec.get("settings")
    return float(settings.get("labelled", 1.0)) if isinstance(settings, dict) else 1.0  # type: ignore[arg-type]


def place(boards: list[Board], record: Record, values: Mapping[str, Values]) -> None:
    """Puts a record on the first board it contradicts in nothing; a failed one has fewer fingerprints to contradict."""
    prints, wanted = comparability(record), asked(record)
    task, model, tier = (str(record.spec.get(key)) for key in ("task", "model", "tier"))
    share = labelled(record)
    for board in boards:
        if (board.task, board.model, board.tier, board.labelled) != (task, model, tier, share):
            continue
        if not (_differing(board.asked, wanted) or _differing(board.fingerprint, prints)):
            break
    else:
        board = Board(task, model, tier, {}, labelled=share)
        boards.append(board)
    board.fingerprint |= prints
    board.asked |= wanted
    identity = _identity(record)
    # the seeds of an arm come one after another, most often to the arm that came last
    arm = next((a for a in reversed(board.arms) if a.identity == identity), None)
    if arm is None:
        arm = Arm(str(record.spec.get("mitigation")), identity=identity)
        board.arms.append(arm)
    arm.records.append(record)
    for name, value in values.items():
        arm.values.setdefault(name, {})[int(record.spec["seed"])] = value  # type: ignore[arg-type]


def _identity(record: Record) -> str:
    """An arm is a whole Spec but for its seed: two epsilons are two rows."""
    return _in_order(pydantic_core.to_json({k: v for k, v in record.spec.items() if k != "seed"}))


@functools.lru_cache(16)  # the seeds of an arm come one after another, and to sort takes five times as long
def _in_order(text: bytes) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What both say, and not alike."""
    return [key for key in first.keys() & second.keys() if first[key] != second[key]]


def why_apart(board: Board, twins: list[Board]) -> str:
    """What this board and the others of its name differ in, as a sentence."""
    fixed = {key for twin in twins for key in _differing(board.fingerprint, twin.fingerprint)}
    wanted = {key for twin in twins for key in _differing(board.asked, twin.asked)}
    # what was asked is short enough to be said
    said = [*sorted(fixed), *(f"{key} (here {_brief(board.asked[key])})" for key in sorted(wanted - fixed))]
    if fixed:
        return f"not comparable with the other boards of this name: they differ in {', '.join(said)}"
    return f"one of {len(twins)} boards of this name, as their arms were asked other things: {', '.join(said)}"


def tell_apart(arms: list[Arm]) -> None:
    """Gives arms of one mitigation but different settings names of their own.

    Of several baselines the one at the searched learning rate keeps its name: the others are compared with it, too.
    """
    for label in {arm.label for arm in arms}:
        same = [arm for arm in arms if arm.label == label]
        if len(same) < 2:
            continue
        shown = differences([{k: v for k, v in arm.records[0].spec.items() if k != "seed"} for arm in same])
        kept = min(same, key=lambda arm: (arm.records[0].spec.get("learning_rate_source") == GIVEN, arm.identity))
        for arm, text in zip(same, shown, strict=True):
            if label != BASELINE or arm is not kept:
                arm.label = f"{label} [{text}]"


def differences(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each what the others do not have alike, `learning_rate=0.001, epochs=2`."""
    flat = [_flat(spec) for spec in specs]
    differing = sorted(k for k in set().union(*flat) if len({json.dumps(one.get(k)) for one in flat}) > 1)
    if len(differing) > 1:  # where the rate is from only says what the rate says
        differing = [key for key in differing if key != "learning_rate_source"]
    return [", ".join(f"{key.rpartition('.')[2]}={_brief(one.get(key))}" for key in differing) for one in flat]


def _brief(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    items: Iterable[tuple[Any, Any]] | None = None
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
        items = enumerate(value)
    if items is None:
        return {prefix: value}
    return {k: v for key, inner in items for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()}
