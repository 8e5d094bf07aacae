from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attacks.engine import attack, fingerprint
from attacks.lexicon import Lexicon, LexiconMissing
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from tests.attacks.conftest import SAMPLES, count_words, timeless

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["deepwordbug", "textfooler"])
def world(request: pytest.FixtureRequest):
    """(recipe, lexicon): DeepWordBug with nothing but stop words, TextFooler with a small full lexicon."""
    wanted = "stopword_lexicon" if request.param == "deepwordbug" else "small_lexicon"
    return request.param, request.getfixturevalue(wanted)


def run(world, samples=SAMPLES, predict=count_words, temperature=1.0, **options) -> list[Outcome]:
    recipe, lexicon = world
    settings = {"lexicon": lexicon, "budget_per_word": 20, "seed": 0, **options}
    return attack(Victim(predict, temperature), samples, recipe, **settings)


def test_every_kind_of_text_gets_a_consistent_outcome(world) -> None:
    outcomes = timeless(run(world))
    assert list(outcomes) == [sample.id for sample in SAMPLES]
    assert not [o.error for o in outcomes.values() if o.error]
    assert outcomes["wrong"].status == "skipped"
    assert outcomes["wrong"].queries == 1
    assert outcomes["long"].status == "success"
    for name in ("digits", "empty", "blank"):
        assert outcomes[name].status == "failed"
    for outcome in outcomes.values():
        before = count_words([outcome.text])[0]
        assert (before.argmax() == outcome.label) == (outcome.status != "skipped")
        assert 1 <= outcome.queries <= max(1, 20 * outcome.words)
        if outcome.perturbed is not None:
            assert count_words([outcome.perturbed])[0].argmax() != outcome.label
            assert outcome.probabilities_after[outcome.label] <= 0.5
            assert 1 <= outcome.words_changed <= outcome.words


def test_textfooler_puts_a_synonym_and_no_antonym(small_lexicon: Lexicon) -> None:
    outcome = run(("textfooler", small_lexicon), [SAMPLES[0]])[0]
    before, after = outcome.text.split(), outcome.perturbed.split()
    swaps = {a.strip("."): b.strip(".") for a, b in zip(before, after, strict=True) if a != b}
    for old, new in swaps.items():
        assert new in small_lexicon.synonyms(old)


def test_results_do_not_depend_on_the_order_or_on_the_rest(world) -> None:
    whole = timeless(run(world))
    shuffled = list(SAMPLES)
    random.Random(1).shuffle(shuffled)
    assert timeless(run(world, shuffled)) == whole
    assert timeless(run(world, SAMPLES[2:4])) == {sample.id: whole[sample.id] for sample in SAMPLES[2:4]}


@pytest.mark.parametrize("in_flight", [1, 2, 50])
def test_results_do_not_depend_on_how_many_are_in_flight(world, in_flight: int) -> None:
    assert timeless(run(world, in_flight=in_flight)) == timeless(run(world))


def test_the_seed_decides_deepwordbug(stopword_lexicon: Lexicon) -> None:
    world = ("deepwordbug", stopword_lexicon)
    assert timeless(run(world, seed=1)) == timeless(run(world, seed=1))
    assert timeless(run(world, seed=1)) != timeless(run(world, seed=2))


def test_global_random_state_is_left_alone(stopword_lexicon: Lexicon) -> None:
    import torch

    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    def seed():
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)

    seed()
    expected = draw()
    seed()
    run(("deepwordbug", stopword_lexicon), SAMPLES[:2])
    assert draw() == expected


def test_sharper_logits_calibrated_back_give_the_same_outcomes(world) -> None:
    plain = timeless(run(world))
    calibrated = timeless(run(world, predict=lambda texts: 20 * count_words(texts), temperature=20.0))
    assert [(o.status, o.perturbed, o.queries) for o in calibrated.values()] == [
        (o.status, o.perturbed, o.queries) for o in plain.values()
    ]
    for a, b in zip(calibrated.values(), plain.values(), strict=True):
        np.testing.assert_allclose(a.probabilities_before, b.probabilities_before, rtol=1e-5)


def test_sharper_logits_without_calibration_are_another_victim(stopword_lexicon: Lexicon) -> None:
    world = ("deepwordbug", stopword_lexicon)
    raw = timeless(run(world, predict=lambda texts: 1000 * count_words(texts)))
    assert raw["long"].probabilities_before == (1.0, 0.0)  # saturated: the attacker sees no slope


def test_a_budget_of_one_word_is_kept(world) -> None:
    for outcome in run(world, budget_per_word=1):
        assert outcome.error is None
        assert outcome.queries <= max(1, outcome.words)
    only = run(world, [Sample("one", "great", 1)], budget_per_word=1)[0]
    assert (only.status, only.queries) == ("failed", 1)


