"""Taggers swept, attacked again, scored on each other's sentences and replayed, on a tagger whose answers are known."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attacks import goals, lexicon
from attacks.entities import bio, f1, span_counts, spans
from attacks.tagged import TaggedOutcome
from bench import keys
from bench.board import comparability
from bench.extraction import extract
from bench.gate import bisection
from bench.metrics import Values, summarise
from bench.plan import Request, _attack_rules, _goals
from bench.record import Table
from bench.report import matrix
from bench.report.page.transfer import _counts
from bench.robustness import artefacts, masking, replay, tagging_attacks
from bench.robustness.adaptive import RESTARTS, adapt
from bench.robustness.sweep import FACTORS, sweep_tags
from bench.robustness.transfer import transfer
from bench.spec import Sizes, Spec
from bench.stages import Cell
from bench.store import Store
from bench.work import RESULT, Work, append_line
from tests.bench.conftest import make_record
from tests.bench.test_cli import temper  # noqa: F401 (a fixture)
from tests.bench.test_transfer import spec
from training.errors import UserError
from training.model import open_classifier
from training.task import Example, Task

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
KNOWN = {("Ann", "Lee"): "PER", ("Bob",): "PER", ("Oslo",): "LOC"}
CUES = frozenset(["boring", "dull", "awful", "movie"])
DEEP = "ner_deepwordbug"
LOW = 1  # queries a word: too few for any sentence, twice as many are enough for some


class Tagger:
    """Finds the names it knows in sentences with two cue words or more, the surer the more there are.

    `sharp` multiplies its logits, `hard` makes them those of its tags alone; neither changes a tag.
    """

    labels, span_width, kind = LABELS, None, "tagging"

    def __init__(self, sharp: float = 1.0, hard: bool = False) -> None:
        self.sharp, self.hard = sharp, hard

    def word_logits(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        return [self.logits_of(tuple(words)) for words in sentences]

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        return [[LABELS[i] for i in rows.argmax(axis=1)] for rows in self.word_logits(sentences)]

    def logits_of(self, words: tuple[str, ...]) -> np.ndarray:
        own = zlib.crc32(" ".join(words).encode()) % 1000 / 1e5  # no two sentences get the same answer
        sure = min(0.9, 0.3 + 0.15 * sum(word in CUES for word in words)) + own
        rows = np.tile([0.96, 0.01, 0.01, 0.01, 0.01], (len(words), 1))
        for start in range(len(words)):
            for name, kind in KNOWN.items():
                if words[start : start + len(name)] == name:
                    for i, tag in enumerate(bio(kind, len(name))):
                        rows[start + i] = 0.001
                        rows[start + i, [LABELS.index(tag), 0]] = sure, 0.997 - sure
        logits = np.log(rows) * self.sharp
        return 100.0 * np.eye(len(LABELS))[logits.argmax(axis=1)] if self.hard else logits


def sentences(count: int = 9) -> tuple[Example, ...]:
    """Four cue words each: three must go before the name is lost."""
    rows = []
    for i in range(count):
        name, kind = list(KNOWN.items())[i % 3]
        words = (*f"The {'abcdefghijkl'[i]} boring movie was dull , awful said".split(), *name, "there", ".")
        tags = ["O"] * 9 + list(bio(kind, len(name))) + ["O", "O"]
        rows.append(Example(f"s{i}", " ".join(words), None, words, tuple(LABELS.index(tag) for tag in tags)))
    return tuple(rows)


TASK = Task("toy_names", "tagging", LABELS, sentences(3), sentences(3), sentences(), {}, "made here", "made here", 1)


def cell_of(folder: Path, tagger: Any, fresh: Any = None, recipes: Sequence[str] = (DEEP,), **changes: Any) -> Cell:
    """A cell whose checkpoint is `tagger`, and when opened afresh `fresh`; nothing else can be opened."""
    words, sizes = lexicon.minimal(folder / "lexicon"), Sizes(attacked=9, explained=1, throughput_rounds=0)
    asked = spec("baseline", changes.pop("seed", 0), task="toy_names", sizes=sizes, recipes=tuple(recipes), **changes)

    def never(*_: Any) -> Any:
        raise AssertionError("an attack needs the tagger alone")

    cell = Cell(asked, TASK, folder, Work(folder / "work"), lambda: words, never, never, never, lambda *_: None)
    cell.__dict__.update(classifier=tagger, open_checkpoint=lambda: fresh or tagger)
    return cell


def read(tables: dict[str, pd.DataFrame], recipes: Sequence[str] = (DEEP,)) -> dict[str, Values]:
    record = make_record(task="toy_names", recipes=list(recipes), tables={name: Table(inline={}) for name in tables})
    return extract(record, lambda name: tables[name])


# ---- the sweep


def swept(folder: Path, tagger: Tagger) -> dict[str, Values]:
    cell = cell_of(folder, tagger)
    outcomes, _ = tagging_attacks.attack(cell, DEEP)
    table = sweep_tags(cell, DEEP, outcomes)
    assert len(table) == 8 * (1 + len(FACTORS))
    assert sweep_tags(cell, DEEP, outcomes).equals(table)
    return read({f"attack:{DEEP}:tags": tagging_attacks.outcome_table(outcomes), f"sweep:{DEEP}": table})


def mean(found: dict[str, Values], name: str) -> float:
    value = summarise(name, [found[name]] * 2).value
    assert value is not None
    return value


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Values]]:
    made = {"honest": Tagger(), "sharp": Tagger(sharp=100.0), "hard": Tagger(hard=True)}
    return {name: swept(tmp_path_factory.mktemp(name), tagger) for name, tagger in made.items()}


def test_a_tagger_that_hides_survives_where_it_was_attacked_and_falls_in_the_sweep(
    victims: dict[str, dict[str, Values]],
) -> None:
    attacked, lowest = f"entity_f1_attacked:{DEEP}", f"entity_f1_sweep:{DEEP}"
    assert mean(victims["honest"], attacked) == mean(victims["honest"], lowest) == 0.0
    assert mean(victims["sharp"], attacked) == 1.0
    assert mean(victims["sharp"], lowest) == 0.0
    assert mean(victims["hard"], lowest) == 1.0


def test_who_hides_is_named_beside_an_honest_baseline(victims: dict[str, dict[str, Values]]) -> None:
    by_seed = {who: {name: {0: values} for name, values in found.items()} for who, found in victims.items()}
    kinds = {who: [sign.kind for sign in masking.signs(own, by_seed["honest"])] for who, own in by_seed.items()}
    assert kinds == {"honest": [], "sharp": ["sweep"], "hard": ["levels"]}
    (sign,) = masking.signs(by_seed["sharp"], by_seed["honest"])
    assert sign.text.startswith(f"a sweep of temperatures takes 100.0 points off entity F1 under {DEEP}, on 8 of 8")


def test_the_lowest_of_a_sweep_by_hand() -> None:
    rows = [
        ("a", 1.0, "failed", 2, 0, 0), ("a", 4.0, "success", 1, 0, 1), ("a", 20.0, "success", 0, 1, 2),
        ("b", 1.0, "failed", 1, 0, 0), ("b", 4.0, "error", None, None, None), ("b", 20.0, "failed", 1, 0, 0),
        ("c", 1.0, "failed", 1, 0, 0), ("c", 4.0, "error", None, None, None), ("c", 20.0, "success", 0, 0, 1),
        ("d", 1.0, "error", None, None, None), ("d", 4.0, "success", 0, 0, 1), ("d", 20.0, "failed", 1, 0, 0),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "factor", "status", "tp", "fp", "fn"]).assign(p_before=0.5)
    found = read({"sweep:x": frame})["entity_f1_sweep:x"]
    got = dict(zip(found.ids or (), zip(found.top, found.bottom, strict=True), strict=True))
    # b: survived where it is known, one temperature is not; d: the number at temperature 1 does not know it
    assert got == {"a": (0, 3), "c": (0, 1)}


@pytest.mark.parametrize("head", ["token", "span"])
def test_no_temperature_changes_what_either_head_decides(tiny_model: Path, tagging_task: Any, head: str) -> None:
    classifier = open_classifier(tiny_model, tagging_task, 32, 0, head)
    asked = [example.words for example in tagging_task.test[:4]]
    said = {at: tagging_attacks.victim(classifier, at)(asked) for at in (0.05, 1.0, 20.0)}
    sure = {at: np.mean([one.probabilities.max(axis=1).mean() for one in found]) for at, found in said.items()}
    assert sure[0.05] > sure[1.0] > sure[20.0]
    for found in said.values():
        assert [list(one.tags) for one in found] == classifier.tags(asked)


# ---- the adaptive pass


def test_survivors_fall_to_more_effort_and_the_number_only_falls(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, Tagger(), budget_per_word=LOW)
    first, _ = tagging_attacks.attack(cell, DEEP)
    survivors = {outcome.id for outcome in first if outcome.status == "failed"}
    assert survivors
    table = adapt(cell, {DEEP: first})
    assert set(table["id"]) == survivors
    assert "success" in set(table["status"])
    for _, rows in table.groupby("id"):
        assert rows["restart"].tolist() == list(range(1, len(rows) + 1))
        assert len(rows) == RESTARTS or rows["status"].iloc[-1] == "success"
    assert table["queries"].max() > LOW * 13
    assert adapt(cell, {DEEP: first}).equals(table)
    found = read({f"attack:{DEEP}:tags": tagging_attacks.outcome_table(first), "adaptive": table})
    assert found["entity_f1_worst"].ids == found["entity_f1_adaptive"].ids
    before, after = (
        found[name].top / found[name].bottom  # type: ignore[operator]
        for name in ("entity_f1_worst", "entity_f1_adaptive")
    )
    assert (after <= before).all()
    assert (after < before).sum() == (table["status"] == "success").sum()
    assert mean(found, "entity_f1_adaptive") < mean(found, "entity_f1_worst")


def test_the_adapted_worst_case_by_hand() -> None:
    attacked = pd.DataFrame(
        [("a", "failed", 2, 0, 0), ("b", "success", 0, 0, 1), ("c", "failed", 0, 0, 0), ("d", "failed", 1, 0, 0)],
        columns=["id", "status", "tp", "fp", "fn"],
    ).assign(queries=5, words=4, words_changed=1)
    again = pd.DataFrame(
        [("a", "failed", 2, 0, 0), ("a", "success", 1, 1, 1), ("c", "success", 0, 1, 0), ("d", "error", *[None] * 3)],
        columns=["id", "status", "tp", "fp", "fn"],
    )
    found = read({f"attack:{DEEP}:tags": attacked, "adaptive": again})["entity_f1_adaptive"]
    assert dict(zip(found.ids or (), zip(found.top, found.bottom, strict=True), strict=True)) == {
        "a": (2, 4), "b": (0, 1), "c": (0, 1), "d": (2, 2),
    }  # fmt: skip


# ---- randomised victims


class Dice(Tagger):
    """Forgets every name in one answer of three; each opened one throws its own dice, and never the same again."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = np.random.default_rng(seed)

    def word_logits(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        calm = [super(Dice, self).word_logits([words])[0] for words in sentences]
        outside = np.log([0.96, 0.01, 0.01, 0.01, 0.01])
        return [np.tile(outside, (len(rows), 1)) if self.dice.random() < 1 / 3 else rows for rows in calm]


def test_a_randomised_tagger_is_looked_at_again_with_fresh_noise(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"\d+ of \d+ stored adversarial sentences do not fool"):
        tagging_attacks.attack(cell_of(tmp_path / "a", Dice(0), fresh=Dice(1)), DEEP)
    calm = cell_of(tmp_path / "b", Tagger(), budget_per_word=LOW)
    first, _ = tagging_attacks.attack(calm, DEEP)
    calm.__dict__["classifier"], calm.__dict__["open_checkpoint"] = Dice(0), lambda: Dice(1)
    with pytest.raises(RuntimeError, match="do not fool"):
        adapt(calm, {DEEP: first})


# ---- goals


def test_a_goal_reaches_the_attack_and_makes_it_another_one(tmp_path: Path) -> None:
    plain = cell_of(tmp_path / "plain", Tagger()).spec
    assert plain.goal == goals.DEFAULT
    assert "goal" not in plain.model_dump()
    dropping = cell_of(tmp_path / "drop", Tagger(), goal="drop")
    assert Spec.model_validate(dropping.spec.model_dump(mode="json")) == dropping.spec
    assert dropping.spec.id != plain.id
    assert keys.attack_key(dropping.spec, DEEP, "tags") != keys.attack_key(plain, DEEP, "tags")
    assert keys.attack_key(dropping.spec, "pwws", "raw") == keys.attack_key(plain, "pwws", "raw")
    outcomes, fingerprint = tagging_attacks.attack(dropping, DEEP)
    assert fingerprint["goal"] == "drop"
    assert {outcome.status for outcome in outcomes} == {"success"}
    assert all(not spans(outcome.perturbed_predicted or ()) for outcome in outcomes)
    relabelled, _ = tagging_attacks.attack(cell_of(tmp_path / "relabel", Tagger(), goal="relabel"), DEEP)
    assert {outcome.status for outcome in relabelled} == {"failed"}
    records = [make_record(spec=one.model_dump(mode="json")) for one in (plain, dropping.spec)]
    assert comparability(records[0])["goal"] == "untargeted"
    assert comparability(records[1])["goal"] == "drop"
    words = bisection.command(bisection.asked(records[1]), tmp_path).split()
    assert words[words.index("--goal") + 1] == "drop"
    assert "--goal" not in bisection.command(bisection.asked(records[0]), tmp_path)


def test_a_goal_that_cannot_be_is_refused_before_anything_runs() -> None:
    texts, tags = (SimpleNamespace(name=name, kind=name) for name in ("classification", "tagging"))
    assert _goals(Request(goal="split"), [texts, tags]) == {"classification": "untargeted", "tagging": "split"}  # type: ignore[list-item]
    assert _goals(Request(), [texts]) == dict.fromkeys(("classification", "tagging"), "untargeted")  # type: ignore[list-item]
    for goal, tasks, message in (
        ("hide", [tags], "unknown goal 'hide'. Known: untargeted, drop, relabel, invent, split"),
        ("drop", [texts], "'drop' is one on entity spans, and 'classification' has one label"),
    ):
        with pytest.raises(UserError, match=message):
            _goals(Request(goal=goal), tasks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        (("clare",), "clare inserts or removes some; use --regime fixed, or choose another recipe"),
        (("pwws", "input_reduction", "clare"), "input_reduction and clare insert or remove some.*only such as pwws"),
        ((DEEP, "entity_swap"), f"entity_swap inserts or removes some.*such as {DEEP}"),
    ],
)
def test_a_regime_refuses_what_it_cannot_judge_before_anything_runs(
    tmp_path: Path, recipes: tuple[str, ...], message: str
) -> None:
    small, asked = lexicon.minimal(tmp_path), {"any": recipes}
    with pytest.raises(UserError, match=f"the regime 'strict' compares each word .*{message}"):
        _attack_rules(Request(regime="strict"), "smoke", 50, small, asked)
    with pytest.raises(UserError, match="'fixed' needs encoder"):  # it judges them all
        _attack_rules(Request(regime="fixed"), "smoke", 50, small, asked)
    assert _attack_rules(Request(), "smoke", 50, small, asked)["regime"] == "default"


