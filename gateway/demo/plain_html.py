"""Pages of the demo: plain HTML, light and dark, no scripts, under a policy that lets nothing in but their style."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from aiohttp import web

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --faint: #8881; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; text-wrap: balance; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:hover { background: var(--faint); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .8rem; overflow-wrap: anywhere; }
.text { max-width: 36rem; margin: 0 auto; overflow-wrap: break-word; hyphens: auto; }
.text li { margin: .5rem 0; }
.text h2 { margin-top: 2.5rem; }
.note { border-inline-start: .25rem solid var(--line); background: var(--faint); padding: .5rem 1rem; }
.go { display: block; padding: .75rem 1rem; border: 2px solid; border-radius: .5rem; text-align: center; font-weight: 600;
  overflow-wrap: anywhere; }
.tongues { display: flex; gap: .5rem; justify-content: flex-end; }
.tongues > * { padding: .65rem .5rem; min-width: 44px; text-align: center; box-sizing: border-box; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: What every answer of the demo's own listeners says.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def document(title: str, body: str, *, language: str = "en") -> web.Response:
    """A whole page. :param body: HTML, already escaped."""
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    return web.Response(text=html, content_type="text/html", charset="utf-8", headers=HEADERS)
