"""The API to read: a page made from its OpenAPI description.

Decision: a page of our own instead of Swagger UI. Nobody has to vendor 1.5 MB of somebody else's
script, the content policy can forbid scripts altogether, and it reads like a book. Given up: the
form that sends a request; every operation has a line for curl to copy instead.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from interfaces.http.operation import SIGNED_IN
from interfaces.http.pages import as_text, kind_in_words, page, table

SIGN_IN = "--data-urlencode username=admin --data-urlencode password@admin-password"


def api_page(document: dict[str, Any]) -> str:
    """The whole description."""
    return page("Musterroll API", "".join(_Page(document).content()))


class _Page:
    """The page in parts."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def content(self) -> Iterator[str]:
        """All of it, in order."""
        information = self._document["info"]
        yield f"<h1>{escape(information['title'])} API</h1>"
        for paragraph in information["description"].split("\n\n"):
            yield f"<p>{as_text(paragraph)}</p>"
        yield '<p>For programs: <a href="/openapi.json">openapi.json</a>. '
        yield '<a href="/docs/events">Live events</a> have a page of their own. Go to: '
        yield ", ".join(f'<a href="#{tag["name"]}">{tag["name"]}</a>' for tag in self._tags)
        yield ".</p>"
        for tag in self._tags:
            yield f'<h2 id="{tag["name"]}">{tag["name"]}</h2><p>{as_text(tag["description"])}</p>'
            for path, methods in self._document["paths"].items():
                for method, described in methods.items():
                    if described["tags"] == [tag["name"]]:
                        yield from self._operation(method, path, described)

    @property
    def _tags(self) -> list[dict[str, str]]:
        tags: list[dict[str, str]] = self._document["tags"]
        return tags

    def _operation(self, method: str, path: str, described: dict[str, Any]) -> Iterator[str]:
        scope = described.get("x-scope")
        words = scope if scope == SIGNED_IN else f"scope <code>{scope}</code>"
        right = f'<span class="scope">{words}</span>' if scope else ""
        name = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code>'
        yield f"<h3>{right}{name}</h3>"
        yield f"<p>{as_text(described['summary'])}. {as_text(described.get('description', ''))}</p>"
        yield table(
            [one["name"], one["in"], kind_in_words(one["schema"]), one.get("description", "")]
            for one in described.get("parameters", [])
        )
        for content in _contents(described.get("requestBody", {})):
            yield table(self._fields(content["schema"]))
        yield f"<pre><code>{escape(self._curl(method, path, described))}</code></pre>"
        yield "<details><summary>Answers</summary>"
        for content in _contents(_success(described)):
            yield table(self._fields(content["schema"]))
        yield table(
            [status, answer["description"]] for status, answer in described["responses"].items()
        )
        yield "</details>"

    def _fields(self, schema: dict[str, Any]) -> Iterator[list[str]]:
        found = self._resolved(schema)
        for name, field in found.get("properties", {}).items():
            required = "required" if name in found.get("required", []) else ""
            yield [name, required, kind_in_words(field), field.get("description", "")]

    def _curl(self, method: str, path: str, described: dict[str, Any]) -> str:
        words = ["curl", f"$MUSTERROLL_URL{path}"]
        if method != "get":
            words.insert(1, f"-X {method.upper()}")
        if "security" in described:
            words.append('-H "Authorization: Bearer $TOKEN"')
        for content in _contents(described.get("requestBody", {})):
            example = self._resolved(content["schema"]).get("examples", [None])[0]
            if "grant_type" in self._resolved(content["schema"]).get("properties", {}):
                words.append(f"-d grant_type=password {SIGN_IN}")
            elif example is not None:
                words.append(f"-H 'Content-Type: application/json' -d '{json.dumps(example)}'")
        return " ".join(words)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        found: dict[str, Any] = self._document["components"]["schemas"][name]
        return found


def _contents(holder: dict[str, Any]) -> list[dict[str, Any]]:
    return list(holder.get("content", {}).values())


def _success(described: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(described["responses"].values()))
    return found
