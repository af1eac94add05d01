"""The API's description as a page to read, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; }
body { max-width: 52rem; margin: 0 auto; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; font-size: 1.2rem; }
h2 code { font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid #8886; text-align: left; vertical-align: top; }
th { font-weight: 600; }
pre { padding: 0.8rem; border: 1px solid #8886; border-radius: 0.5rem; overflow-x: auto; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.92em; }
"""


def write_docs(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Write the page of an OpenAPI schema, and the Content Security Policy that it is served with."""
    info = schema["info"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}: the API</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}: the API</h1>",
        f'<p>{escape(info["summary"])}. For programs: <a href="/openapi.json">openapi.json</a>. '
        'To draw a digit: <a href="/">the page</a>.</p>',
        *(_operation(path, way, each) for path, ways in schema["paths"].items() for way, each in ways.items()),
        "<h1>Answers</h1>",
        *(_fields(name, model) for name, model in schema["components"]["schemas"].items()),
        "</main></body></html>",
    ]
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return "\n".join(parts), f"{policy}; frame-ancestors 'none'"


def _operation(path: str, way: str, operation: Mapping[str, Any]) -> str:
    text, _, example = operation["description"].partition("\n\n")
    parts = [f"<h2><code>{escape(way.upper())} {escape(path)}</code></h2><p>{escape(text)}</p>"]
    if example:
        parts.append(f"<pre>{escape(example)}</pre>")
    parameters = [(each["name"], each["description"]) for each in operation.get("parameters", [])]
    if parameters:
        parts.append(_table(("query", ""), parameters))
    if body := operation.get("requestBody"):
        parts.append(f"<p>Body: {', '.join(f'<code>{escape(kind)}</code>' for kind in body['content'])}</p>")
    answers = ((code, f"{each['description']}: {_answer(each)}") for code, each in operation["responses"].items())
    return "\n".join([*parts, _table(("status", ""), answers)])


def _answer(response: Mapping[str, Any]) -> str:
    return _type(response["content"]["application/json"]["schema"])


def _fields(name: str, model: Mapping[str, Any]) -> str:
    rows = (
        (field, f"{_type(each)}{': ' if 'description' in each else ''}{each.get('description', '')}")
        for field, each in model["properties"].items()
    )
    text = escape(model.get("description", ""))
    return f"<h2><code>{escape(name)}</code></h2><p>{text}</p>{_table(('field', ''), rows)}"


def _type(schema: Mapping[str, Any]) -> str:
    """Name a schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("const") or schema["type"])


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = (f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>" for name, text in rows)
    titles = f'<tr><th scope="col">{head[0]}</th><th scope="col">{head[1] or "meaning"}</th></tr>'
    return f"<table>{titles}{''.join(lines)}</table>"
