"""One HTML page around pictures: no scripts, no files beside it but those it is told of, light and dark."""

from __future__ import annotations

from collections.abc import Iterable

from explain.pictures.canvas import STYLE, escaped

_OWN = """<style>
:root { color-scheme: light dark; }
body { font-family: system-ui, "Noto Sans", "DejaVu Sans", sans-serif; line-height: 1.5; max-width: 68em;
  margin: 2em auto; padding: 0 1em; }
section { margin: 2.2em 0; }
h1, h2 { overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin-bottom: .2em; }
.tb-note { color: color-mix(in srgb, currentColor 75%, transparent); max-width: 60em; }
</style>"""
# whatever a text manages to say, nothing runs and nothing is fetched
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, parts: Iterable[str]) -> str:
    """The page; `title` is escaped here, `parts` are HTML as the pictures give it."""
    head = (
        f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escaped(title)}</title>'
    )
    return "\n".join(["<!doctype html>", head, STYLE, f"{_OWN}</head><body>", *parts, "</body></html>"]) + "\n"
