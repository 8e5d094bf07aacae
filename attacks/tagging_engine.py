"""Run one recipe against one tagger over many sentences, through TextAttack's own Attack, one TaggedOutcome each.

As in `attacks.engine`, every sentence is attacked from a state of its own, so results do not depend on the order of the
sentences, on how many are in flight, on what ran before, or on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol, cast

from attacks import engine, goals, lanes, regimes
from attacks.gazetteer import Gazetteer
from attacks.lexicon import Lexicon, prepare_textattack
from attacks.tagged import TaggedOutcome, TaggedSample
from attacks.tagging_victim import TaggingVictim

VERSION = 1


class TaggingRecipe(Protocol):
    """What a module in attacks/recipes/ with "tagging" among its TASKS offers.

    `goal` is one of `attacks.goals.GOALS`. `USES`, where there is one, names the recipes it is built from.
    """

    VERSION: int
    TASKS: tuple[str, ...]
    KIND: str

    def build(self, victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Any: ...


def attack(
    victim: TaggingVictim,
    samples: Sequence[TaggedSample],
    recipe: str | ModuleType,
    *,
    lexicon: Lexicon,
    gazetteer: Gazetteer,
    budget_per_word: int,
    seed: int,
    goal: str = goals.DEFAULT,
    regime: str = "default",
    finished: Mapping[str, TaggedOutcome] | None = None,
    on_outcome: Callable[[TaggedOutcome], None] | None = None,
    in_flight: int = engine.IN_FLIGHT,
) -> list[TaggedOutcome]:
    """One TaggedOutcome per sample, in the order of `samples`; `in_flight` (>= 1) at a time share their forwards.

    A sentence may spend `budget_per_word` (>= 1) queries for each of its words, at least 1 in all. Outcomes in
    `finished` (by sample id) are taken over; `on_outcome` is called once for every other one, as soon as it is there.
    An exception inside an example becomes an outcome with status "error". `regime` is one of `attacks.regimes.NAMES`.
    Raises ValueError for bad arguments, a recipe that attacks no tagger or one that the regime cannot judge,
    LexiconMissing when the recipe or the regime needs a part the lexicon lacks.
    """
    done = dict(finished or {})
    engine.check_samples(samples, done, budget_per_word, _same, "other words or tags")
    goals.check(goal)
    name, module = _open(recipe)
    prepare_textattack(lexicon.folder)
    done |= engine.run_in_flight(
        [sample for sample in samples if sample.id not in done],
        lambda: regimes.constrain(module.build(victim, lexicon, gazetteer, goal), regime, lexicon, module.KIND),
        lambda runner, sample: attack_one(runner, sample, budget_per_word, engine.seed_of(seed, sample.id, name)),
        in_flight,
        on_outcome,
    )
    return [done[sample.id] for sample in samples]


def fingerprint(
    recipe: str | ModuleType, lexicon: Lexicon, gazetteer: Gazetteer, budget_per_word: int, goal: str = goals.DEFAULT,
    regime: str = "default",
) -> dict[str, str | int]:  # fmt: skip
    """What must agree for two sets of outcomes to be comparable."""
    module = _open(recipe)[1]
    used = {f"uses {name}": _open(name, "classification")[1].VERSION for name in getattr(module, "USES", ())}
    own: dict[str, str | int] = {"tagging_engine": VERSION, "goal": goal, "gazetteer": gazetteer.fingerprint}
    return engine.fingerprint(cast(Any, module), lexicon, budget_per_word, regime) | own | used


def attack_one(runner: Any, sample: TaggedSample, budget_per_word: int, seed: int) -> TaggedOutcome:
    """One sentence attacked with `runner`, a TextAttack Attack that a recipe built, from random state `seed`."""
    from attacks.tagged_text import TaggedText

    goal = runner.goal_function
    goal.num_queries, start = 0, lanes.clock()
    runner.clear_cache()
    try:
        if len(sample.words) > engine.MAX_WORDS:
            raise ValueError(f"the sentence has {len(sample.words)} words; at most {engine.MAX_WORDS} can be attacked")
        text = TaggedText(sample.words, sample.tags)
        goal.query_budget = max(1, budget_per_word * len(sample.words))
        goal.batch_size = engine.EVERYTHING  # the victim makes the batches
        with engine.seeded(seed):
            result = runner.attack(text, 0)  # TextAttack wants an answer to compare with; our goals have the tags
        return _outcome(result, sample, goal.num_queries, lanes.clock() - start)
    except Exception as error:  # noqa: BLE001 (one example must not end the run; it is recorded)
        seconds, message = lanes.clock() - start, f"{type(error).__name__}: {error}"
        return _made(sample, "error", goal.num_queries, seconds, error=message)


def _outcome(result: Any, sample: TaggedSample, queries: int, seconds: float) -> TaggedOutcome:
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    before = tuple(result.original_result.raw_output.tags)
    if not isinstance(result, SuccessfulAttackResult):
        status = "skipped" if isinstance(result, SkippedAttackResult) else "failed"
        return _made(sample, status, queries, seconds, predicted=before)
    text = result.perturbed_result.attacked_text
    return _made(
        sample,
        "success",
        queries,
        seconds,
        predicted=before,
        perturbed=tuple(text.words),
        perturbed_gold=text.tags,
        perturbed_predicted=tuple(result.perturbed_result.raw_output.tags),
        words_changed=text.words_diff_num(result.original_result.attacked_text),
    )


def _made(sample: TaggedSample, status: Any, queries: int, seconds: float, **known: Any) -> TaggedOutcome:
    names = ("predicted", "perturbed", "perturbed_gold", "perturbed_predicted", "words_changed", "error")
    rest = dict.fromkeys(names) | known
    return TaggedOutcome(
        id=sample.id, status=status, words=sample.words, gold=sample.tags, queries=queries, seconds=seconds, **rest
    )


def _open(recipe: str | ModuleType, kind: str = "tagging") -> tuple[str, TaggingRecipe]:
    name, module = engine.open_recipe(recipe)
    if kind not in module.TASKS:
        raise ValueError(f"the recipe {name!r} attacks {', '.join(module.TASKS)} tasks, not {kind} ones")
    return name, cast(TaggingRecipe, module)


def _same(outcome: TaggedOutcome, sample: TaggedSample) -> bool:
    return (outcome.words, outcome.gold) == (sample.words, sample.tags)
