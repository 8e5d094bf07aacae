"""The report page in a real browser, opened from disk: what a reader clicks, and what a hostile record may not do."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import leaderboard
from bench.board import Board
from bench.gate import releases
from bench.report import making
from bench.stats import Interval
from bench.store import Store
from tests.bench.conftest import RECIPES, make_record, make_tables

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no chromium on the path: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]' brings playwright")

HOSTILE = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script> \u2028 \'&quot;'
ARMS: dict[str, dict[str, Any]] = {
    "baseline": {}, "fgm": {"aua": {"deepwordbug": 0.95, "textfooler": 0.9}}, "eda": {"accuracy": 0.5}, "lora": {},
    HOSTILE: {},
}  # fmt: skip
TEXTS = 60
Open = Callable[..., Any]


def fill(store: Store) -> None:
    for label, choice in ARMS.items():
        wanted: dict[str, Any] = {"accuracy": 0.8, "aua": RECIPES, "raw_bonus": 0.0, "noise": 0} | choice
        for seed in range(3):
            tables = make_tables(label, seed, n=200, attacked=TEXTS, **wanted)
            for name, table in tables.items():
                if name.startswith("attack:"):
                    table["text"] = [f"a fine film, number {i}" for i in range(TEXTS)]
                    table["perturbed"] = [
                        f"a fiine film, number {i}" if status == "success" else None
                        for i, status in enumerate(table["status"])
                    ]
                    table.loc[0, ["text", "status", "perturbed"]] = [HOSTILE, "success", f"x {HOSTILE}"]
            steps = range(1, 40)
            norms = {f"norm:{name}": [0.5 + 1 / step for step in steps] for name in ("embeddings", "layer.00", "head")}
            tables["telemetry"] = pd.DataFrame({"step": steps, "loss": [1 / step for step in steps], **norms})
            stored = {"id": "text-0", "version": "clean", "words": json.dumps([HOSTILE, "film"]), "scores": "[1, -2]"}
            tables["attributions:integrated_gradients"] = pd.DataFrame([stored])
            name = f"arm{list(ARMS).index(label)}"
            spec_id = f"movie_reviews--bert-tiny--{name}--s{seed}--quick--00000000"
            store.write(make_record(label, seed, spec_id=spec_id), tables)
    failed = make_record("mixout", 0, status="failed", reason=f"OutOfMemory {HOSTILE}", fingerprints={})
    store.write(failed, {})
    store.write(make_record("baseline", 0, tier="standard"), {})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Board]:
    """(index.html, its first board) of two boards: five arms of three seeds and a failed run; one arm."""
    store = Store(tmp_path_factory.mktemp("page") / "r", write=True)
    fill(store)
    # a release on other data, without the arms that came later
    older = Store(store.folder / releases.FOLDER / "v1", write=True)
    for seed in range(3):
        tables = make_tables("baseline", seed, n=200, attacked=TEXTS, accuracy=0.7, aua=RECIPES, raw_bonus=0.0, noise=0)
        older.write(make_record("baseline", seed, fingerprints={"data": "e" * 64}), tables)
    made = making.make(store, store.folder / "out")
    return made.page, made.boards[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def opened(report: tuple[Path, Board], browser: Any) -> Iterator[Open]:
    """opened(view="table", row="fgm", **context options) -> a page of the first board, drawn; errors fail the test."""
    index, board = report
    troubles: list[str] = []
    contexts = []

    def open_(context: dict[str, Any] | None = None, **state: str) -> Any:
        contexts.append(browser.new_context(**(context or {})))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)  # a busy machine may take 10 s to start a page
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda one: one.url.startswith(index.parent.as_uri()) or troubles.append(one.url))
        page.goto(index.as_uri() + link(board, **state))
        page.wait_for_selector("#content:not([aria-busy]) > div > *")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


def link(board: Board, **state: str) -> str:
    from urllib.parse import urlencode

    return "#" + urlencode({"board": re.sub(r"[^A-Za-z0-9_.]+", "-", board.name)} | state)


def go(page: Any, report: tuple[Path, Board], **state: str) -> None:
    page.goto(report[0].as_uri() + link(report[1], **state))
    page.evaluate("() => temper.draw()")


def names(page: Any) -> list[str]:
    return page.eval_on_selector_all("table tbody th.name", "cells => cells.map(cell => cell.textContent)")


VIEWS = ("table", "forest", "pareto", "budget", "health", "reliability", "transfer", "history", "examples", "runs")


def test_a_heading_sorts_by_number_both_ways_and_unknown_stays_last(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened()
    values = {}
    for arm in report[1].arms:
        cell = arm.cells["clean_accuracy"]
        values[arm.label] = cell.value if isinstance(cell, Interval) else None
    known = sorted({value for value in values.values() if value is not None}, reverse=True)
    heading = page.locator("thead button", has_text="clean")
    for order in (known, known[::-1]):
        heading.click()
        found = [values[name] for name in names(page)]
        assert list(dict.fromkeys(found[:-1])) == order
        assert found[-1] is None
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    heading.press("Enter")
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert "sort=-clean" in page.url


def test_filters_narrow_the_table_and_stay_in_the_address(opened: Open) -> None:
    page = opened()
    assert len(names(page)) == 6
    page.get_by_placeholder("Filter mitigations").fill("fg")
    assert names(page) == ["fgm"]
    assert page.locator(".count").text_content() == "1 of 6 mitigations"
    page.reload()
    page.wait_for_selector("tbody th.name")
    assert names(page) == ["fgm"]
    page.get_by_placeholder("Filter mitigations").fill("")
    page.get_by_label("Family").select_option("efficiency")
    assert names(page) == ["lora"]
    page.get_by_label("Family").select_option("")
    page.get_by_role("button", name="Cost").click()
    page.wait_for_selector("thead button:has-text('step time')")


def test_a_row_has_a_link_that_opens_its_card(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(row="fgm")
    card = page.locator("dialog[open]")
    assert card.locator("h2").text_content() == "fgm"
    assert "after Holm" in str(card.text_content())
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "row" not in url)
    assert card.count() == 0
    page.locator("tbody th.name a", has_text="lora").press("Enter")
    page.wait_for_selector("dialog[open] h2:has-text('lora')")


def test_an_example_is_found_and_its_changes_are_marked(opened: Open) -> None:
    page = opened(view="examples")
    assert page.locator(".examples li").count() == 50
    page.get_by_role("button", name="next →").click()
    assert page.locator(".examples li").count() == TEXTS - 50
    page.get_by_placeholder("Search texts and ids").fill("number 57")
    assert page.locator(".count").text_content() == "1 of 60 texts"
    page.locator(".examples a").click()
    page.wait_for_selector(".original")
    assert page.locator(".original").text_content() == "a fine film, number 57"
    changed = page.locator(".changed").first
    assert (changed.locator("del").text_content(), changed.locator("ins").text_content()) == ("fine", "fiine")
    assert page.locator(".victim").count() == 5


def test_examples_are_filtered_by_what_happened_to_two_arms(opened: Open, report: tuple[Path, Board]) -> None:
    state = {"attack": "textfooler:calibrated", "arm": "baseline", "outcome": "s", "arm2": "fgm", "outcome2": "f"}
    page = opened(view="examples", **state)
    store = Store(report[0].parent.parent)
    attack, records = "attack:textfooler:calibrated", list(store)
    tables = {
        name: [store.tables(r, attack) for r in records if r.spec["mitigation"] == name and r.tables]
        for name in ("baseline", "fgm")
    }
    fooled = sum(table["status"] == "success" for table in tables["baseline"]) > 0
    survived = sum(table["status"] == "failed" for table in tables["fgm"]) > 0
    wanted = int((fooled & survived).sum())
    assert 0 < wanted < TEXTS
    assert page.locator(".count").text_content() == f"{wanted} of {TEXTS} texts"


def test_an_example_has_a_link(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(view="examples", id="text-33", attack="textfooler:raw")
    assert page.locator(".original").text_content() == "a fine film, number 33"
    assert page.locator("[aria-pressed=true]").text_content() == "textfooler, raw"
    page.get_by_role("link", name="next →").click()
    page.wait_for_selector(".original:has-text('number 34')")
    go(page, report, view="examples", id="no-such-text")
    page.wait_for_selector("text=This board has no such text")


def test_hostile_texts_stay_text(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(row=HOSTILE)
    assert page.locator("dialog h2").text_content() == HOSTILE
    for view in VIEWS:
        go(page, report, view=view)
        page.wait_for_selector("#views [aria-current]")
    go(page, report, view="examples", id="text-0")
    page.wait_for_selector(".strip")
    assert page.locator(".original").text_content() == HOSTILE
    assert page.locator(".token").first.text_content() == HOSTILE
    assert page.evaluate("[window.hit, document.images.length, document.scripts.length]")[:2] == [None, 0]
    page.evaluate("location.hash = 'board=' + encodeURIComponent('<img src=x onerror=hit=1>')")
    page.wait_for_selector("text=This report has no such board")
    assert page.evaluate("window.hit") is None


def test_no_view_fails_and_none_is_wider_than_a_phone(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened({"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True})
    for state in (*({"view": view} for view in VIEWS), {"view": "examples", "id": "text-0"}, {"row": "fgm"}):
        go(page, report, **state)
        assert page.locator("#content > div > *").count() > 1
        assert page.locator(".warning:has-text('cannot')").count() == 0
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], state


def luminance(page: Any) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765


def test_dark_follows_the_system_and_the_button(opened: Open) -> None:
    page = opened({"color_scheme": "dark"})
    assert luminance(page) < 0.2
    page.locator("#theme").click()
    assert luminance(page) > 0.8
    page.reload()
    page.wait_for_selector("tbody th.name")
    assert luminance(page) > 0.8
    page.locator("#theme").click()
    assert luminance(page) < 0.2


def test_charts_are_reached_by_keyboard(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(view="forest")
    marks = page.locator("svg.forest g.arm")
    assert marks.count() == sum(arm.difference is not None for arm in report[1].arms)
    assert "better" in str(marks.first.get_attribute("class"))
    marks.first.focus()
    assert "fgm" in str(page.locator("#tip").text_content())
    marks.first.press("Enter")
    page.wait_for_selector("dialog[open] h2:has-text('fgm')")


def test_the_frontier_holds_what_nothing_beats(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(view="pareto")
    points = [("a", 1, 0.5), ("b", 2, 0.7), ("c", 2, 0.6), ("d", 3, 0.7), ("e", 0.5, 0.9)]
    given = [{"arm": {"label": n, "out": "masking" if n == "e" else None}, "x": [x], "y": [y]} for n, x, y in points]
    found = page.evaluate("given => temper.frontier(given, true, false).map(p => p.front)", given)
    assert found == [True, True, False, False, False]
    listed = str(page.locator("p.note", has_text="On the frontier").text_content())
    assert "fgm" in listed
    assert "eda" not in listed


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("a b c", "a x c", [["same", "a "], ["del", "b "], ["ins", "x "], ["same", "c"]]),
        ("good, bad", "goood, bad", [["del", "good"], ["ins", "goood"], ["same", ", bad"]]),
        ("one two", "one", [["same", "one"], ["del", "two"]]),
        ("same", "same", [["same", "same"]]),
    ],
)
def test_changes_are_the_shortest(opened: Open, before: str, after: str, marked: list[list[str]]) -> None:
    assert opened().evaluate("both => temper.marked(...both)", [before, after]) == marked


def test_boards_are_listed_and_failures_are_named(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(view="runs")
    assert f"OutOfMemory {HOSTILE}" in str(page.locator(".failures").text_content())
    page.get_by_role("link", name="2 boards").click()
    page.wait_for_selector("h2:has-text('Boards')")
    assert page.locator("tbody tr").count() == 2
    page.locator("tbody a", has_text="standard").click()
    page.wait_for_selector("#boards span:has-text('standard')")


def test_the_policy_lets_nothing_else_run(report: tuple[Path, Board], browser: Any) -> None:
    page = browser.new_page()
    page.goto(report[0].as_uri())
    page.wait_for_selector("tbody")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hit = 1'}))")
    assert page.evaluate("window.hit") is None
    refused = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.name)")
    assert refused == "TypeError"
    page.close()


def test_the_history_shows_each_release_and_what_is_not_comparable(opened: Open, report: tuple[Path, Board]) -> None:
    page = opened(view="history")
    assert "not comparable" in page.locator("p.warning").text_content()
    marks = page.locator("figure:has(figcaption:has-text('clean accuracy')) .release")
    assert marks.count() == 2
    assert [("apart" in (mark.get_attribute("class") or "")) for mark in marks.all()] == [True, False]
    marks.first.hover()
    tip = page.locator("#tip").text_content()
    assert "baseline, v1" in tip
    assert "another data" in tip
    page.locator("summary", has_text="History as a table").click()
    row = page.locator("details tbody tr", has_text="clean accuracy").first
    (older,) = leaderboard.build(Store(report[0].parent.parent / releases.FOLDER / "v1"))
    value = older.arms[0].cells["clean_accuracy"].value  # type: ignore[union-attr]
    assert row.locator("th, td").all_text_contents()[2:4] == ["v1", f"{100 * value:.1f}"]  # type: ignore[operator]
