"""Sharpened, flattened and hard-label victims are detected and gain no rank; an honest one loses none."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attacks import engine, lexicon
from attacks.outcome import Outcome
from attacks.victim import Victim
from bench import campaign, leaderboard
from bench.board import Arm, Board
from bench.extraction import extract
from bench.keys import evaluate_key
from bench.metrics import Values
from bench.plan import Request
from bench.record import Table
from bench.report import formats, wording
from bench.robustness import masking
from bench.robustness.attacking import attacked_samples, outcome_table, temperature
from bench.robustness.sweep import FACTORS, sweep
from bench.spec import Sizes
from bench.stages import Cell
from bench.store import Store
from bench.work import RESULT, Work
from tests.attacks.conftest import BAD, GOOD
from tests.bench.conftest import make_record, make_tables
from tests.bench.test_transfer import spec
from training.calibration import fit_temperature
from training.task import Task, classified

# ---- the rule, on numbers


def values(name: str, by_seed: Sequence[Sequence[float]]) -> dict[str, dict[int, Values]]:
    ids = tuple(f"t{i}" for i in range(len(by_seed[0])))
    return {name: {seed: Values(np.array(row, dtype=float), None, ids) for seed, row in enumerate(by_seed)}}


def arm(sweep: Sequence[int], raw: Sequence[int], calibrated: Sequence[int]) -> dict[str, dict[int, Values]]:
    named = (("aua_sweep:d", sweep), ("aua_raw:d", raw), ("aua_calibrated:d", calibrated))
    return {key: value for name, row in named for key, value in values(name, [row]).items()}


def kinds(by_name: dict[str, dict[int, Values]]) -> list[tuple[str, bool]]:
    return [(sign.kind, sign.ranked) for sign in masking.signs(by_name)]


def test_a_sweep_that_takes_significantly_many_texts_is_a_sign() -> None:
    """Of the texts that survive raw and calibrated: five is the least that a sign test against none calls many."""
    ten = [1] * 10
    assert kinds(arm(ten, ten, ten)) == []
    assert kinds(arm([0] * 4 + ten[4:], ten, ten)) == []  # p = 1/16
    assert kinds(arm([0] * 5 + ten[5:], ten, ten)) == [("sweep", False)]  # p = 1/32
    hundred = [1] * 100
    assert kinds(arm([0] * 5 + hundred[5:], hundred, hundred)) == []  # five points do not matter
    assert kinds(arm([0] * 6 + hundred[6:], hundred, hundred)) == [("sweep", False)]
    # what falls raw or calibrated is in their number already
    assert kinds(arm([0] * 5 + ten[5:], ten, [0] * 5 + ten[5:])) == [("raw", True)]


def test_the_loss_is_held_against_the_baseline_s() -> None:
    """The same luck on the same texts is no sign, nor is one text lost by every seed."""
    ten = [1] * 10
    unlucky = arm([0] * 5 + ten[5:], ten, ten)
    assert masking.signs(unlucky, unlucky) == []
    assert [sign.kind for sign in masking.signs(unlucky, arm(ten, ten, ten))] == ["sweep"]
    # five texts more and one fewer: p = 7/64
    assert masking.signs(unlucky, arm([*ten[:9], 0], ten, ten)) == []
    three = {name: dict.fromkeys(range(3), one[0]) for name, one in arm([0, *ten[1:]], ten, ten).items()}
    assert kinds(three) == []


def test_the_swept_texts_are_compared_with_themselves() -> None:
    by_name = arm([0, 0, 1, 1], [1] * 4, [1] * 4)
    for name in ("aua_raw:d", "aua_calibrated:d"):
        ids = tuple(f"t{i}" for i in range(20))
        by_name[name] = {0: Values(np.array([0.0, 0, 1, 1] + [1.0] * 16), None, ids)}
    assert kinds(by_name) == []


def test_a_text_without_a_verdict_at_some_temperature_is_unknown() -> None:
    frame = pd.DataFrame(
        [
            (
                factor,
                one,
                "error" if (factor, one) == (20.0, "b") else "success" if one == "a" and factor == 4.0 else "failed",
            )
            for factor in (1.0, 4.0, 20.0)
            for one in ("a", "b", "c")
        ],
        columns=["factor", "id", "status"],
    ).assign(p_before=0.5)
    record = make_record(tables={"sweep:d": Table(inline={})})
    found = extract(record, lambda _: frame)["aua_sweep:d"]
    assert found.ids == ("a", "b", "c")
    np.testing.assert_array_equal(found.top, [0, np.nan, 1])


@pytest.mark.parametrize(
    ("fitted", "word"),
    [
        ([1.3, 1.4, 1.2], ""),
        ([4.0], ""),
        ([4.1], "sharpened"),
        ([0.26], ""),
        ([0.24, 0.24], "flattened"),
        ([0.5, 27], ""),
    ],
)
def test_the_scale_is_the_geometric_mean_of_the_temperatures(fitted: list[float], word: str) -> None:
    by_name = values("aua_calibrated:d", [[1.0, 0.0]]) | values("temperature", [[t] for t in fitted])
    found = masking.signs(by_name)
    assert [sign.ranked for sign in found] == ([True] if word else [])
    assert all(word in sign.text for sign in found)
    assert masking.signs(values("temperature", [[t] for t in fitted])) == []  # nobody attacked it


def test_answers_that_are_all_alike_are_a_sign() -> None:
    assert kinds(values("score_levels:d", [[0.1], [0.12]])) == [("levels", False)]
    assert kinds(values("score_levels:d", [[0.1], [0.9]])) == []


# ---- the rule, on a board


def swept(survived: Sequence[bool], *, falls: Sequence[int] = (), levels: int = 99) -> pd.DataFrame:
    """A sweep of the first texts: those in `falls` do not survive at 20 times the temperature."""
    rows = [
        {
            "factor": factor,
            "temperature": factor,
            "id": f"text-{i}",
            "status": "success" if not one or (factor == 20.0 and i in falls) else "failed",
            "queries": 10,
            "p_before": 0.9 + 0.001 * (i % levels),
        }
        for factor in (0.05, 1.0, 20.0)
        for i, one in enumerate(survived)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """A baseline and the four ways to hide, 3 seeds; every arm's clean answers are the baseline's."""
    store = Store(tmp_path_factory.mktemp("five"), write=True)
    cases: dict[str, dict[str, Any]] = {
        "baseline": {},
        "honest": {"aua": 0.6},
        "sharp": {"raw_bonus": 0.4, "temperature": 27.0},
        "flat": {"temperature": 0.07},
        "hard": {"aua": 0.95, "levels": 1},
        "hidden": {"aua": 0.9, "falls": range(10)},  # of the 13 swept texts
    }
    for name, case in cases.items():
        for seed in range(3):
            tables = make_tables(
                name if "aua" in case else "baseline", seed, accuracy=0.8, aua={"deepwordbug": case.get("aua", 0.4)},
                raw_bonus=case.get("raw_bonus", 0.0), n=100, attacked=50, noise=0,
            )  # fmt: skip
            first = (tables["attack:deepwordbug:calibrated"]["status"] == "failed").tolist()[:13]
            tables["sweep:deepwordbug"] = swept(first, falls=case.get("falls", ()), levels=case.get("levels", 99))
            tables["clean"] = make_tables(
                "baseline", seed, accuracy=0.8, aua={}, raw_bonus=0.0, n=100, attacked=50, noise=0
            )["clean"]
            summary = {"temperature": case.get("temperature", 1.3)}
            store.write(make_record(name, seed, recipes=["deepwordbug"], summary=summary), tables)
    return leaderboard.build(store)[0]


def of(board: Board, label: str) -> Arm:
    return next(one for one in board.arms if one.label == label)


def test_who_hides_is_named_and_gains_no_rank(five: Board) -> None:
    found = {one.label: [sign.kind for sign in one.signs] for one in five.arms}
    assert found == {
        "baseline": [], "honest": [], "sharp": ["raw", "scale"], "flat": ["scale"], "hard": ["levels"],
        "hidden": ["sweep"],
    }  # fmt: skip
    ranks = {one.label: one.rank for one in five.arms}
    # what calibration undoes stands with the baseline, whose decisions it makes
    assert ranks == {"honest": 1, "baseline": 2, "sharp": 2, "flat": 2, "hard": None, "hidden": None}
    assert of(five, "sharp").verdict == "not distinguishable"
    assert of(five, "hard").verdict == of(five, "hidden").verdict == "masking: not judged"
    assert of(five, "hard").no_rank.startswith("masking: it answers with labels")
    assert [one.label for one in five.arms[-2:]] in (["hard", "hidden"], ["hidden", "hard"])


def test_an_unjudged_arm_does_not_enlarge_the_family(five: Board) -> None:
    assert of(five, "hard").p_adjusted is None
    honest = of(five, "honest")
    assert honest.p_adjusted == pytest.approx(min(1.0, 3 * honest.difference.p))  # type: ignore[union-attr]


def test_the_page_says_why(five: Board) -> None:
    said = " ".join(wording.remarks(five))
    assert "no rank: hard: masking: it answers with labels" in said
    assert "masking: flat: its logits are flattened: the temperature fitted on validation is 0.07" in said
    assert "masking: sharp: its raw AUA exceeds" in said
    assert all("masking" in wording.flags(of(five, name)) for name in ("sharp", "flat", "hard", "hidden"))
    text = formats.render([five])
    arms = {one["mitigation"]: one for one in json.loads(text["json"])["boards"][0]["arms"]}
    assert [sign["kind"] for sign in arms["hard"]["masking_signs"]] == ["levels"]
    assert "AUA, lowest over temperatures" in text["md"]


# ---- the whole path, on victims whose decisions are the same


def graded(texts: Sequence[str]) -> np.ndarray:
    """Logits (n, 2): words of sentiment weigh 1.5, other known words a little, each another amount; typos nothing."""
    rows = []
    for text in texts:
        total = 0.0
        for word in text.lower().replace(".", " ").split():
            known = word in FILLER
            total += 1.5 * (word in GOOD) - 1.5 * (word in BAD)
            total += (int(hashlib.sha256(word.encode()).hexdigest()[:4], 16) / 65535 - 0.5) * 0.4 if known else 0.0
        rows.append([-total / 2, total / 2])
    return np.array(rows, dtype=np.float32)


FILLER = ("film", "movie", "plot", "story", "scene", "actors", "music", "ending", "camera", "script")
VICTIMS: dict[str, Callable[[Sequence[str]], np.ndarray]] = {
    "baseline": graded,
    "sharp": lambda texts: graded(texts) * 20,
    "flat": lambda texts: graded(texts) / 20,
    "hard": lambda texts: 100.0 * np.eye(2, dtype=np.float32)[graded(texts).argmax(axis=1)],
}


def made_task() -> Task:
    rng = random.Random(3)
    texts = {}
    while len(texts) < 96:
        side = rng.randrange(2)
        chosen = [*rng.sample(sorted(GOOD if side else BAD), 2), *rng.sample(FILLER, 4)]
        rng.shuffle(chosen)
        texts[" ".join(chosen)] = side if rng.random() > 0.1 else 1 - side
    rows = tuple(classified(text, label) for text, label in texts.items())
    return Task("toy", "classification", ("bad", "good"), rows[:4], rows[16:], rows[4:16], {}, "", "", 1)


def known_cell(name: str, folder: Path, **changes: Any) -> Cell:
    """A cell whose checkpoint is a victim of known weights, calibrated on the toy task; nothing else can be opened."""
    task, words = made_task(), lexicon.minimal(folder / "lexicon")
    asked = spec("baseline", 0, sizes=Sizes(attacked=12, explained=1, throughput_rounds=0), **changes)
    work = Work(folder / name)
    validation = [example.text for example in task.validation]
    fitted = fit_temperature(VICTIMS[name](validation), np.array([example.label for example in task.validation]))
    done = work.folder / f"evaluate-{evaluate_key(asked)}"
    done.mkdir(parents=True)
    (done / RESULT).write_text(json.dumps({"seconds": 1.0, "result": {"temperature": fitted, "tables": []}}))

    def never(*_: Any) -> Any:
        raise AssertionError("an attack needs the victim alone")

    cell = Cell(asked, task, folder, work, lambda: words, never, never, never, lambda *_: None)
    cell.__dict__["victim"] = Victim(VICTIMS[name])  # in place of a checkpoint
    return cell


def calibrated(cell: Cell, budget: int = 50) -> list[Outcome]:
    victim = cell.victim.with_temperature(temperature(cell))
    return engine.attack(
        victim, attacked_samples(cell), "deepwordbug", lexicon=cell.lexicon(), budget_per_word=budget, seed=0
    )


def attacked_record(name: str, store: Store, folder: Path) -> None:
    """Attacks the victim raw, calibrated and swept, as a run does, and writes its Records for two seeds."""
    cell = known_cell(name, folder)
    fitted = temperature(cell)
    outcomes = [
        engine.attack(
            cell.victim.with_temperature(at),
            attacked_samples(cell),
            "deepwordbug",
            lexicon=cell.lexicon(),
            budget_per_word=50,
            seed=0,
        )
        for at in (fitted, 1.0)
    ]
    tables = {
        "attack:deepwordbug:calibrated": outcome_table(outcomes[0]),
        "attack:deepwordbug:raw": outcome_table(outcomes[1]),
        "sweep:deepwordbug": sweep(cell, "deepwordbug", *outcomes),
    }
    assert len(tables["sweep:deepwordbug"]) == 8 * (len(FACTORS) + 2)
    for seed in range(2):
        store.write(make_record(name, seed, recipes=["deepwordbug"], summary={"temperature": fitted}), tables)


def test_the_three_victims_that_hide_are_detected_by_real_attacks(tmp_path: Path) -> None:
    store = Store(tmp_path / "r", write=True)
    for name in VICTIMS:
        attacked_record(name, store, tmp_path)
    (board,) = leaderboard.build(store)
    found = {one.label: [sign.kind for sign in one.signs] for one in board.arms}
    assert found["baseline"] == []
    assert {"raw", "scale"} <= set(found["sharp"])
    assert found["flat"] == ["scale"]
    assert "levels" in found["hard"]
    scores = {one.label: one.cells["worst_case"].value for one in board.arms}  # type: ignore[union-attr]
    # hiding pays against the attack, and only there: the three victims decide alike
    assert scores["hard"] > scores["baseline"] + 0.3
    assert of(board, "sharp").cells["worst_case_raw"].value > scores["baseline"] + 0.3  # type: ignore[union-attr]
    assert scores["sharp"] == scores["flat"] == scores["baseline"]
    assert {one.label: one.rank for one in board.arms} == {"baseline": 1, "sharp": 1, "flat": 1, "hard": None}


@pytest.mark.slow
def test_the_controls_as_cells_of_a_run(tmp_path: Path, tiny_model: Path) -> None:
    """Trained, saved, opened again, calibrated and attacked: none of the controls ranks above the baseline."""
    lexicon.minimal(tmp_path / "cache" / "lexicon")
    rows = [f'"{example.text}",{("bad", "good")[example.label or 0]}' for part in (made_task(),) for example in
            (*part.train, *part.validation, *part.test)]  # fmt: skip
    data = tmp_path / "mine.csv"
    data.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf8")
    controls = ["sharpened_logits", "flattened_logits", "hard_labels"]
    request = Request(
        tier="smoke", data=data, model=str(tiny_model), mitigations=controls, recipes=["deepwordbug"],
        explainers=["random"], seeds=2, results=tmp_path / "r", cache=tmp_path / "cache",
        settings={"epochs": 6, "learning_rate": 5e-3},
    )  # fmt: skip
    assert campaign.run_all(request, workers=2).failed == {}
    (board,) = leaderboard.build(Store(tmp_path / "r"))
    signs = {one.label: {sign.kind for sign in one.signs} for one in board.arms}
    assert "levels" in signs["hard_labels"]
    assert of(board, "hard_labels").rank is None
    baseline = of(board, "baseline")
    for name in ("sharpened_logits", "flattened_logits"):
        assert (of(board, name).rank or 99) >= (baseline.rank or 99)
