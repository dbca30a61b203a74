"""The description of the API as HTML: no script, nothing from elsewhere, light and dark, a phone's width and a desk's."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gateway.protocol.fields import MAX_INTEGER

_STYLE = """
:root { color-scheme: light dark; --line: #8888884d; --faint: #88888818; --soft: light-dark(#555, #b0b0b0);
  --get: light-dark(#0b5cad, #8cc4ff); --post: light-dark(#17692f, #7fd798); --change: light-dark(#8a4b00, #ffc078);
  --delete: light-dark(#a61b1b, #ff9d9d); }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { line-height: 1.2; margin: 0; }
h2 { margin: 2.5rem 0 .5rem; }
h3 { font-size: .9rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; max-width: 42rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; margin: 1rem 0 0; }
nav a { display: inline-block; padding: .5rem 0; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
details[open] { background: var(--faint); }
summary { display: flex; flex-wrap: wrap; gap: .1rem .75rem; align-items: baseline; padding: .6rem .8rem; cursor: pointer; }
summary::-webkit-details-marker { display: none; }
summary:focus-visible, a:focus-visible { outline: 3px solid currentColor; outline-offset: 2px; border-radius: .25rem; }
.method { font: 700 .8rem/1.5 ui-monospace, monospace; min-width: 4.2rem; }
.GET, .HEAD, .OPTIONS { color: var(--get); } .POST { color: var(--post); } .PUT, .PATCH { color: var(--change); }
.DELETE { color: var(--delete); }
.path { font: .95rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.about, .soft { color: var(--soft); }
.inside { padding: 0 .8rem .8rem; }
dl { margin: 0; font-size: .9rem; }
dl > div { display: grid; grid-template-columns: minmax(9rem, 1fr) 2fr 2fr; gap: 0 1rem; padding: .35rem 0;
  border-top: 1px solid var(--line); }
dl.answers > div { grid-template-columns: 3rem 3fr 1fr; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
dt small { font-weight: 400; color: var(--soft); }
@media (max-width: 44rem) { dl > div, dl.answers > div { grid-template-columns: 1fr; } }
code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PROBLEM = "application/problem+json"
Told = Mapping[str, Any]


def of(document: Told) -> str:
    """The page of an OpenAPI document."""
    info, groups = document["info"], _groups(document)
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in groups)
    body = "".join(_group(name, calls, document) for name, calls in groups.items())
    shapes = "".join(_shape(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: its HTTP interface</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['summary'])} {_prose(info['description'])}</p>"
        f"<p>It answers at <code>{escape(document['servers'][0]['url'])}</code>. "
        'For programs: <a href="openapi.json">openapi.json</a>.</p></header>'
        f'<nav aria-label="Parts"><ul>{links}<li><a href="#shapes">Shapes</a></li></ul></nav>'
        f'<main>{body}<section aria-labelledby="shapes"><h2 id="shapes">Shapes</h2>{shapes}</section></main>'
        "</body></html>\n"
    )


def _groups(document: Told) -> dict[str, list[tuple[str, str, Told]]]:
    found: dict[str, list[tuple[str, str, Told]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            found[call["tags"][0]].append((method.upper(), path, call))
    return found


def _group(name: str, calls: Sequence[tuple[str, str, Told]], document: Told) -> str:
    anchor = _anchor(name)
    inside = "".join(_call(*one, document) for one in calls)
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(name)}</h2>{inside}</section>'


def _call(method: str, path: str, call: Told, document: Told) -> str:
    parts = [f"<p>{_prose(call['description'])}</p>" if "description" in call else "", _door(call, document)]
    if call["parameters"]:
        parts.append(_fields("Parameters", [_parameter(one) for one in call["parameters"]]))
    for kind, content in call.get("requestBody", {}).get("content", {}).items():
        parts.append(_content("Body", kind, content["schema"]))
    parts.append(_answers(call["responses"]))
    return (
        f'<details id="{escape(call["operationId"])}"><summary><span class="method {method}">{method}</span>'
        f'<span class="path">{escape(path)}</span><span class="about">{_prose(call["summary"])}</span></summary>'
        f'<div class="inside">{"".join(parts)}</div></details>'
    )


def _parameter(one: Told) -> tuple[str, str, Told, str]:
    where = one["in"] if one.get("required") else f"{one['in']}, optional"
    return one["name"], where, one["schema"], one.get("description", "")


def _door(call: Told, document: Told) -> str:
    schemes = document["components"]["securitySchemes"]
    told = [schemes[name]["description"] for one in call["security"] for name in one]
    if not told:
        return '<p class="soft">Open to everybody.</p>'
    return f'<p class="soft">Bearer: {" Or: ".join(map(_prose, told))}</p>'


def _content(title: str, kind: str, schema: Told) -> str:
    if "properties" not in schema:
        return f"<h3>{title}</h3><p><code>{escape(kind)}</code> {_type(schema)}</p>"
    return _fields(f"{title}, {kind}", _members(schema))


def _members(schema: Told) -> list[tuple[str, str, Told, str]]:
    required = schema.get("required", [])
    return [
        (name, "" if name in required else "optional", one, one.get("description", ""))
        for name, one in schema["properties"].items()
    ]


def _fields(title: str, rows: Sequence[tuple[str, str, Told, str]]) -> str:
    lines = "".join(
        f"<div><dt><code>{escape(name)}</code> <small>{escape(where)}</small></dt><dd>{_type(schema)}</dd>"
        f"<dd>{_prose(about)}</dd></div>"
        for name, where, schema, about in rows
    )
    return f"<h3>{escape(title)}</h3><dl>{lines}</dl>"


def _answers(responses: Told) -> str:
    lines = "".join(
        f"<div><dt><code>{status}</code></dt><dd>{_prose(told['description'])}</dd><dd>{_shapes_of(told)}</dd></div>"
        for status, told in responses.items()
    )
    return f'<h3>Answers, and the codes of problems</h3><dl class="answers">{lines}</dl>'


def _shapes_of(answer: Told) -> str:
    told = [
        f"<code>{escape(kind)}</code> {_type(content['schema'])}"
        for kind, content in answer.get("content", {}).items()
        if kind != _PROBLEM
    ]
    return "<br>".join(told)


def _shape(name: str, schema: Told) -> str:
    about = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
    return (
        f'<details id="shape-{escape(name)}"><summary><span class="path">{escape(name)}</span></summary>'
        f'<div class="inside">{about}{_fields("Members", _members(schema))}</div></details>'
    )


def _type(schema: Told) -> str:
    """What a value may be, in few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one)) or '(empty)'}</code>" for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and schema.get("properties"):
        inside = ", ".join(_member(*one) for one in schema["properties"].items())
        others = ", and others" if schema.get("additionalProperties") else ""
        return f"{{{inside}{others}}}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    told = [str(kind or "bytes")]
    if "maxLength" in schema:
        told.append(f"of at most {schema['maxLength']} characters")
    if schema.get("maximum", MAX_INTEGER) < MAX_INTEGER:
        told.append(f"up to {schema['maximum']}")
    return escape(" ".join(told))


def _member(name: str, schema: Told) -> str:
    """Of an object inside another: that it is a string goes without saying."""
    plain = schema.get("type") == "string" and "enum" not in schema
    return escape(name) if plain else f"{escape(name)}: {_type(schema)}"


def _prose(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
