"""What is asked: tiers, and the Spec of one cell (task x model x mitigation x seed) whose id names the files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from training.errors import UserError

BASELINE = "baseline"
# where a learning rate is from that nobody searched
GIVEN = "given by the user"
PRESET = "preset "
# The baseline and of each family the arm with the highest worst case on one seed of the whole shelf, each at its own
# learning rate (results/reference/shelf), among those at most a point of clean accuracy below the baseline; of equal
# ones the one with the higher mean accuracy under the two ranked attacks. And FreeLB: of the arms that train against an
# attack it is the one whose loss three seeds and 200 texts can see, so a gate on `quick` has something to find.
ARMS = ("baseline", "sam", "ascc", "freelb", "intermediate_task", "two_four_sparsity", "attribution_prior")
# At 500 texts BERT-tiny's learning rate, doubled, without warm-up, clipping and bias correction fails in most runs, but
# not beyond rescue: with clipping or with warm-up, three of four runs learn (validation, seeds 0 to 3).
UNSTABLE = "unstable:factor=2"
RESCUERS = ("clip_norm", "small_lr", "r_drop", "mixout", "reinit_top", "ema")
RESCUES = ("baseline", UNSTABLE, "unstable:factor=2,warmup=0.1", *(f"{UNSTABLE}+{name}" for name in RESCUERS))


# the recipes of a tier whose own ones are not for the kind of a task
RECIPES = {
    "classification": ("deepwordbug", "textfooler"),
    "tagging": ("ner_deepwordbug", "ner_textfooler", "entity_swap"),
}
# every method there is (explain/methods)
EXPLAINERS = (
    "integrated_gradients", "occlusion", "saliency_l2", "input_x_gradient", "gradient_shap", "smooth_grad",
    "kernel_shap", "lime", "shapley_sampling", "layer_conductance", "attention_rollout", "random",
)  # fmt: skip


class Sizes(BaseModel):
    """How much of everything; None means all there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int | None = Field(default=None, ge=2)
    validation: int | None = Field(default=None, ge=2)
    test: int | None = Field(default=None, ge=2)
    out_of_domain: int | None = Field(default=None, ge=1, description="texts of each domain")
    attacked: int = Field(ge=1)
    explained: int = Field(ge=1)
    throughput_rounds: int = Field(ge=0, description="0: no step times are taken")


class Tier(BaseModel):
    """A ready-made amount of work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: str
    model: str
    tasks: tuple[str, ...]
    mitigations: tuple[str, ...]
    recipes: tuple[str, ...] = ("deepwordbug", "textfooler")
    explainers: tuple[str, ...] = ("integrated_gradients", "random")
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)
    budget_per_word: int = Field(default=50, ge=1, description="victim queries per word of the text")
    sizes: Sizes


TIERS: dict[str, Tier] = {
    "smoke": Tier(
        purpose="does everything run? minutes on 2 cores; no conclusions",
        model="bert-tiny",
        tasks=("movie_reviews",),
        mitigations=("baseline", "fgm"),
        seeds=1,
        epochs=1,
        sizes=Sizes(
            train=1600, validation=200, test=200, out_of_domain=50, attacked=8, explained=6, throughput_rounds=6
        ),
    ),
    "quick": Tier(
        purpose="a first leaderboard: seven arms, 3 seeds, half an hour on 2 cores",
        model="bert-tiny",
        tasks=("movie_reviews",),
        mitigations=ARMS,
        # the last one is shown beside the ranking: 200 texts in seconds, where the searches' 50 see 10 points at best
        recipes=("deepwordbug", "textfooler", "embedding_pgd"),
        explainers=EXPLAINERS,
        seeds=3,
        epochs=2,
        sizes=Sizes(
            train=4000, validation=800, test=1000, out_of_domain=400, attacked=50, explained=20, throughput_rounds=12
        ),
    ),
    "standard": Tier(
        purpose="all training data, 200 attacked texts; hours on 2 cores, minutes on a GPU",
        model="minilm-l6",
        tasks=("movie_reviews", "ner_finance"),
        mitigations=ARMS,
        seeds=3,
        epochs=1,
        sizes=Sizes(out_of_domain=1000, attacked=200, explained=50, throughput_rounds=20),
    ),
    "full": Tier(
        purpose="5 seeds, 1,000 attacked texts; a GPU",
        model="minilm-l6",
        tasks=("movie_reviews", "ner_finance"),
        mitigations=ARMS,
        seeds=5,
        epochs=3,
        sizes=Sizes(attacked=1000, explained=300, throughput_rounds=50),
    ),
    "stability": Tier(
        purpose="which mitigation rescues an unstable setting? short runs, minutes on 2 cores",
        model="bert-tiny",
        tasks=("movie_reviews",),
        mitigations=RESCUES,
        recipes=(),
        explainers=(),
        seeds=10,
        epochs=3,
        sizes=Sizes(
            train=500, validation=400, test=400, out_of_domain=50, attacked=50, explained=20, throughput_rounds=0
        ),
    ),
}


class MitigationSpec(BaseModel):
    """One mitigation of a stack: its name, its VERSION and its complete Config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    config: dict[str, Any]


