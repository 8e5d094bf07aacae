"""Why did the gate fire: data, libraries, code, settings or noise? What two sets of records say, and one run more.

The records name what differs between the two sides of every arm; nothing is computed for that. Noise is told by
running the worst cell of the candidate once more, with today's code: where the same Spec gives the same outcomes, the
difference is no chance of the machine; where it does not, the spread of the two runs is the noise floor.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import metrics
from bench.gate.checking import Verdict
from bench.gate.sides import Side, changes, pairs, sides
from bench.record import Record
from bench.spec import GIVEN, PRESET
from bench.store import Store
from training import registry
from training.errors import UserError

LIBRARIES = ("torch", "transformers", "textattack", "captum", "tokenizers", "peft", "accelerate", "numpy", "nltk")
MACHINE = ("python", "platform", "cpu", "device", "threads")


@dataclass(frozen=True)
class Causes:
    """What differs between two sets of records, by kind, as sentences; an empty list means nothing of that kind."""

    data: list[str]
    settings: list[str]
    libraries: list[str]
    code: list[str]
    machine: list[str]

    def lines(self) -> list[str]:
        """One line per kind, then what follows from them."""
        found = [f"{kind}: {'; '.join(some) if some else 'no difference'}" for kind, some in vars(self).items()]
        named = [kind for kind, some in vars(self).items() if some]
        if not named:
            return [*found, "nothing that the records name differs: what moved is noise, or lies outside the records"]
        if len(named) == 1:
            return [*found, f"one kind of thing differs: {named[0]}; noise apart, the difference comes from it"]
        return [*found, f"{len(named)} kinds differ ({', '.join(named)}): go back in one at a time and run again"]


def causes(baseline: Store, candidate: Store) -> Causes:
    """Reads the causes off two sets of records. Raises UserError where a record cannot be read."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in ("data", "settings", "libraries", "code", "machine")}
    for key, _, old, new in pairs(sides(baseline), sides(candidate)):
        if new is None:
            continue
        for seed in sorted(old.records.keys() & new.records.keys()):
            for kind, texts in _of(key[3], old.records[seed], new.records[seed]).items():
                found[kind] |= dict.fromkeys(texts)
        found["settings"] |= dict.fromkeys(changes(old, new))
    return Causes(**{kind: list(texts) for kind, texts in found.items()})


def _of(arm: str, old: Record, new: Record) -> dict[str, list[str]]:
    first, second = old.fingerprints, new.fingerprints
    data = [
        f"{key} {_brief(first[key])} -> {_brief(second[key])}"
        for key in sorted(first.keys() & second.keys())
        if key not in ("stages", "code") and first[key] != second[key]
    ]
    settings = [
        f"{arm}: {key} {_brief(old.spec.get(key))} -> {_brief(new.spec.get(key))}"
        for key in ("settings", "sizes", "budget_per_word", "regime", "goal", "recipes", "explainers")
        if old.spec.get(key) != new.spec.get(key)
    ]
    packages = [_mapping(one.environment.get("packages")) for one in (old, new)]
    libraries = [
        f"{name} {packages[0].get(name)} -> {packages[1].get(name)}"
        for name in LIBRARIES
        if packages[0].get(name) != packages[1].get(name)
    ]
    machine = [
        f"{key} {old.environment.get(key)} -> {new.environment.get(key)}"
        for key in MACHINE
        if old.environment.get(key) != new.environment.get(key)
    ]
    return {
        "data": data, "settings": settings, "libraries": libraries, "machine": machine,
        "code": _code(old, new, bool(data or settings or libraries or changes(Side({0: old}), Side({0: new})))),
    }  # fmt: skip


def _code(old: Record, new: Record, explained: bool) -> list[str]:
    """The stages whose own code differs; of records from before that was kept, what the hash of the cell tells."""
    states = [_mapping(one.environment.get("git")) for one in (old, new)]
    first, second = (f"{str(one.get('commit'))[:10]}{' with edits' if one.get('dirty') else ''}" for one in states)
    said = f" (commit {first} -> {second})" if first != second else ""
    hashes = [_mapping(one.fingerprints.get("code")) for one in (old, new)]
    if all(hashes):
        moved = [name for name in hashes[0] if name in hashes[1] and hashes[0][name] != hashes[1][name]]
        return [f"the code of {', '.join(moved)} changed{said}"] if moved else []
    if old.fingerprints.get("stages") == new.fingerprints.get("stages"):
        return []
    # that hash covers settings, data and libraries too; when one of these moved, it says nothing about the code
    return [] if explained and not said else [f"some stage's code may have changed{said}"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:12]}…"


def worst_arm(baseline: Store, candidate: Store, verdict: Verdict) -> tuple[Record, str]:
    """The record (lowest seed) of the cell with the worst difference against what matters, and its metric.

    Raises UserError where no cell was compared.
    """
    if verdict.rows.empty:
        raise UserError("no cell could be compared, so there is none to run again; see the reasons above.")
    signs = [1 if metrics.of(name).direction == "higher" else -1 for name in verdict.rows["metric"]]
    size = verdict.rows["difference"] * signs / verdict.rows["smallest_difference"].clip(lower=1e-9)
    row = verdict.rows.iloc[int(size.to_numpy().argmin())]
    for _, name, _, side in pairs(sides(baseline), sides(candidate)):
        if name == row["cell"] and side is not None:
            # the sides left their tables behind
            return candidate.read(side.records[min(side.records)].spec_id), str(row["metric"])
    raise UserError(f"'{row['cell']}' is not in the candidate under that name; run it again by hand.")


