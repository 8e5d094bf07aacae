"""Run one recipe against one victim over many texts, through TextAttack's own Attack, one Outcome per text.

Every text is attacked from a state of its own: the random generators are seeded from (seed, sample id, recipe), and
whatever is remembered across texts (victim, encoder, parts of speech) answers the same whether it is remembered or not.
Many texts are in flight at once (attacks/lanes.py) and go through the models together, which changes no answer
(attacks/batching.py). So results do not depend on the order of the texts, on how many are in flight, on what ran
before, or on where a run was interrupted.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from attacks import lanes, regimes, splitting
from attacks.lexicon import Lexicon, prepare_textattack
from attacks.outcome import Outcome, Sample, Status
from attacks.victim import Victim

VERSION = 1
IN_FLIGHT = 32  # examples attacked at a time; outcomes do not depend on it
EVERYTHING = 10**9
MAX_WORDS = 5_000  # ranking n words makes n texts of n words; beyond this one example takes many minutes


class Identified(Protocol):
    """An example; ids are unique within a run."""

    @property
    def id(self) -> str: ...


Asked = TypeVar("Asked", bound=Identified)
Made = TypeVar("Made")


class Recipe(Protocol):
    """What a module in attacks/recipes/ offers; the module's name is the recipe's name."""

    VERSION: int
    TASKS: tuple[str, ...]
    COMPONENTS: str
    KIND: str
    NEEDS: tuple[str, ...]

    def build(self, victim: Victim, lexicon: Lexicon) -> Any: ...


def attack(
    victim: Victim,
    samples: Sequence[Sample],
    recipe: str | ModuleType,
    *,
    lexicon: Lexicon,
    budget_per_word: int,
    seed: int,
    finished: Mapping[str, Outcome] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    regime: str = "default",
    in_flight: int = IN_FLIGHT,
) -> list[Outcome]:
    """One Outcome per sample, in the order of `samples`; `in_flight` (>= 1) examples at a time share their forwards.

    `recipe` is a module of attacks/recipes/ or its name. An example may spend `budget_per_word` (>= 1) queries for each
    of its words as TextAttack counts them, at least 1 in all. Outcomes in `finished` (by sample id) are taken over;
    `on_outcome` is called once for every other one, as soon as it is there. An exception inside an example becomes an
    Outcome with status "error". Raises ValueError for bad arguments, LexiconMissing when the recipe needs a part the
    lexicon lacks.
    """
    done = dict(finished or {})
    check_samples(samples, done, budget_per_word, _same, "another text or label")
    name, module = open_recipe(recipe)
    prepare_textattack(lexicon.folder)
    done |= run_in_flight(
        [sample for sample in samples if sample.id not in done],
        lambda: regimes.constrain(module.build(victim, lexicon), regime, lexicon, module.KIND),
        lambda runner, sample: _attack_one(runner, sample, budget_per_word, seed_of(seed, sample.id, name)),
        in_flight,
        on_outcome,
    )
    return [done[sample.id] for sample in samples]


def run_in_flight(
    samples: Sequence[Asked],
    build: Callable[[], Any],
    attack_one: Callable[[Any, Asked], Made],
    in_flight: int,
    on_outcome: Callable[[Made], None] | None,
) -> dict[str, Made]:
    """Sample id -> outcome. `build` makes an Attack; each example in flight has its own, which holds its state."""

    def guarded() -> Any:
        runner = build()
        search = runner.search_method.perform_search
        runner.search_method.perform_search = lambda first: first if _over(runner, first) else search(first)
        return runner

    done: dict[str, Made] = {}
    with warnings.catch_warnings(), splitting.remembered():
        # TextAttack's Logger.warn, once per goal function: "unknown if model is compatible"
        warnings.simplefilter("ignore", DeprecationWarning)
        idle = [guarded()]

        def job(sample: Asked) -> Made:
            runner = idle.pop() if idle else guarded()
            outcome = attack_one(runner, sample)
            idle.append(runner)
            return outcome

        for position, outcome in lanes.run([functools.partial(job, sample) for sample in samples], in_flight):
            done[samples[position].id] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
    return done


def _over(runner: Any, first: Any) -> bool:
    """Whether there is nothing to search: no words, or a budget that the first look has spent.

    Of TextAttack's searches the greedy and the genetic ones fail on either.
    """
    goal = runner.goal_function
    return bool(goal.num_queries >= goal.query_budget or not first.attacked_text.words)


def fingerprint(
    recipe: str | ModuleType, lexicon: Lexicon, budget_per_word: int, regime: str = "default"
) -> dict[str, str | int]:
    """What must agree for two sets of outcomes to be comparable."""
    name, module = open_recipe(recipe)
    needs = {*module.NEEDS, *regimes.NEEDS[regime]}
    return {
        "name": name,
        "version": module.VERSION,
        "engine": VERSION,
        "kind": module.KIND,
        "components": module.COMPONENTS,
        "lexicon": lexicon.fingerprint_for(needs) if needs - {"stopwords"} else "stopwords",
        "textattack": version("textattack"),
        "budget_per_word": budget_per_word,
        **({} if getattr(module, "RANKED", True) else {"ranked": False}),
        **regimes.fingerprint(regime),
    }


def open_recipe(recipe: str | ModuleType) -> tuple[str, Recipe]:
    """(name, module) of a module of attacks/recipes/ or its name."""
    module = importlib.import_module(f"attacks.recipes.{recipe}") if isinstance(recipe, str) else recipe
    return module.__name__.rpartition(".")[2], cast(Recipe, module)


def _same(outcome: Outcome, sample: Sample) -> bool:
    return (outcome.text, outcome.label) == (sample.text, sample.label)


def check_samples(
    samples: Sequence[Asked],
    finished: Mapping[str, Made],
    budget_per_word: int,
    agree: Callable[[Made, Asked], bool],
    what: str,
) -> None:
    """Raises ValueError for a bad budget, an id that stands twice, or a finished outcome that does not `agree` with its
    sample: then it is of `what`, in words."""
    if isinstance(budget_per_word, bool) or not isinstance(budget_per_word, int) or budget_per_word < 1:
        raise ValueError(f"budget_per_word is {budget_per_word!r}; allowed: a whole number >= 1")
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise ValueError(f"two samples have the id {sample.id!r}; ids must be unique")
        seen.add(sample.id)
        outcome = finished.get(sample.id)
        if outcome is not None and not agree(outcome, sample):
            raise ValueError(f"the finished outcome {sample.id!r} is of {what}; start afresh")


def seed_of(seed: int, sample_id: str, recipe: str) -> int:
    """What the random generators of one attack start from, 32 bits."""
    digest = hashlib.sha256("\x1f".join((str(seed), sample_id, recipe)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's CPU generators start from `seed` inside, and go on as before outside."""
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _attack_one(runner: Any, sample: Sample, budget_per_word: int, seed: int) -> Outcome:
    from textattack.shared import AttackedText

    goal = runner.goal_function
    goal.num_queries, words, start = 0, 0, lanes.clock()
    runner.clear_cache()
    try:
        if AttackedText.SPLIT_TOKEN in sample.text:
            raise ValueError(f"the text contains {AttackedText.SPLIT_TOKEN}, which TextAttack takes for a column mark")
        attacked = AttackedText(sample.text)
        words = attacked.num_words
        if words > MAX_WORDS:
            raise ValueError(f"the text has {words} words; at most {MAX_WORDS} can be attacked")
        goal.query_budget = max(1, budget_per_word * words)
        goal.batch_size = EVERYTHING  # the victim makes the batches
        with seeded(seed):
            result = runner.attack(attacked, sample.label)
        return _outcome(result, sample, goal.num_queries, words, lanes.clock() - start)
    except Exception as error:  # noqa: BLE001 (one example must not end the run; it is recorded)
        message = f"{type(error).__name__}: {error}"
        seconds = lanes.clock() - start
        return Outcome(
            sample.id,
            "error",
            sample.text,
            None,
            sample.label,
            (),
            None,
            goal.num_queries,
            words,
            None,
            seconds,
            message,
        )


def _outcome(result: Any, sample: Sample, queries: int, words: int, seconds: float) -> Outcome:
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    status: Status = "skipped" if isinstance(result, SkippedAttackResult) else "failed"
    perturbed, after, changed = None, None, None
    if isinstance(result, SuccessfulAttackResult):
        status = "success"
        text = result.perturbed_result.attacked_text
        perturbed, after = text.text, _row(result.perturbed_result.raw_output)
        changed = min(words, len(text.attack_attrs["modified_indices"]))
    return Outcome(
        id=sample.id,
        status=status,
        text=sample.text,
        perturbed=perturbed,
        label=sample.label,
        probabilities_before=_row(result.original_result.raw_output),
        probabilities_after=after,
        queries=queries,
        words=words,
        words_changed=changed,
        seconds=seconds,
        error=None,
    )


def _row(output: Any) -> tuple[float, ...]:
    return tuple(float(x) for x in output)
