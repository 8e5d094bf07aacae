"""The words around the numbers: short headings, flags, families, and what must be said below a table."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from bench import metrics
from bench.board import Arm, Board
from training.health import MEANINGS

UNITS = {"share": "%", "s": "s", "s/text": "s"}
ARROWS = {"higher": "↑", "lower": "↓", None: ""}
CONTROL = "random"
SHORT = {
    "worst_case": "worst case",
    "worst_case_calibrated": "worst case calibrated",
    "worst_case_raw": "worst case raw",
    "aua_calibrated": "AUA",
    "asr": "ASR",
    "asr_shared": "ASR on shared texts",
    "aua_sweep": "AUA, lowest over temperatures",
    "worst_case_adaptive": "worst case adaptive",
    "entity_f1_adaptive": "worst-case F1 adaptive",
    "entity_f1_sweep": "entity F1, lowest over temperatures",
    "words_changed_all": "words changed, all",
    "perplexity_rise": "log perplexity rise",
    "retagged": "word class changed",
    "errors_added": "LanguageTool errors added",
    "temperature": "temperature",
    "score_levels": "distinct answers",
    "transfer_accuracy": "transfer",
    "transfer_f1": "transfer F1",
    "queries": "queries",
    "words_changed": "words changed",
    "dnaopc": "dNAOPC",
    "faithfulness_correlation": "correlation",
    "drift_tau": "drift tau-b",
    "drift_overlap": "drift overlap",
    "unchanged_tau": "tau-b, entity unchanged",
    "attacked_tau": "attacked explanation tau-b",
    "edit_tau_worst": "worst edit tau-b",
    "edit_tau": "edits tau-b",
    "edit_overlap": "edits overlap",
    "typo_tau": "typos tau-b",
    "synonym_tau": "synonyms tau-b",
    "seed_tau": "seeds tau-b",
    "baseline_tau": "baseline tau-b",
    "randomisation_failures": "randomisation failures",
    "rationale_ap": "human AP*",
    "rationale_f1": "human F1",
    "lexicon_ap": "lexicon AP*",
    "lexicon_f1": "lexicon F1",
    "own_words_ap": "entity's words AP*",
    "own_words_f1": "entity's words F1",
    "method_agreement": "methods tau-b",
    "self_share": "on the entity itself",
    "explain_seconds": "explaining",
    "masked_keeps_class": "class kept when masked",
    "completeness_failures": "completeness error > 5 %",
    "tokens_per_second": "tokens/s",
    "samples_per_second": "samples/s",
    "peak_memory_ratio": "memory / baseline",
    "counted_cost": "counted passes / baseline",
    "worst_group_accuracy": "worst group",
    "group_accuracy": "group",
    "generalisation_gap": "training minus validation",
    "brier_calibrated": "Brier calibrated",
    "brier_raw": "Brier raw",
    "trainable_share": "trainable",
    "seed_deviation": "SD over seeds",
    "unhealthy_runs": "unhealthy runs",
}
# on a terminal every letter costs a column
TERSE = {"clean_accuracy": "clean", "ood_accuracy": "OOD", "ood_f1": "OOD F1", "ece_calibrated": "ECE"}
TERSE_SUBJECTS = {"integrated_gradients": "IG", "attention_rollout": "rollout (attention)"}


def heading(name: str, *, terse: bool = False) -> str:
    """`AUA textfooler, % ↑`: the metric, its subject, its unit where it needs one, and which way is better."""
    metric, (base, _, subject) = metrics.of(name), name.partition(":")
    text = SHORT.get(base, metric.title)
    if terse:
        text, subject = TERSE.get(base, text), TERSE_SUBJECTS.get(subject, subject)
    text = f"{text} {subject}{metrics.NOTES.get(subject, '')}".strip()
    if subject == CONTROL:
        return f"{text} (floor)"
    unit = UNITS.get(metric.unit, "")
    text += f"{' ' if terse else ', '}{unit}" if unit else ""
    return f"{text} {ARROWS[metric.direction]}".strip()


def flags(arm: Arm) -> list[str]:
    """What a reader must know before quoting the row; `remarks` says each of them in full."""
    found = ["masking"] if arm.masking or arm.signs else []
    if arm.below:
        found.append("clean drop")
    if 0 < arm.seeds < 3:
        found.append("1 seed" if arm.seeds == 1 else f"{arm.seeds} seeds")
    found += [f"{len(seeds)} of {len(arm.records)} {verdict}" for verdict, seeds in arm.unhealthy.items()]
    return found


def family(arm: Arm) -> str:
    """The problems the arm's mitigations answer, as their files say; empty where no file is known."""
    listed = arm.records[0].spec.get("mitigations")
    names = [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = dict.fromkeys(constant(str(name), "FAMILY") for name in names)
    return " + ".join(text for text in found if text)


@functools.cache
def constant(name: str, wanted: str) -> str:
    """A text constant (FAMILY, SOURCE) of a mitigation's file; empty where there is no such file or constant."""
    # read, not imported: the file may need torch, which the report does without
    spec = importlib.util.find_spec(f"training.mitigations.{name}") if name.isidentifier() else None
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if wanted in named:
                return str(node.value.value)
    return ""


def caption(board: Board) -> str:
    """What is ranked, on how much."""
    seeds = sorted({arm.seeds for arm in board.arms})
    if board.score == "worst_case":
        ranked = (
            "worst case: the share of texts on which the victim survives every recipe (the lower of raw, calibrated)"
        )
    elif board.score == "entity_f1_worst":
        ranked = "worst-case entity F1: strict, each sentence as the recipe left it that hurt it most"
    else:
        ranked = metrics.title(board.score)
    arms = "1 arm" if len(board.arms) == 1 else f"{len(board.arms)} arms"
    some = str(seeds[0]) if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    return f"{arms}, {some} {'seed' if seeds[-1] == 1 else 'seeds'}; ranked by {ranked}."


def legend(board: Board, ranks: str = "rank [best, worst]") -> list[str]:
    """How to read the tables of a board; `ranks`: how they write the interval of a rank."""
    smallest = metrics.of(board.score).smallest_difference or 0.0
    found = ["↑ higher is better, ↓ lower is better"]
    if any(arm.seeds > 1 for arm in board.arms):
        found[0] += "; [low, high] is a 95 % interval over seeds and examples"
    if any(arm.verdict == "not distinguishable" for arm in board.arms):
        found.append(
            "not distinguishable: no proof of a difference to the baseline (p >= 0.05 after Holm's correction), or one "
            f"of at most {100 * smallest:g} points, too small to matter"
        )
    if any(arm.ranks for arm in board.arms):
        found.append(
            f"{ranks}: what an arm can have given the noise; group: arms that share a letter are not "
            "distinguishable (every pair tested, Holm-corrected over the pairs)"
        )
    if any(arm.front for arm in board.arms):
        found.append(
            "Pareto front (table of costs): no ranked arm is both more robust and cheaper per step; noise is not in it"
        )
    if f"dnaopc:{CONTROL}" in board.metrics:
        found.append(f"dNAOPC: the faithfulness gap; '{CONTROL}' scores the words by chance, so its value is the floor")
    if any(isinstance(cell, metrics.Missing) for arm in board.arms for cell in arm.cells.values()):
        found.append("—: not known, never zero; each reason is in leaderboard.html (hover) and leaderboard.csv")
    return found


def sources(board: Board) -> str:
    """`learning rates from: grid on validation (baseline, fgm); paper (lora)`."""
    found = _together((str(arm.fact("learning_rate_source") or "unknown"), arm.label) for arm in board.arms)
    if len(found) == 1:
        return f"learning rates from: {next(iter(found))} (all arms)"
    return "learning rates from: " + "; ".join(f"{source} ({', '.join(arms)})" for source, arms in found.items())


def remarks(board: Board) -> list[str]:
    """What must be said below the tables: why an arm has no rank, what failed, what masks, what is not comparable."""
    found = list(board.notes)
    unranked = _together((arm.no_rank, arm.label) for arm in board.arms if arm.no_rank)
    found += [f"no rank: {', '.join(labels)}: {reason}" for reason, labels in unranked.items()]
    few = [arm.label for arm in board.arms if arm.seeds == 2]
    if few:
        found.append(f"2 seeds: {', '.join(few)}: intervals over 2 seeds are wide; 3 are the least that is advised")
    unhealthy = [(arm.label, arm.unhealthy, len(arm.records)) for arm in board.arms]
    for verdict, meaning in MEANINGS.items():
        arms = [(label, len(seeds.get(verdict, ())), all_) for label, seeds, all_ in unhealthy]
        counts = [f"{label}: {some} of {all_} runs" for label, some, all_ in arms if some]
        found += [f"{verdict}, {meaning}: {'; '.join(counts)}"] if counts else []
    for arm in board.arms:
        failures = _together((reason, label) for label, reason in (f.split(": ", 1) for f in arm.failures))
        found += [f"failed: {arm.label}: {', '.join(where)}: {why}" for why, where in failures.items()]
        found += [f"masking: {arm.label}: {sign.text}" for sign in arm.signs if sign.ranked]
    return found


def _together(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