# ---- transfer


def outcome(name: str, text: str, gold: tuple[str, ...], status: str = "success") -> TaggedOutcome:
    words = tuple(text.split())
    won = status == "success"
    return TaggedOutcome(
        id=name, status=status, words=words, gold=gold, predicted=gold, perturbed=words if won else None,  # type: ignore[arg-type]
        perturbed_gold=gold if won else None, perturbed_predicted=("O",) * len(words) if won else None, queries=3,
        words_changed=1 if won else None, seconds=0.1, error=None,
    )  # fmt: skip


def test_sentences_of_other_arms_are_scored_by_the_entities_found_in_them(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, Tagger())
    others = [spec(name, 1, task="toy_names", recipes=(DEEP,)) for name in ("baseline", "lora")]
    made = {
        "baseline": [
            outcome("a", "boring dull Bob", ("O", "O", "B-PER")),  # found
            outcome("b", "dull Oslo Bob", ("O", "B-LOC", "B-PER")),  # one cue word: nothing found
            outcome("c", "boring dull Bob", ("O", "O", "B-PER"), "failed"),
        ],
        "lora": [outcome("a", "boring dull Oslo x", ("O", "O", "O", "B-PER"))],  # one invented, one missed
    }
    with pytest.raises(FileNotFoundError, match="baseline of seed 1"):
        transfer(cell, others, DEEP)
    for one in others:
        folder = cell.work.folder / f"attack-{DEEP}-tags-{keys.attack_key(one, DEEP, 'tags')}"
        folder.mkdir(parents=True)
        (folder / RESULT).write_text(json.dumps({"seconds": 1.0, "result": {}}))
        for row in made[one.mitigation]:
            append_line(folder / "outcomes.jsonl", row.to_dict())
    table = transfer(cell, others, DEEP)
    assert table.to_dict("list") == {
        "donor": ["baseline", "baseline", "lora"], "id": ["a", "b", "a"],
        "tp": [1, 0, 0], "fp": [0, 0, 1], "fn": [0, 2, 1],
    }  # fmt: skip
    found = read({f"transfer:{DEEP}": table})
    assert mean(found, f"transfer_f1:{DEEP}") == pytest.approx(2 / (2 + 2))
    assert mean(found, f"transfer_f1_from:{DEEP}:lora") == 0.0
    assert not [name for name in found if name.startswith(("transfer_accuracy", "transfer_from"))]
    assert _counts(table) == [(2, 2), (0, 2), (0, 2)]


