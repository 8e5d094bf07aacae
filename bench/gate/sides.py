"""Two sets of records as pairs of arms: what belongs together, what keeps it from being compared, what changed."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.board import comparability, differences
from bench.extraction import extract
from bench.metrics import Values
from bench.record import Record
from bench.store import Store
from training.errors import UserError

# a release may change these of an arm, and that is what the gate is there to judge; fingerprints have their own check
NOT_SETTINGS = ("seed", "mitigation", "mitigations", "learning_rate_source", "task_fingerprint", "model_fingerprint",
    "lexicon_fingerprint")  # fmt: skip

Key = tuple[str, str, str, str]
Sides = dict[Key, "dict[str, Side]"]


@dataclass
class Side:
    """The records of one arm in one of the two sets."""

    records: dict[int, Record] = field(default_factory=dict)
    values: dict[str, dict[int, Values]] = field(default_factory=dict)


def sides(store: Store, run: Collection[str] = ()) -> Sides:
    """The arms of a store by (task, model, tier, mitigation), then by settings: an arm may have two learning rates.

    `run`: the spec ids of the run that is judged. Of an arm that has some of them, what the folder still holds of it
    with other settings is left out: an arm that changed is not to be compared with itself as it was.
    Raises UserError when a record cannot be read or stands there in two versions.
    """
    found: Sides = {}
    own, judged = set(run), dict[Key, set[str]]()
    for spec_id in sorted(store.ids(), key=lambda one: one not in own):
        record = store.read(spec_id)
        task, model, tier, mitigation = (str(record.spec.get(k)) for k in ("task", "model", "tier", "mitigation"))
        key, whole = (task, model, tier, mitigation), _settings(record, but=("seed",))
        if spec_id in own:
            judged.setdefault(key, set()).add(whole)
        elif key in judged and whole not in judged[key]:
            continue
        side = found.setdefault(key, {}).setdefault(_settings(record, but=NOT_SETTINGS), Side())
        seed = int(record.spec["seed"])  # type: ignore[arg-type]
        if seed in side.records:
            raise UserError(
                f"'{store.folder}' holds two versions of {task} / {mitigation}, seed {seed}: "
                f"'{side.records[seed].spec_id}' and '{record.spec_id}'; keep one of them to compare, or run into a "
                "folder of its own."
            )
        for name, values in extract(record, functools.partial(store.tables, record)).items():
            side.values.setdefault(name, {})[seed] = values
        side.records[seed] = record.model_copy(update={"tables": {}})
    return found


def _settings(record: Record, but: Collection[str]) -> str:
    return json.dumps({k: v for k, v in record.spec.items() if k not in but}, sort_keys=True)


def _named(key: Key) -> str:
    task, model, _, mitigation = key
    return f"{task} / {model} / {mitigation}"


def unjudged(before: Sides, after: Sides) -> list[str]:
    """Arms that the candidate has with the baseline's settings and with others as well, as sentences."""
    return [
        f"{_named(key)}: the candidate also holds it with settings that the baseline does not have, "
        "compared with nothing; to judge them, run into a folder of their own"
        for key, variants in before.items()
        if len(others := after.get(key, {}).keys()) > 1 and others - variants.keys()
    ]


def pairs(before: Sides, after: Sides) -> Iterator[tuple[Key, str, Side, Side | None]]:
    """Every arm of the baseline set, its name, and its partner, None where it vanished.

    By name, and where a name has several settings by these too. An arm whose name says its hyper-parameters
    (`fgm (epsilon=0.0)`) is the partner of the one with the same mitigations that vanished, if only one can be.
    """
    for key, variants in before.items():
        partners = after.get(key) or _renamed(key, variants, before, after)
        alone = len(variants) == len(partners) == 1
        told = differences([json.loads(settings) for settings in variants])
        for (settings, old), text in zip(variants.items(), told, strict=True):
            name = f"{_named(key)} [{text}]" if text else _named(key)
            yield key, name, old, next(iter(partners.values())) if alone else partners.get(settings)


def _renamed(key: Key, variants: dict[str, Side], before: Sides, after: Sides) -> dict[str, Side]:
    wanted = _mitigations(variants)
    new = [
        some for other, some in after.items() if other not in before and other[:3] == key[:3]
        and _mitigations(some) == wanted
    ]  # fmt: skip
    gone = [other for other, some in before.items() if other not in after and other[:3] == key[:3]
            and _mitigations(some) == wanted]  # fmt: skip
    return new[0] if len(new) == len(gone) == 1 else {}


def _mitigations(variants: dict[str, Side]) -> list[str]:
    record = next(iter(next(iter(variants.values())).records.values()))
    return [name for name, _ in configs(record)]


def configs(record: Record) -> list[tuple[str, dict[str, Any]]]:
    """(name, version and hyper-parameters) of every mitigation of a record, in the order in which they are stacked."""
    listed: Any = record.spec.get("mitigations")
    return [
        (str(one.get("name")), {"version": one.get("version"), **(one.get("config") or {})})
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    ]


def changes(old: Side, new: Side) -> list[str]:
    """What of the mitigations' own settings differs between two sides of an arm: `fgm: epsilon 1.0 -> 0.0`."""
    first, second = (next(iter(side.records.values())) for side in (old, new))
    found = []
    for (name, before), (_, after) in zip(configs(first), configs(second), strict=False):
        differing = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
        if differing:
            listed = ", ".join(f"{key} {before.get(key)} -> {after.get(key)}" for key in differing)
            found.append(f"{name}: {listed}")
    return found


def failures(name: str, old: Side, new: Side) -> list[str]:
    """Runs that failed in the candidate and did not in the baseline, as sentences."""
    return [
        f"{name}, seed {seed}: failed in the candidate ({record.reason}), was ok in the baseline: worse"
        for seed, record in sorted(new.records.items())
        if record.status == "failed" and seed in old.records and old.records[seed].status == "ok"
    ]


def differing(old: Side, new: Side) -> str:
    """What keeps two arms from being compared, in words; empty when nothing does."""
    found: list[str] = []
    if old.records.keys() != new.records.keys():
        found.append(f"seeds {numbered(old.records)} against {numbered(new.records)}")
    for seed in sorted(old.records.keys() & new.records.keys()):
        first, second = _prints(old.records[seed]), _prints(new.records[seed])
        found += [
            f"{key} differs ({_brief(first[key])} against {_brief(second[key])})"
            for key in sorted(first.keys() & second.keys())
            if first[key] != second[key]
        ]
    return "; ".join(dict.fromkeys(found))


def _prints(record: Record) -> dict[str, Any]:
    """Everything of a record that must be equal for its numbers to mean the same, flattened one level."""
    flat: dict[str, Any] = {}
    for key, value in comparability(record).items():
        flat |= {f"{key} {k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    packages = record.environment.get("packages")
    if isinstance(packages, dict) and packages.get("textattack") is not None:
        flat["textattack version"] = packages["textattack"]
    return flat


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 40 else f"{text[:12]}…"


def numbered(items: Iterable[int]) -> str:
    """Seeds as `0, 1, 2`; `none` without any."""
    return ", ".join(str(item) for item in sorted(items)) or "none"
