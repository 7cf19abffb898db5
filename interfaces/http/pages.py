"""What all pages have in common. They need no script and nothing from any other site."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any

from starlette.responses import Response

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  color: #1a1a1a; background: #fff }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f3f3f1; border-radius: 4px }
code { padding: .1em .3em; overflow-wrap: anywhere }
pre { padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere }
pre code { padding: 0; background: none }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #ddd }
h3 { margin: 2rem 0 .3rem }
h3 code { background: none; padding: 0 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; vertical-align: top }
td:first-child { white-space: nowrap }
.method { display: inline-block; min-width: 4.2rem; color: #0b5394 }
.scope { float: right; font-weight: 400; font-size: 14px }
a { color: #0b5394 }
summary { cursor: pointer }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #16181b }
  code, pre { background: #24272b }
  a, .method { color: #8ab8f0 }
  h2, td { border-color: #3a3d42 }
}
"""
DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{DIGEST}'; base-uri 'none'; frame-ancestors 'none'"


def html(text: str) -> Response:
    """A page as an answer."""
    return Response(text, headers={"Content-Security-Policy": POLICY}, media_type="text/html")


def page(title: str, content: str) -> str:
    """A page around its content."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{content}</body></html>"
    )


def as_text(text: str) -> str:
    """Escaped, with `code` as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))


def kind_in_words(schema: dict[str, Any]) -> str:
    """What sort of value a schema asks for, in a word or a few."""
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(kind_in_words(option) for option in options)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {kind_in_words(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any JSON")


def table(rows: Iterable[list[str]]) -> str:
    """A table, the first cell of each row as code; nothing for no rows."""
    lines = "".join(
        f"<tr><td><code>{escape(first)}</code></td>"
        + "".join(f"<td>{as_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table>{lines}</table>" if lines else ""
