"""Did everything move a little? A sign test over all arms: one losing a point is noise, 36 of 38 losing one is not.

Arms that are run again share data, libraries and code, and the draws of their seeds too; where most of them move the
same way, the cause is one of these and not a mitigation. `temper bisect` says which of them differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench import metrics, stats
from bench.report.sections import signed
from bench.stats import Signs
from training.errors import UserError

# a test beside the gate's comparisons of single cells, so it adds its alarms to theirs
ALPHA = 0.01
COLUMNS = ("name", "before", "after")


@dataclass(frozen=True)
class Drift:
    """The arms of one metric as a whole. `verdict`: quiet, worse or better, or `small`: proven, too small to matter."""

    metric: str
    signs: Signs
    p: float
    smallest: float
    verdict: str

    @property
    def text(self) -> str:
        signs, unit = self.signs, metrics.of(self.metric).unit
        total = signs.down + signs.up + signs.equal
        mean = f"{100 * signs.mean:+.2f} points" if unit == "share" else signed(signs.mean, unit)
        found = (
            f"{metrics.title(self.metric)}: {signs.down} of {total} lower, {signs.up} higher, {signs.equal} equal, "
            f"mean {mean}, p = {self.p:.2g} (sign test)"
        )
        if self.verdict == "quiet":
            return f"no suite-wide drift: {found}"
        size = (
            f", less than the {signed(self.smallest, unit).lstrip('+')} that matter" if self.verdict == "small" else ""
        )
        return f"suite-wide drift: {found}{size}; look at what all arms share: data, libraries, code, draws"


def find(differences: dict[str, list[float]], smallest: dict[str, float]) -> list[Drift]:
    """One Drift per metric (full name -> differences of its arms), p after Holm's correction over the metrics."""
    names = [name for name in metrics.in_order(differences) if differences[name]]
    tested = [stats.sign_test(differences[name]) for name in names]
    adjusted = stats.holm([one.p for one in tested])
    return [
        Drift(name, one, p, smallest[name], _verdict(name, one, p, smallest[name]))
        for name, one, p in zip(names, tested, adjusted, strict=True)
    ]


def _verdict(name: str, signs: Signs, p: float, smallest: float) -> str:
    direction = metrics.of(name).direction
    if p >= ALPHA or direction is None or (signs.mean < 0) != (signs.down > signs.up):
        return "quiet"
    if abs(signs.mean) <= smallest:
        return "small"
    return "better" if (signs.mean > 0) == (direction == "higher") else "worse"


def of_table(path: Path, metric: str = "clean_accuracy", smallest: float | None = None) -> Drift:
    """The drift of a CSV file with the columns name, before, after: paired results of two runs, from anywhere.

    The numbers are in the metric's unit (shares: 0 to 1). Raises UserError for a file or metric that cannot be used.
    """
    try:
        known = metrics.of(metric)
    except KeyError as error:
        raise UserError(f"unknown metric '{metric}'; `temper list metrics` shows those there are.") from error
    if known.direction is None:
        raise UserError(f"of '{metric}' neither more nor less is better, so nothing can drift for the worse.")
    differences = _read(path, known.unit)
    limit = (known.smallest_difference or 0.0) if smallest is None else smallest
    return find({metric: differences}, {metric: limit})[0]


def _read(path: Path, unit: str) -> list[float]:
    try:
        table = pd.read_csv(path, comment="#")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read '{path}' as CSV ({error}); it needs the columns {', '.join(COLUMNS)}.") from error
    if missing := [column for column in COLUMNS if column not in table]:
        raise UserError(f"'{path}' has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}.")
    if table["name"].duplicated().any():
        raise UserError(f"'{path}' names '{table['name'][table['name'].duplicated()].iloc[0]}' twice.")
    numbers = table[["before", "after"]].apply(pd.to_numeric, errors="coerce")
    bad = numbers.isna().any(axis=1) | (((numbers < 0) | (numbers > 1)).any(axis=1) if unit == "share" else False)
    if bad.any():
        wanted = "numbers between 0 and 1 (shares, not percent)" if unit == "share" else "numbers"
        raise UserError(f"'{path}', '{table['name'][bad].iloc[0]}': before and after must be {wanted}.")
    if numbers.empty:
        raise UserError(f"'{path}' holds no pairs.")
    # results are printed with few digits; a difference below the twelfth is none
    return [round(float(one), 12) for one in numbers["after"] - numbers["before"]]
