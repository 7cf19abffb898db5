"""Live events to read: a page made from their AsyncAPI description."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from interfaces.http.pages import as_text, kind_in_words, page, table

CONVERSATION, STREAM, WEBHOOK = "conversation", "stream", "webhook"
WHOLE = (CONVERSATION, STREAM, WEBHOOK)
"""The ways to read the feed; every other channel is what a subscription names."""
CURL = 'curl -N "$MUSTERROLL_URL/v1/stream?channels=tasks" -H "Authorization: Bearer $TOKEN"'


def events_page(document: dict[str, Any]) -> str:
    """The whole description."""
    return page("Musterroll live events", "".join(_Page(document).content()))


class _Page:
    """The page in parts."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._channels: dict[str, Any] = document["channels"]
        self._messages: dict[str, Any] = document["components"]["messages"]
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        self._introduction: str = document["info"]["description"]

    def content(self) -> Iterator[str]:
        """All of it, in order."""
        yield "<h1>Musterroll live events</h1>"
        yield from _paragraphs(self._introduction)
        yield '<p>For programs: <a href="/asyncapi.json">asyncapi.json</a>. '
        yield 'Everything else: <a href="/docs">the API</a>. Go to: '
        places = ["channels", *WHOLE, "events"]
        yield ", ".join(f'<a href="#{place}">{place}</a>' for place in places)
        yield '.</p><h2 id="channels">Channels</h2>'
        yield "<p>What a subscription names. Only the caller's own tenant is ever shown.</p>"
        yield table(
            [channel["address"], channel["description"], _scopes(channel)]
            for name, channel in self._channels.items()
            if name not in WHOLE
        )
        yield from self._way(CONVERSATION)
        for name in self._channels[CONVERSATION]["messages"]:
            yield from self._message(name, self._messages[name])
        yield from self._way(STREAM)
        yield f"<pre><code>{escape(CURL)}</code></pre>"
        yield from self._streamed()
        yield from self._way(WEBHOOK)
        yield table(self._fields(self._messages["delivery"]["headers"]))
        yield '<h2 id="events">Events</h2>'
        yield from self._events()

    def _way(self, name: str) -> Iterator[str]:
        channel = self._channels[name]
        yield f'<h2 id="{name}">{escape(channel["title"])}</h2>'
        if channel["address"]:
            address = f"<code>{escape(channel['address'])}</code>"
            yield f'<h3><span class="method">GET</span> {address}</h3>'
        yield from _paragraphs(channel["description"])
        yield table([code, text] for code, text in channel.get("x-close-codes", {}).items())

    def _message(self, name: str, message: dict[str, Any]) -> Iterator[str]:
        says = message["x-from"]
        yield f'<h3 id="{name}"><span class="method">{says}</span> <code>{name}</code></h3>'
        yield f"<p>{as_text(message['summary'])}</p>"
        yield table(self._fields(message["payload"]))
        yield _example(message)

    def _streamed(self) -> Iterator[str]:
        yield "<p>Beside the events:</p>"
        for name, reference in self._channels[STREAM]["messages"].items():
            message = self._messages[reference["$ref"].rpartition("/")[2]]
            if name not in self._schemas:
                yield f"<h3><code>{name}</code></h3><p>{as_text(message['summary'])}</p>"
                yield table(self._fields(message["payload"]))
                yield _example(message)

    def _events(self) -> Iterator[str]:
        yield "<p>What all events have in common:</p>"
        yield table(self._fields(self._schemas["CloudEvent"]))
        yield "<p>And what the <code>data</code> of each holds:</p>"
        for topic, message in self._messages.items():
            if topic not in self._schemas:
                continue
            own = self._schemas[topic]["allOf"][1]["properties"]["data"]
            yield f'<h3 id="{topic}"><code>{topic}</code></h3>'
            yield f"<p>{as_text(message['summary'])}</p>"
            yield table(self._fields(own))
            yield f"<details><summary>Example</summary>{_example(message)}</details>"

    def _fields(self, schema: dict[str, Any]) -> Iterator[list[str]]:
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        for name, field in schema.get("properties", {}).items():
            required = "required" if name in schema.get("required", []) else ""
            yield [name, required, kind_in_words(field), field.get("description", "")]


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield f"<p>{as_text(paragraph)}</p>"


def _scopes(channel: dict[str, Any]) -> str:
    return " and ".join(f"`{scope}`" for scope in channel["x-scopes"])


def _example(message: dict[str, Any]) -> str:
    text = json.dumps(message["examples"][0]["payload"], ensure_ascii=False)
    return f"<pre><code>{escape(text)}</code></pre>"