def test_an_error_inside_one_example_is_recorded_and_the_rest_goes_on(world) -> None:
    def fragile(texts):
        if any("superb" in text for text in texts):
            raise RuntimeError("the victim broke")
        return count_words(texts)

    broken, whole = timeless(run(world, predict=fragile)), timeless(run(world))
    assert broken["short"].status == "error"
    assert broken["short"].error == "RuntimeError: the victim broke"
    assert broken["short"].probabilities_before == ()
    del broken["short"], whole["short"]
    assert broken == whole


def test_nan_logits_are_an_error_of_that_example(world) -> None:
    def poisoned(texts):
        logits = count_words(texts)
        logits[["superb" in text for text in texts]] = np.nan
        return logits

    outcomes = timeless(run(world, predict=poisoned))
    assert [o.id for o in outcomes.values() if o.status == "error"] == ["short"]
    assert "not finite" in outcomes["short"].error


def test_a_label_the_victim_lacks_is_an_error_of_that_example(stopword_lexicon: Lexicon) -> None:
    outcomes = run(("deepwordbug", stopword_lexicon), [Sample("x", "a fine film", 7), SAMPLES[0]])
    assert [o.status for o in outcomes] in (["error", "success"], ["skipped", "success"])


def test_column_marks_and_huge_texts_are_refused_with_a_reason(stopword_lexicon: Lexicon) -> None:
    samples = [Sample("mark", "a <SPLIT> good film", 1), Sample("huge", "good film " * 50_000, 1)]
    mark, huge = run(("deepwordbug", stopword_lexicon), samples)
    assert "<SPLIT>" in mark.error
    assert "100000 words" in huge.error


def test_finished_outcomes_are_taken_over_and_new_ones_reported(stopword_lexicon: Lexicon) -> None:
    world, seen = ("deepwordbug", stopword_lexicon), []
    whole = run(world)
    finished = {outcome.id: outcome for outcome in whole[:3]}
    again = run(world, finished=finished, on_outcome=seen.append)
    assert again[:3] == whole[:3]
    assert timeless(again) == timeless(whole)
    assert {outcome.id for outcome in seen} == {sample.id for sample in SAMPLES[3:]}
    assert len(seen) == len(SAMPLES[3:])


@pytest.mark.parametrize("budget", [0, -1, 1.5, True])
def test_bad_budgets_are_refused(stopword_lexicon: Lexicon, budget) -> None:
    with pytest.raises(ValueError, match="budget_per_word"):
        run(("deepwordbug", stopword_lexicon), budget_per_word=budget)


def test_ids_must_be_unique_and_finished_ones_of_the_same_text(stopword_lexicon: Lexicon) -> None:
    world = ("deepwordbug", stopword_lexicon)
    with pytest.raises(ValueError, match="unique"):
        run(world, [SAMPLES[0], SAMPLES[0]])
    other = dataclasses.replace(run(world, [SAMPLES[0]])[0], text="another")
    with pytest.raises(ValueError, match="another text"):
        run(world, [SAMPLES[0]], finished={SAMPLES[0].id: other})


def test_a_recipe_says_which_part_of_the_lexicon_it_misses(stopword_lexicon: Lexicon) -> None:
    with pytest.raises(LexiconMissing, match="has no vectors"):
        run(("textfooler", stopword_lexicon))


def test_fingerprints_tell_recipes_budgets_and_lexicons_apart(stopword_lexicon, small_lexicon) -> None:
    bug = fingerprint("deepwordbug", stopword_lexicon, 20)
    assert bug["textattack"] == "0.3.11"
    assert bug == fingerprint("deepwordbug", small_lexicon, 20)  # it uses stop words only
    others = [fingerprint("textfooler", small_lexicon, 20), fingerprint("deepwordbug", stopword_lexicon, 10)]
    assert all(bug != other for other in others)
    json.dumps([bug, *others], allow_nan=False)


def test_a_fresh_process_with_no_network_attacks_under_strict_warnings(stopword_lexicon: Lexicon) -> None:
    code = (
        "import os, socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network in this test')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "from pathlib import Path\n"
        "from attacks.lexicon import Lexicon\n"
        "assert not {'torch', 'textattack'} & set(sys.modules), 'lexicon must open without them'\n"
        "from attacks.engine import attack\n"
        "from attacks.outcome import Sample\n"
        "from attacks.victim import Victim\n"
        "from tests.attacks.conftest import count_words\n"
        f"lexicon = Lexicon(Path({str(stopword_lexicon.folder)!r}))\n"
        "out = attack(Victim(count_words), [Sample('a', 'a superb film', 1)], 'deepwordbug',\n"
        "             lexicon=lexicon, budget_per_word=20, seed=0)\n"
        "assert os.environ.get('HF_HOME') is None and os.environ.get('XDG_CACHE_HOME') is None\n"
        "print(out[0].status, out[0].perturbed)\n"
    )
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"HF_HUB_OFFLINE": "1", "HOME": str(stopword_lexicon.folder.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=HOUSE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    in_process = run(("deepwordbug", stopword_lexicon), [Sample("a", "a superb film", 1)])[0]
    assert done.stdout.split("\n")[0] == f"{in_process.status} {in_process.perturbed}"
    assert not done.stderr.strip()
