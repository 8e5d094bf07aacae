"""Presets: a published protocol as data, run with `temper run --preset NAME` on any model and with either head."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from bench.spec import BASELINE, Sizes, Tier, tier
from training.errors import UserError

DEFAULT_TIER = "quick"


class Preset(BaseModel):
    """What is run, as in a tier, and the `settings` every arm is trained with (fields of training.hooks.Settings)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Tier
    settings: dict[str, Any]


class Chosen(NamedTuple):
    """The name that stands in the tables, the amount of work, and the settings that come with it."""

    name: str
    tier: Tier
    settings: dict[str, Any]


PRESETS: dict[str, Preset] = {
    "founding_ner": Preset(
        tier=Tier(
            purpose="the founding article's named entities: CoNLL-2003, AdamW at 1e-5, batch 16, 5 epochs, length 128",
            model="minilm-l6",
            tasks=("conll2003",),
            mitigations=(BASELINE,),
            recipes=(),
            explainers=(),
            seeds=1,
            epochs=5,
            sizes=Sizes(attacked=1, explained=1, throughput_rounds=12),
        ),
        settings={"learning_rate": 1e-5, "batch_size": 16, "max_length": 128},
    ),
}


def choose(tier_name: str | None, preset_name: str | None) -> Chosen:
    """The tier called `tier_name` (quick by default), or the preset, with the sizes of the tier where one is named.

    Raises UserError with the known names for an unknown one.
    """
    if preset_name is None:
        return Chosen(tier_name or DEFAULT_TIER, tier(tier_name or DEFAULT_TIER), {})
    if preset_name not in PRESETS:
        raise UserError(f"unknown preset '{preset_name}'. Known: {', '.join(PRESETS)}.")
    preset = PRESETS[preset_name]
    if tier_name is None:
        return Chosen(preset_name, preset.tier, preset.settings)
    sized = preset.tier.model_copy(update={"sizes": tier(tier_name).sizes})
    return Chosen(f"{preset_name}-{tier_name}", sized, preset.settings)
