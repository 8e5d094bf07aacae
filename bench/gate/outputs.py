"""The gate's verdict for other programs: JUnit XML, GitHub annotations, a Markdown summary for a pull request."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from bench import metrics
from bench.gate.checking import Verdict
from bench.gate.words import points
from bench.report.sections import number
from bench.store import write_atomic
from training.errors import UserError

# what XML 1.0 cannot hold, not even escaped
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# of more cells a pull request shows those that changed, and how many did not
MOST_ROWS = 200


def junit(verdict: Verdict) -> str:
    """JUnit XML: a test case per compared cell, failed where it is worse; one per other reason; skipped: not compared.

    A control character that XML cannot hold becomes U+FFFD.
    """
    suite = ElementTree.Element("testsuite", name="temper check")
    cells = verdict.rows.to_dict(orient="records")
    for row in cells:
        case = _case(suite, str(row["cell"]), metrics.title(str(row["metric"])))
        if row["verdict"] in ("worse", "not shown"):
            ElementTree.SubElement(case, "failure", message=_xml(_row_text(row)), type=str(row["verdict"]))
    said = [text for text in verdict.worse if not any(_is_of(text, row) for row in cells)]
    for number_, text in enumerate(said, 1):
        case = _case(suite, "suite", f"reason {number_}")
        ElementTree.SubElement(case, "failure", message=_xml(text), type="worse")
    for number_, text in enumerate(verdict.apart, 1):
        case = _case(suite, "not comparable", f"reason {number_}")
        ElementTree.SubElement(case, "skipped", message=_xml(text))
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        suite.set(key, str(sum(1 for _ in suite.iter(tag))))
    suite.set("errors", "0")
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, classname: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_xml(classname), name=_xml(name), time="0")


def _is_of(text: str, row: dict[object, object]) -> bool:
    return text.startswith(f"{row['cell']} / {metrics.title(str(row['metric']))}: ") and " -> " in text


def _xml(text: str) -> str:
    return NO_XML.sub("\ufffd", text)


def _row_text(row: dict[object, object]) -> str:
    unit = metrics.of(str(row["metric"])).unit
    size = points(unit, row["difference"], row["low"], row["high"])  # type: ignore[arg-type]
    before, after = (number(row[key], unit) for key in ("before", "after"))  # type: ignore[arg-type]
    return f"{before} -> {after}, {size}, p = {row['p_holm']:.2g} after Holm: {row['verdict']}"


def github(verdict: Verdict) -> list[str]:
    """Workflow commands that GitHub shows beside a pull request: an error per reason to fail, a warning per other one.

    Escaped as the runner reads them: `%`, carriage return and line feed of the message, `:` and `,` of the title too.
    """
    found = [_command("error", "TemperBench: worse", text) for text in verdict.worse]
    kind = "warning" if verdict.worse else "error"
    found += [_command(kind, "TemperBench: not comparable", text) for text in verdict.apart]
    drifts = [one.text for one in verdict.drifts if one.verdict in ("small", "better")]
    return found + [_command("warning", "TemperBench: drift", text) for text in drifts]


def _command(kind: str, title: str, message: str) -> str:
    head = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={head}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def summary(verdict: Verdict) -> str:
    """The verdict as Markdown: what to do first, then the cells that changed, then how many did not."""
    lines = [f"## TemperBench: {verdict.status.replace('_', ' ')}", ""]
    for title, texts in (("Worse", verdict.worse), ("What to do", verdict.advice), ("Not comparable", verdict.apart)):
        if texts:
            lines += [f"### {title}", "", *(f"- {_md(text)}" for text in texts), ""]
    drifts = [one.text for one in verdict.drifts if one.verdict != "quiet"]
    if drifts:
        lines += ["### The suite as a whole", "", *(f"- {_md(text)}" for text in drifts), ""]
    rows = [row for row in verdict.rows.to_dict(orient="records") if row["verdict"] != "same" or row["difference"] != 0]
    if rows:
        lines += [
            "| cell | metric | before | after | difference | p (Holm) | verdict |",
            "|:--|:--|--:|--:|--:|--:|:--|",
        ]
        lines += [_line(row) for row in rows[:MOST_ROWS]]
        lines += ["", f"{len(rows) - MOST_ROWS} more are in the JUnit file."] if len(rows) > MOST_ROWS else []
        lines.append("")
    lines += [f"{len(verdict.rows)} cells compared, {len(verdict.rows) - len(rows)} of them equal to the last example."]
    return "\n".join(lines) + "\n"


def _line(row: dict[object, object]) -> str:
    unit = metrics.of(str(row["metric"])).unit
    before, after = (number(row[key], unit) for key in ("before", "after"))  # type: ignore[arg-type]
    size = points(unit, row["difference"], row["low"], row["high"])  # type: ignore[arg-type]
    texts = (
        row["cell"],
        metrics.title(str(row["metric"])),
        before,
        after,
        size,
        f"{row['p_holm']:.3g}",
        row["verdict"],
    )
    return "| " + " | ".join(_md(str(text)) for text in texts) + " |"


def _md(text: str) -> str:
    """Text that stays text in GitHub's Markdown: no table cell, HTML, link, mention or emphasis."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([|`*_\[\]#@])", r"\\\1", text).replace("\\@", "@\u200b")


def write(path: Path, text: str, *, append: bool = False) -> None:
    """Writes a file whole or not at all; `append` adds to what a runner's summary file already holds.

    Raises UserError where it cannot be written.
    """
    try:
        before = path.read_text(encoding="utf8") if append and path.exists() else ""
        write_atomic(path, (before + text).encode("utf8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write '{path}' ({reason}); choose another place for the file.") from error
