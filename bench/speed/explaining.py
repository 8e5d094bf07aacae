"""`python -m bench.speed.explaining`: our explaining beside Captum's, on the same model and texts, in one run.

Integrated gradients of each text's predicted class against the masked text, five ways, in turns, round after round:

- `tutorial`: as Captum's BERT tutorial does: LayerIntegratedGradients, a loop over texts, padded to 128, 50 points;
- `Captum`: IntegratedGradients used well: texts of like length in one batch, padded to its longest, 50 points,
  internal_batch_size for the same tokens a forward as ours;
- `ours, 50 points`: rule gauss_legendre, which should be the same numbers;
- `ours`: the default, nested points to a completeness error of 0.1 %;
- `ours, to rounding`: nested points until the sum is right to 1e-6 or float32's rounding, as Captum's 50 points are on
  small models.

Then the scoring suite (explain.faithfulness) of several explainers, with its pool and with every asked mask run alone.
Given are ratios of CPU time (time.process_time, all threads of the process), because other work on the machine must not
decide, and the largest difference of word scores, over the largest score of the text.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from captum.attr import IntegratedGradients, LayerIntegratedGradients
from rich.console import Console
from rich.table import Table

from attacks.kernels import plain
from bench import sources
from bench.progress import bar
from bench.speed import fine_tuning
from explain import engine
from explain.attribution import Attribution
from explain.faithfulness import faithfulness
from explain.inputs import Encoded, Explainable, encode, frozen
from explain.methods import attention_rollout, input_x_gradient, integrated_gradients, occlusion, random, saliency_l2
from explain.pool import Pool
from explain.questions import Question, margins
from training.loop import Session
from training.model import Classifier
from training.resources import Resources
from training.stack import Stack

PADDED, POINTS, TOKENS, BATCH = 128, 50, 4096, 16
OURS = {
    "ours, 50 points": integrated_gradients.Config(rule="gauss_legendre", n_steps=POINTS),
    "ours": integrated_gradients.Config(),
    "ours, to rounding": integrated_gradients.Config(tolerance=1e-6),
}
WAYS = ("tutorial", "Captum", *OURS)
SCORED = (integrated_gradients, input_x_gradient, saliency_l2, occlusion, attention_rollout, random)


@dataclasses.dataclass(frozen=True)
class Found:
    """One text's word scores and completeness error (a ratio)."""

    scores: np.ndarray
    error: float


def tutorial(model: Explainable, texts: Sequence[str]) -> list[Found]:
    """Captum as its tutorial has it, with our target and baseline so that the numbers can be compared."""
    module: Any = model.module
    table = module.get_input_embeddings()
    found = []
    for text in texts:
        encoded = encode(model, text)
        fill = PADDED - len(encoded.ids)
        ids = torch.nn.functional.pad(encoded.ids, (0, fill), value=model.pad_id)[None]
        blank = torch.where(torch.nn.functional.pad(encoded.word_of, (0, fill), value=-1) >= 0, model.mask_id, ids)
        mask = torch.nn.functional.pad(torch.ones_like(encoded.ids), (0, fill))[None]
        with torch.no_grad():
            target, other = module(ids, attention_mask=mask).logits[0].argsort(descending=True)[:2].tolist()

        def margin(rows: torch.Tensor, mask: torch.Tensor, target: int = target, other: int = other) -> torch.Tensor:
            logits = module(rows, attention_mask=mask).logits
            return logits[:, target] - logits[:, other]

        with torch.no_grad():
            gap = float(margin(ids, mask) - margin(blank, mask))
        tokens = LayerIntegratedGradients(margin, table).attribute(
            ids, blank, additional_forward_args=(mask,), n_steps=POINTS
        )
        found.append(_found(tokens.detach().sum(-1)[0], encoded, gap))
    return found


def used_well(model: Explainable, texts: Sequence[str]) -> list[Found]:
    """Captum with dynamic padding, batches of like length and internal_batch_size."""
    encoded = [encode(model, text) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index].ids))
    done: dict[int, Found] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        rows = [encoded[index] for index in chosen]
        ids, word_of, mask = engine.padded(model, rows)
        inputs, blank = model.embed(ids), model.embed(torch.where(word_of >= 0, model.mask_id, ids))

        def margin(embeds: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor, others: torch.Tensor) -> Any:
            return margins(model.outputs(embeds, mask).logits, targets, others)

        with torch.no_grad():
            best = model.outputs(inputs, mask).logits.argsort(dim=1, descending=True)
            more = (mask, best[:, 0], best[:, 1])
            gaps = margin(inputs, *more) - margin(blank, *more)
        tokens = IntegratedGradients(margin).attribute(
            inputs, blank, additional_forward_args=more, n_steps=POINTS, internal_batch_size=TOKENS // ids.shape[1]
        )
        for index, values, gap in zip(chosen, tokens.detach().sum(-1), gaps.tolist(), strict=True):
            done[index] = _found(values, encoded[index], gap)
    return [done[index] for index in range(len(texts))]


def _found(tokens: torch.Tensor, encoded: Encoded, gap: float) -> Found:
    owner = encoded.word_of
    words = torch.zeros(len(encoded.words), dtype=torch.float64)
    words.index_add_(0, owner[owner >= 0], tokens[: len(owner)][owner >= 0].cpu().double())
    return Found(words.numpy(), abs(float(words.sum()) - gap) / max(abs(gap), 1e-6))


def ours(model: Explainable, texts: Sequence[str], config: Any) -> list[Found]:
    made = engine.explain(model, texts, integrated_gradients, config=config, batch_tokens=TOKENS)
    return [Found(np.array(one.scores), float(one.completeness_error or 0.0)) for one in made]