class Spec(BaseModel):
    """One cell, completely resolved. Two equal Specs ask for the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    task_fingerprint: str
    model: str
    model_fingerprint: str
    mitigation: str
    mitigations: tuple[MitigationSpec, ...]
    seed: int = Field(ge=0)
    tier: str
    settings: dict[str, Any]
    learning_rate_source: str
    sizes: Sizes
    recipes: tuple[str, ...]
    explainers: tuple[str, ...]
    budget_per_word: int
    lexicon_fingerprint: str
    regime: str = Field(default="default", description="constraints beyond the recipes' own (attacks/regimes.py)")
    adaptive: bool = Field(default=False, description="whether survivors are attacked again, harder")
    goal: str = Field(default="untargeted", description="what an attack on a tagger wants (attacks/goals.py)")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is at its default is left out, so that the ids of cells from before these fields stand
        found: dict[str, Any] = handler(self)
        unsaid = (("regime", "default"), ("adaptive", False), ("goal", "untargeted"))
        return {k: v for k, v in found.items() if (k, v) not in unsaid}

    @property
    def id(self) -> str:
        """A file name: readable parts, then eight hex digits over the whole Spec."""
        digest = hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        parts = (self.task, self.model, self.mitigation, f"s{self.seed}", self.tier)
        readable = "--".join(re.sub(r"[^A-Za-z0-9_.+-]+", "-", part).strip("-.")[:40] for part in parts)
        return f"{readable}--{digest[:8]}"


def tier(name: str) -> Tier:
    """The tier called `name`; UserError with the known ones otherwise."""
    if name not in TIERS:
        raise UserError(f"unknown tier '{name}'. Known: {', '.join(TIERS)}.")
    return TIERS[name]


def parse_mitigation(text: str) -> list[tuple[str, dict[str, Any]]]:
    """`lora:rank=4+fgm:epsilon=0.5` -> [("lora", {"rank": 4}), ("fgm", {"epsilon": 0.5})].

    Values are read as JSON (numbers, true, null, quoted strings), else taken as plain strings. Raises UserError.
    """
    stack = []
    for part in text.split("+"):
        name, _, settings = part.strip().partition(":")
        if not name:
            raise UserError(f"'{text}' names no mitigation; write for example fgm, lora+fgm or fgm:epsilon=0.5.")
        values: dict[str, Any] = {}
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals or not key.strip():
                raise UserError(f"'{setting}' in '{text}' is no setting; write name=value.")
            try:
                values[key.strip()] = json.loads(value)
            except json.JSONDecodeError:
                values[key.strip()] = value
        stack.append((name, values))
    if len({name for name, _ in stack}) < len(stack):
        raise UserError(f"'{text}' names a mitigation twice.")
    return stack


def with_baseline(mitigations: Sequence[str]) -> list[str]:
    """The asked mitigations, once each, the baseline first: every ratio and transfer column needs it."""
    return list(dict.fromkeys([BASELINE, *mitigations]))
