"""The pictures of one text: each as HTML, as numbers, and as something that can be drawn to a file."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report.gallery.stored import CONTROL, Chosen, View
from explain.metrics import Curves
from explain.pictures import canvas, lines, matrices, pairs, strips
from explain.pictures.matrices import Matrix

MOST = 6
"""Models that get pictures of their own; more only where they are named."""
_AXIS = 26  # letters that an axis has room for
ATTENTION = ("attention_rollout",)
KEY = canvas.KEY[:1].upper() + canvas.KEY[1:]


@dataclass(frozen=True)
class Picture:
    """`stem`: the files' name without a suffix. `html`: a fragment without STYLE. `draw`: to a .png or .svg file."""

    stem: str
    title: str
    note: str
    html: str
    csv: str
    draw: Callable[[Path], Path]


def of_text(chosen: Chosen, explainer: str, alone: Sequence[View]) -> list[Picture]:
    """The pictures that need no checkpoint. `alone`: the models that get pictures of their own."""
    made = [grid] if (grid := _grid(chosen, explainer)) else []
    for view in alone:
        if chosen.tagging:
            made += [_entities(chosen, explainer, view)] if view.entities.get(explainer) else []
        else:
            made.append(_strips(chosen, view))
        made += _pair(chosen, explainer, view)
    return made


def _grid(chosen: Chosen, explainer: str) -> Picture | None:
    if chosen.tagging:
        counts = Counter(name for view in chosen.views for name in view.entities.get(explainer, {}))
        what = max(counts, key=lambda name: counts[name], default="")
        rows = [(v.arm, v.entities[explainer][what]) for v in chosen.views if what in v.entities.get(explainer, {})]
        shown = f"the entity {what}: the models that find it"
    else:
        rows = [(_named(v), v.clean[explainer]) for v in chosen.views if explainer in v.clean]
        shown = "each row explains the class that its model predicts"
    if not rows:
        return None
    # what was cut off for one model cannot be compared with the others
    words = Counter(one.words for _, one in rows).most_common(1)[0][0]
    same = [(name, one) for name, one in rows if one.words == words]
    left = f"; left out, because they read other words: {', '.join(n for n, o in rows if o.words != words)}"
    note = f"{shown}; by {_method(explainer)}{left if len(same) < len(rows) else ''}."
    return _matrix(
        f"{chosen.name}-grid", "One sentence, a row per mitigation", note, matrices.mitigation_grid(same), explainer
    )


def _named(view: View) -> str:
    return f"{view.arm} → {view.says}" if view.says else view.arm


def _method(explainer: str) -> str:
    return f"{explainer} (attention, not attribution)" if explainer in ATTENTION else explainer


def _matrix(stem: str, title: str, note: str, matrix: Matrix, how: str, corner: str = "mitigation") -> Picture:
    return Picture(
        stem,
        title,
        note[:1].upper() + note[1:],
        matrices.matrix_html(matrix),
        matrices.matrix_csv(matrix, corner),
        partial(matrices.save_matrix, matrix, caption=how),
    )


def _strips(chosen: Chosen, view: View) -> Picture:
    rows = [(_method(name), one) for name, one in view.clean.items()]
    note = f"Explained: {view.says or 'the predicted class'}. {KEY}; each row has its own scale."
    return Picture(
        f"{chosen.name}-strips-{_slug(view.arm)}",
        f"{view.arm}: by every explainer",
        note + (f" '{CONTROL}' draws its scores by chance." if CONTROL in view.clean else ""),
        strips.word_strips(rows, shared=False),
        strips.strips_csv(rows),
        partial(strips.save_strips, rows, shared=False),
    )


def _pair(chosen: Chosen, explainer: str, view: View) -> list[Picture]:
    found = view.pair(explainer)
    if found is None:
        return []
    what, before, after = found
    note = f"Both explained for {what}, by {_method(explainer)}, on one scale. {KEY}; framed: changed."
    return [
        Picture(
            f"{chosen.name}-pair-{_slug(view.arm)}",
            f"{view.arm}: the text and what fooled the model",
            note,
            pairs.attack_pair(before, after),
            pairs.pair_csv(before, after),
            partial(pairs.save_pair, before, after),
        )
    ]


def _entities(chosen: Chosen, explainer: str, view: View) -> Picture:
    matrix = matrices.mitigation_grid(list(view.entities[explainer].items()))
    note = f"Rows: the entities that the model finds; columns: the words they rest on; by {_method(explainer)}."
    title = f"{view.arm}: entities and the words they rest on"
    return _matrix(f"{chosen.name}-entities-{_slug(view.arm)}", title, note, matrix, explainer, "entity")


def of_layers(chosen: Chosen, view: View, what: str, matrix: Matrix) -> Picture:
    """The layer x word heat map of a matrix with a row a layer, from the input up."""
    note = f"Layer conductance for {what}, from the input up, on one scale; what goes through [CLS] "
    note += "is not in it, so the last layer of a classifier has nothing left at the words."
    stem, title = f"{chosen.name}-layers-{_slug(view.arm)}", f"{view.arm}: layer by layer"
    return _matrix(stem, title, note, matrix, "layer conductance", "layer")


def of_curves(chosen: Chosen, view: View, what: str, rows: Sequence[tuple[str, Curves]]) -> Picture:
    """Deletion and insertion curves with the band of random orders."""
    of_words = ", the mean over its words of that of their tags," if chosen.tagging else ""
    return _lines(
        f"{chosen.name}-curves-{_slug(view.arm)}",
        f"{view.arm}: words taken away and given back",
        f"The probability of {what}{of_words} as words go and come in the order of each attribution. Grey: what 90 % "
        "of random orders give.",
        "the entity's tags" if chosen.tagging else what,
        rows,
    )


def of_mean_curves(arm: str, texts: str, which: str, what: str, rows: Sequence[tuple[str, Curves]]) -> Picture:
    """The same over many texts: `texts` says how many, `which` says which; rows as lines.over_texts gives them."""
    return _lines(
        f"over-curves-{_slug(arm)}",
        f"{arm}: words taken away and given back, over {texts}",
        f"The probability of {what} by the share of a text's words that went or came in the order of each stored "
        f"attribution, the mean over {texts}, {which}. Grey: what 90 % of random orders give in a text; its ends are "
        "means too.",
        what,
        rows,
    )


def _lines(stem: str, title: str, note: str, what: str, rows: Sequence[tuple[str, Curves]]) -> Picture:
    label = strips.shortened(what, _AXIS)
    return Picture(
        stem,
        title,
        f"{note} Curves also move with the model's confidence: compare explainers, not models.",
        lines.curves_html(rows, label),
        lines.curves_csv(rows),
        lambda path: lines.save_curves(rows, path, label),
    )


def _slug(label: str) -> str:
    """A label as a part of a file name; two labels that differ only in what is cut are told apart by their hash."""
    plain = re.sub(r"[^A-Za-z0-9_+.]+", "-", label).strip("-.")[:60]
    return plain if plain == label else f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