def asked(
    record: Record, *, data: Path | None = None, task: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """What a Request needs to make this arm's lowest seeds again, with the baseline that always runs beside it.

    `data`, `task` (`hub:ID@COMMIT`), `model`: where they come from if not from the suite, as a record does not say so;
    without, `tasks` is empty for a task that the suite does not know. Raises UserError for what a command cannot say.
    """
    spec: Mapping[str, Any] = record.spec
    settings = {key: value for key, value in _mapping(spec.get("settings")).items() if value is not None}
    source, tier = str(spec.get("learning_rate_source")), str(spec["tier"])
    if source != GIVEN:  # it is found again, with the source that the Spec names
        settings.pop("learning_rate", None)
    preset = source.removeprefix(PRESET) if source.startswith(PRESET) else None
    known = [spec["task"]] if spec["task"] in registry.names("training.tasks") else []
    return {
        "tier": tier if preset is None else tier.removeprefix(preset).removeprefix("-") or None, "preset": preset,
        "tasks": [] if data else [task] if task else known, "data": data,
        "model": model or str(spec["model"]).partition(",")[0],
        "mitigations": [_stack(spec)], "seeds": int(spec["seed"]) + 1, "recipes": list(spec.get("recipes") or ()),
        "explainers": list(spec.get("explainers") or ()), "regime": spec.get("regime", "default"),
        "adaptive": bool(spec.get("adaptive", False)), "labelled": (settings.pop("labelled", 1.0),),
        "settings": settings, "goal": spec.get("goal"),
    }  # fmt: skip


def _stack(spec: Mapping[str, Any]) -> str:
    """The stack with every hyper-parameter, as --mitigation takes it."""
    parts = []
    for one in spec.get("mitigations") or ():
        values = [f"{key}={json.dumps(value)}" for key, value in (one.get("config") or {}).items() if value is not None]
        if any("+" in value or "," in value for value in values):
            raise UserError(f"'{one['name']}' has a setting that no command can say ({values}); run it again by hand.")
        parts.append(f"{one['name']}:{','.join(values)}" if values else str(one["name"]))
    return "+".join(parts)


def command(request: Mapping[str, Any], folder: Path) -> str:
    """The request as a `temper run` line; settings that no option makes are left out of it."""
    words = ["temper", "run"]
    for key in ("tier", "preset", "model", "data"):
        words += [f"--{key}", str(request[key])] if request[key] else []
    words += ["--data", "FILE"] if _nowhere(request) else []
    for option in ("task", "mitigation", "recipe", "explainer"):
        words += [word for name in request[f"{option}s"] for word in (f"--{option}", str(name))]
    for key in ("epochs", "learning_rate", "batch_size", "max_length", "head"):
        words += [f"--{key.replace('_', '-')}", str(request["settings"][key])] if key in request["settings"] else []
    words += ["--regime", request["regime"]] if request["regime"] != "default" else []
    words += ["--adaptive"] if request["adaptive"] else []
    words += ["--goal", request["goal"]] if request["goal"] else []
    words += [word for share in request["labelled"] if share != 1 for word in ("--labelled", str(share))]
    return shlex.join([*words, "--seeds", str(request["seeds"]), "--results", str(folder)])


def _nowhere(request: Mapping[str, Any]) -> bool:
    """Whether the task is of the user's own and nobody said where it is."""
    return not request["tasks"] and request["data"] is None


def noise(first: Record, again: Record, store: Store, other: Store) -> str:
    """How many outcomes of two runs of one Spec differ, table by table, in words."""
    parts = []
    for name in sorted(first.tables.keys() & again.tables.keys()):
        column = {"clean": "correct"}.get(name, "status" if name.startswith("attack:") else None)
        if column is None:
            continue
        one, two = store.tables(first, name), other.tables(again, name)
        if column not in one or column not in two:
            continue
        both = one.set_index("id")[column].to_frame("a").join(two.set_index("id")[column].rename("b"), how="inner")
        parts.append((name, int((both["a"] != both["b"]).sum()), len(both)))
    moved = [f"{name} {count} of {total}" for name, count, total in parts if count]
    if not parts:
        return "noise: the two runs share no outcomes to compare"
    if not moved:
        return "noise: none; the same Spec gave the same outcomes again, so the difference has another cause"
    return f"noise: the same Spec gave other outcomes ({'; '.join(moved)}); differences of that size are no regression"


def rerun(request: Mapping[str, Any], record: Record, store: Store, folder: Path, console: Console) -> str:
    """Runs the request in `folder` and compares the arm's record with `record` of `store`, in words.

    Raises UserError where the folder holds records already (they would be taken for the new run), or where the run
    cannot be the same Spec.
    """
    from bench import campaign
    from bench.plan import Request, plan

    if _nowhere(request):
        raise UserError(
            f"'{record.spec['task']}' is a task of your own; say where it is with --data FILE or --task hub:ID@COMMIT."
        )
    if Store(folder).ids():
        raise UserError(f"'{folder}' holds records already; name another folder with --again.")
    wanted = Request(**request, results=folder)
    planned = [job.spec.id for job in plan(wanted)]
    if record.spec_id not in planned:
        raise UserError(
            f"today's suite makes another Spec of it ({', '.join(planned)} instead of {record.spec_id}): a tier, a "
            "default or a fingerprint changed, so a run would say nothing about noise."
        )
    campaign.run_all(wanted, console=console)
    again = Store(folder)
    return noise(record, again.read(record.spec_id), store, again)
