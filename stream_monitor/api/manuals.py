"""/docs: the OpenAPI description as a plain page, without a script and with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import msgspec

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
details { border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { background: #8882; border-radius: 6px; padding: .7rem; overflow: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
.get { color: #2a7de1; } .post { color: #1a9c5b; } b.method { display: inline-block; width: 3.2rem; }
"""


def manual_page(openapi: Mapping[str, Any]) -> str:
    """The page for an OpenAPI description."""
    tags: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            tags.setdefault(tag, []).append(_operation(path, method, operation))
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"
        for name, schema in sorted(openapi.get("components", {}).get("schemas", {}).items())
    )
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in tags.items())
    info = openapi["info"]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(info['title'])}: API</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}: API</h1><p>{escape(info.get('description', ''))}</p>"
        "<p>Machines read <a href='/openapi.json'>/openapi.json</a>. Writes, and reads where a key is asked for, take "
        "<code>Authorization: Bearer KEY</code>. Errors are <code>application/problem+json</code> (RFC 9457). "
        "Lists are <code>{items, next}</code>: pass <code>next</code> as <code>cursor</code> to go on.</p>"
        f"{body}<h2>Shapes</h2>{schemas}</body></html>"
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(_type(p['schema']))}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    codes = ", ".join(f"{code} {response['description']}" for code, response in operation["responses"].items())
    said = operation.get("description") or operation.get("summary", "")
    parameters = f"<table><tr><th>parameter<th>in<th>type<th></tr>{rows}</table>" if rows else ""
    return (
        f"<details><summary><b class='method {escape(method)}'>{escape(method.upper())}</b> "
        f"<code>{escape(path)}</code> {escape(said.splitlines()[0] if said else '')}</summary>"
        f"<p>{escape(said)}</p>{parameters}{'<p>Body:</p>' + _json(body) if body else ''}"
        f"<p>Answers: {escape(codes)}</p></details>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """One word or two for a parameter's schema.

    >>> _type({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}), _type({"type": "integer"})
    ('a | b', 'integer')
    """
    options = [o for o in schema.get("anyOf", [schema]) if o.get("type") != "null"]
    return " | ".join(
        " | ".join(map(str, o["enum"])) if "enum" in o else str(o.get("format") or o.get("type", "")) for o in options
    )


def _json(schema: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())}</pre>"
