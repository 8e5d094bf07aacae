"""Tiers, mitigation strings and spec ids."""

from __future__ import annotations

import pytest

from bench.spec import TIERS, MitigationSpec, Sizes, Spec, parse_mitigation, tier, with_baseline
from training.errors import UserError


def spec(**changes) -> Spec:
    values = {
        "task": "movie_reviews",
        "task_fingerprint": "f" * 64,
        "model": "bert-tiny",
        "model_fingerprint": "e" * 16,
        "mitigation": "fgm",
        "mitigations": (MitigationSpec(name="fgm", version=1, config={"epsilon": 1.0}),),
        "seed": 0,
        "tier": "smoke",
        "settings": {"learning_rate": 1e-4, "epochs": 1, "batch_size": 16, "max_length": 64},
        "learning_rate_source": "test",
        "sizes": Sizes(attacked=2, explained=1, throughput_rounds=1),
        "recipes": ("deepwordbug",),
        "explainers": ("random",),
        "budget_per_word": 50,
        "lexicon_fingerprint": "0",
    }
    return Spec(**{**values, **changes})


def test_equal_specs_have_equal_ids_and_any_change_shows():
    assert spec().id == spec().id
    changes = [
        {"seed": 1},
        {"task_fingerprint": "0" * 64},
        {"mitigations": (MitigationSpec(name="fgm", version=2, config={"epsilon": 1.0}),)},
        {"mitigations": (MitigationSpec(name="fgm", version=1, config={"epsilon": 2.0}),)},
        {"budget_per_word": 51},
    ]
    assert len({spec(**change).id for change in [{}, *changes]}) == len(changes) + 1


def test_a_field_at_its_default_leaves_the_id_as_it_was():
    """Results from before there were regimes and an adaptive pass keep their names."""
    assert not {"regime", "adaptive"} & set(spec().model_dump())
    assert spec(regime="default", adaptive=False).id == spec().id
    changed = [spec(regime="strict"), spec(adaptive=True)]
    assert len({one.id for one in (spec(), *changed)}) == 3
    assert all(Spec.model_validate(one.model_dump(mode="json")) == one for one in (spec(), *changed))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "data:<script>", "x" * 300, "..", "=cmd()", "ünï"])
def test_ids_are_file_names_whatever_the_user_calls_things(name):
    made = spec(task=name, model=name, mitigation=name).id
    assert "/" not in made
    assert not made.startswith(".")
    assert made.isascii()
    assert len(made) < 230


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("fgm", [("fgm", {})]),
        ("lora+fgm", [("lora", {}), ("fgm", {})]),
        (
            "lora:rank=4,dropout=0.1 + fgm:epsilon=0.5",
            [("lora", {"rank": 4, "dropout": 0.1}), ("fgm", {"epsilon": 0.5})],
        ),
        ("x:name=abc", [("x", {"name": "abc"})]),
    ],
)
def test_parses_stacks_with_settings(text, parsed):
    assert parse_mitigation(text) == parsed


@pytest.mark.parametrize("text", ["", "+fgm", "fgm+", "fgm:epsilon", "fgm:=1", "fgm+fgm"])
def test_refuses_nonsense(text):
    with pytest.raises(UserError):
        parse_mitigation(text)


def test_baseline_always_comes_first_and_once():
    assert with_baseline(["fgm", "baseline", "fgm"]) == ["baseline", "fgm"]


def test_unknown_tier_lists_the_known():
    with pytest.raises(UserError, match="smoke, quick, standard, full"):
        tier("huge")


def test_tiers_grow():
    sizes = [TIERS[name].sizes.attacked for name in ("smoke", "quick", "standard", "full")]
    assert sizes == sorted(sizes)
    assert all(TIERS[name].seeds >= 3 for name in ("quick", "standard", "full"))


def test_all_stands_for_every_mitigation_the_registry_finds():
    from bench.plan import Request, _wanted
    from training import registry

    found = _wanted(Request(mitigations=["all", "lora+fgm"]))
    assert found == [*registry.names("training.mitigations"), "lora+fgm"]
    assert _wanted(Request(mitigations=["fgm"])) == ["fgm"]