def test_the_matrix_of_taggers_says_that_it_is_of_entities() -> None:
    values = {f"transfer_f1_from:{DEEP}:{donor}": {0: Values(np.array([2.0, 0]), np.array([2.0, 2]), ("a", "b"))}
              for donor in ("baseline", "fgm")}  # fmt: skip
    arms = [SimpleNamespace(label=name, values=values, records=[make_record(name)]) for name in ("baseline", "fgm")]
    board: Any = SimpleNamespace(arms=arms)
    assert matrix.numbers(board)[DEEP]["fgm"]["baseline"] == {"value": 0.5, "n": 2, "seeds": 1}
    (section,) = matrix.matrices(board, matrix.numbers(board))
    assert section.note.startswith("Strict entity F1 of the row's model")
    assert "sentences that fooled" in section.note


# ---- replay

WORDS = (("the", "film", "was", "good"), ("hated", "the", "plot", "story", "."), ("it", "was", "the", "acting"))


@pytest.fixture
def results(tmp_path: Path, tiny_model: Path, tagging_task: Any) -> tuple[Store, Any, Any]:
    """A results folder of one tagger and sentences it gets wrong; the tagger; (gold, said) of each sentence."""
    store, asked = Store(tmp_path / "r", write=True), spec("fgm", 0, task="toy_tags", recipes=(DEEP,))
    classifier = open_classifier(tiny_model, tagging_task, 32, seed=0)
    folder = store.folder / "work" / f"train-{keys.train_key(asked)}"
    folder.mkdir(parents=True)
    classifier.save(folder)
    (folder / RESULT).write_text(json.dumps({"seconds": 1.0, "result": {}}))
    said = [tuple(tags) for tags in classifier.tags(WORDS)]
    gold = [("B-THING", *["O"] * (len(words) - 1)) for words in WORDS]
    gold = [tags if spans(tags) != spans(own) else ("O",) * len(tags) for tags, own in zip(gold, said, strict=True)]
    rows = [outcome(f"s{i}", " ".join(words), tags) for i, (words, tags) in enumerate(zip(WORDS, gold, strict=True))]
    rows.append(outcome("survivor", "a scene", ("O", "O"), "failed"))
    record = make_record("fgm", 0, task="toy_tags", recipes=[DEEP])
    record = record.model_copy(update={"spec": asked.model_dump(mode="json"), "spec_id": asked.id})
    store.write(record, {f"attack:{DEEP}:tags": tagging_attacks.outcome_table(rows)})
    return store, classifier, list(zip(gold, said, strict=True))