def measure(model: Explainable, texts: Sequence[str], rounds: int, tick: Callable[[], None]) -> pd.DataFrame:
    """One row per round and way: seconds (CPU), error_mean, error_max, difference (to `Captum`, over the largest).

    Captum explains a model of torch's own layers. So that the difference is one of methods and not of the rounding of
    two matrix libraries, ours explains that model too, untimed.
    """
    rows, stock = [], dataclasses.replace(model, module=plain(model.module))
    alike = {way: ours(stock, texts, config) for way, config in OURS.items()}
    for index in range(rounds):
        found: dict[str, list[Found]] = {}
        seconds: dict[str, float] = {}
        for way in WAYS:
            started = time.process_time()
            if way in OURS:
                found[way] = ours(model, texts, OURS[way])
            else:
                found[way] = (tutorial if way == "tutorial" else used_well)(stock, texts)
            seconds[way] = time.process_time() - started
            tick()
        for way in WAYS:
            pairs = zip(alike.get(way, found[way]), found["Captum"], strict=True)
            off = max(float(np.abs(a.scores - b.scores).max() / np.abs(b.scores).max()) for a, b in pairs)
            errors = [one.error for one in found[way]]
            rows.append({"round": index, "way": way, "seconds": seconds[way], "difference": off})
            rows[-1] |= {"error_mean": float(np.mean(errors)), "error_max": max(errors)}
    return pd.DataFrame(rows)


class RowByRow(Pool):
    """Runs every asked mask alone and forgets it: what the metrics cost without a pool."""

    def read(self, question: Question, keep: np.ndarray) -> np.ndarray:
        self.asked += len(keep)
        return np.concatenate([self._evaluate(question.encoded, row[None]) for row in keep])[:, None]


def scoring(model: Explainable, texts: Sequence[str]) -> dict[str, float]:
    """CPU seconds and rows run of the scoring suite, both ways, and the largest difference of its numbers."""
    made: list[Attribution] = []
    for method in SCORED:
        made += engine.explain(model, texts, method)
    result: dict[str, float] = {}
    scores = {}
    stock = dataclasses.replace(model, module=plain(model.module))
    for name, pool in (("pool", Pool(model, TOKENS)), ("alone", RowByRow(stock, TOKENS))):
        started = time.process_time()
        with frozen(pool.model.module):
            # alone also means that each explainer pays for its own search for the best order
            parts = [made] if name == "pool" else [[one] for one in made]
            found = [score for part in parts for score in faithfulness(model, part, pool=pool)]
        result |= {f"{name}_seconds": time.process_time() - started, f"{name}_rows": pool.rows}
        scores[name] = [(one.dnaopc, one.comprehensiveness, one.sufficiency) for one in found]
    both = np.array([scores["pool"], scores["alone"]], dtype=float)
    return result | {"difference": float(np.nanmax(np.abs(both[0] - both[1])))}


def summary(table: pd.DataFrame) -> Table:
    """The rich table: medians over rounds; ratios are taken within each round."""
    made = Table("way", "CPU s", "x tutorial", "x Captum", "completeness error, mean", "worst", "largest difference")
    seconds = table.pivot_table(index="round", columns="way", values="seconds")
    for way in WAYS:
        own = table[table["way"] == way]
        ratios = [f"{float((seconds[other] / seconds[way]).median()):.2f}" for other in ("tutorial", "Captum")]
        numbers = [f"{own[name].max():.1e}" for name in ("error_mean", "error_max", "difference")]
        made.add_row(way, f"{float(seconds[way].median()):.2f}", *ratios, *numbers)
    return made


def tuned(name: str, steps: int) -> tuple[Classifier, list[str]]:
    """The encoder after `steps` training steps, because an untrained head has nothing to explain, and test texts."""
    task = sources.open_task("movie_reviews", Resources())
    classifier, context = fine_tuning.prepare(name, task, PADDED)
    session = Session(classifier, Stack([]), context)
    session.state.total_steps = steps
    stream = session.batches()
    for _ in range(steps):
        session.step(next(stream))
    return classifier, [example.text for example in task.test]


def main(
    model: Annotated[list[str] | None, typer.Option(help="Repeatable; bert-tiny and minilm-l6 by default.")] = None,
    texts: Annotated[int, typer.Option(min=2, help="Texts explained.")] = 12,
    scored: Annotated[int, typer.Option(min=1, help="Texts of the scoring suite, the shortest of them.")] = 2,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Training steps before, so that there is something to see.")] = 60,
) -> None:
    """Explaining and scoring beside Captum and row by row, as CPU-time ratios of one run."""
    console = Console()
    for name in model or ["bert-tiny", "minilm-l6"]:
        classifier, pool = tuned(name, steps)
        explainable = Explainable(classifier.module, classifier.tokenizer, PADDED)
        what = f"{name}: {len(WAYS)} ways, {rounds} rounds of {texts} texts"
        with frozen(classifier.module), bar(what, rounds * len(WAYS)) as tick:
            table = measure(explainable, pool[:texts], rounds, tick)
        shown = summary(table)
        shown.title = f"{name}, {texts} texts, {torch.get_num_threads()} thread(s)"
        console.print(shown)
        suite = scoring(explainable, sorted(pool[:texts], key=len)[:scored])
        console.print(
            f"{name}, scoring {len(SCORED)} explainers on {scored} texts: {suite['alone_seconds']:.1f} s row by row "
            f"({suite['alone_rows']:.0f} rows), {suite['pool_seconds']:.2f} s from the pool ({suite['pool_rows']:.0f} "
            f"rows): {suite['alone_seconds'] / suite['pool_seconds']:.1f} x; largest difference "
            f"{suite['difference']:.0e}"
        )


if __name__ == "__main__":
    typer.run(main)
