"""`temper pictures`: which text, which models, and what is said when something cannot be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import leaderboard
from bench.report.gallery import drawing, stored, writing
from bench.report.gallery.stored import Arms, Chosen, View
from bench.store import Store
from training.errors import UserError


@dataclass(frozen=True)
class Asked:
    """The options of the command; what is None or empty is chosen here."""

    text: str | None = None
    sentence: str | None = None
    explainer: str | None = None
    mitigations: Sequence[str] = ()
    board: str | None = None
    seed: int | None = None
    checkpoints: bool = True
    over: int | None = None


def run(asked: Asked, store: Store, folder: Path, console: Console) -> None:
    """Draws the pictures of one text into `folder` and says what is there and what is not. Raises UserError."""
    if asked.text is not None and asked.sentence is not None:
        raise UserError("give either --text, a text of the runs, or --sentence, one of your own.")
    if asked.over is not None and not asked.checkpoints:
        raise UserError("--over asks the runs' checkpoints about many texts; leave --stored out.")
    arms = stored.open_arms(store, leaderboard.build(store), asked.board, asked.mitigations, asked.seed)
    chosen = _chosen(asked, arms, store.folder)
    explainer = chosen.explainer(asked.explainer)
    alone = chosen.views if asked.mitigations else chosen.views[: drawing.MOST]
    if len(alone) < len(chosen.views):
        left = len(chosen.views) - len(alone)
        chosen.notes.append(f"{left} models are in the grid alone; name those you want pictures of with --mitigation")
    pictures = drawing.of_text(chosen, explainer, alone)
    unpaired = [view.arm for view in alone if view.pair(explainer) is None]
    if unpaired and asked.sentence is None:
        rest = ", or none left an entity's words alone" if chosen.tagging else ""
        chosen.notes.append(f"no pair of {', '.join(unpaired)}: no stored attack on this text succeeded there{rest}")
    if not asked.checkpoints:
        chosen.notes.append("curves and layers need the checkpoints, which --stored leaves alone")
    elif not any((store.folder / "work").glob("train-*")):
        chosen.notes.append(
            f"curves and layers need the checkpoints, and there are none in {store.folder / 'work'}: they stay where a "
            "run was made; run the same `temper run` here to have them"
        )
    else:
        pictures += _of_checkpoints(asked, arms, chosen, alone, store.folder)
    page = writing.write(chosen, arms.board.name, pictures, folder)
    for line in (f"{arms.board.name}: {chosen.about}", *(f"! {note}" for note in chosen.notes)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    count = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'}, each as .png, .svg and .csv"
    console.print(f"{count}; all on one page: {page}", highlight=False, markup=False, soft_wrap=True)


def _of_checkpoints(
    asked: Asked, arms: Arms, chosen: Chosen, alone: Sequence[View], results: Path
) -> list[drawing.Picture]:
    from bench.explanations import mean_curves, pictured

    means: list[drawing.Picture] = []
    if asked.over:  # first, because the pictures of one text leave torch with one thread
        means, notes = mean_curves.of_arms(arms, [view.arm for view in alone], asked.over, results)
        chosen.notes += notes
    return [*pictured.of_checkpoints(chosen, alone, results), *means]


def _chosen(asked: Asked, arms: Arms, results: Path) -> Chosen:
    if asked.sentence is None:
        return stored.choose(arms, asked.text)
    if not asked.sentence.strip():
        raise UserError("the sentence is empty; give one: temper pictures --sentence 'a fine film'")
    if not asked.checkpoints:
        raise UserError("--sentence is explained by the runs' checkpoints; leave --stored out.")
    from bench.explanations import pictured

    return pictured.of_sentence(arms, asked.sentence, [asked.explainer or stored.PREFERRED], results)