def test_sentences_are_written_read_and_scored_again(results: Any, tmp_path: Path) -> None:
    store, classifier, pairs = results
    source = artefacts.open_source(store.folder, tmp_path / "a.jsonl")
    assert artefacts.read(source.file) == source.examples
    assert [example.perturbed for example in source.examples] == list(WORDS)
    first = json.loads(source.file.read_text(encoding="utf8").splitlines()[0])
    assert (first["schema_version"], first["mode"], first["perturbed_gold"]) == (2, "tags", list(pairs[0][0]))
    (score,) = replay.score("m", classifier, source.examples)
    counts = [span_counts(gold, said) for gold, said in pairs]
    assert score.entities == tuple(sum(one[i] for one in counts) for i in range(3))
    assert (score.right, score.n, score.originals) == (0, 3, 3)
    assert f1((1, 0, 2)) == replay.f1(replay._summed([(1, 0, 0), None, (0, 0, 2)])) == 0.5


def test_the_command_replays_taggers_on_their_own_and_on_any_checkpoint(temper: Any, results: Any) -> None:  # noqa: F811
    store, _, _ = results
    code, out, err = temper("replay", str(store.folder))
    assert (code, err) == (0, "")
    assert "F1" in out
    assert "3 adversarial texts are in" in out
    (checkpoint,) = (store.folder / "work").glob("train-*")
    code, out, _ = temper("replay", str(store.folder / "adversarial.jsonl"), "--model", str(checkpoint))
    assert code == 0
    assert "0.0 % of 3" in " ".join(out.split())


def test_a_stored_attack_that_no_longer_fools_its_tagger_is_exit_1(temper: Any, results: Any) -> None:  # noqa: F811
    store, _, pairs = results
    (record,) = store
    table = store.tables(record, f"attack:{DEEP}:tags")
    table.loc[:2, "perturbed_gold"] = [" ".join(said) for _, said in pairs]
    store.write(record, {f"attack:{DEEP}:tags": table}, replace=True)
    code, _, err = temper("replay", str(store.folder))
    assert code == 1
    assert f"gets 3 of 3 texts right that {DEEP} made against it" in err


def test_a_model_for_another_kind_or_other_tags_is_refused(results: Any, tiny_model: Path, sentiment_task: Any) -> None:
    store, classifier, _ = results
    examples = artefacts.gather(store, next(iter(store)))
    texts = open_classifier(tiny_model, sentiment_task(train=8, other=4), 32, seed=0)
    with pytest.raises(UserError, match="these are sentences with tags, and 'm' was fine-tuned for texts"):
        replay.score("m", texts, examples)
    strange = [one.model_copy(update={"perturbed_gold": ("B-GOD",) * len(one.perturbed)}) for one in examples]
    with pytest.raises(UserError, match="'m' does not know the tags B-GOD"):
        replay.score("m", classifier, strange)
    values = examples[0].model_dump() | {"gold": ("O",)}
    with pytest.raises(ValueError, match="each word needs one tag"):
        artefacts.TaggedExample.model_validate(values)
