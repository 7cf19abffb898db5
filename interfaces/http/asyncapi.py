"""The description of live events (AsyncAPI 3), from the catalogue of events, the channels, and the
types of what is said over the WebSocket.
"""

from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_type_hints

from application.live.channel import OF_ONE_THING, OF_ONE_THING_ALONE, SCOPES, VOLATILE, family_of
from domain.catalogue import EVENTS
from interfaces.http.event_schemas import data_type_of, event_schemas, what_happened
from interfaces.http.examples import example_of
from interfaces.http.json_schemas import JsonSchemas, Mode, Schema
from interfaces.http.openapi import VERSION
from interfaces.http.schemas.events import CloudEvent
from interfaces.http.schemas.frames import (
    AuthExpiring,
    CaughtUp,
    EventFrame,
    Figures,
    Hello,
    Metrics,
    Output,
    Pong,
    Position,
    RefusalFrame,
    Replay,
    Replayed,
    Resync,
    Snapshot,
    StreamPosition,
    Subscribed,
    TaskOutput,
    Unsubscribed,
)
from interfaces.http.schemas.live import CLIENT_MESSAGES, Auth, Ping, Subscribe, Unsubscribe

INTRODUCTION = """\
One feed, one cursor, three ways to read it: a WebSocket, server-sent events, and webhooks. An event
is a CloudEvent, exactly as `GET /v1/events` shows it, and its `id` is its cursor, a place in the
log.

Each event comes once, in log order, to whoever stays connected or resumes after the last cursor
that was seen. Events are never dropped: who reads slowly is served from the log, and who does not
read at all is sent away with a code that says so.
"""
CONVERSATION: tuple[Any, ...] = (
    *(Auth, Hello, Subscribe, Subscribed, Snapshot, EventFrame, CaughtUp, Position, Metrics),
    *(Output, Replay, Unsubscribe, Unsubscribed, Ping, Pong, AuthExpiring, RefusalFrame, Resync),
)
"""Everything that is said over the WebSocket, in the order in which it may come."""
ANSWERS = {
    "auth": ["hello", "error"],
    "subscribe": ["subscribed", "snapshot", "caught_up", "resync", "error"],
    "unsubscribe": ["unsubscribed", "error"],
    "ping": ["pong", "error"],
}
STREAMED: dict[str, tuple[Any, str]] = {
    "caught_up": (StreamPosition, "The history has ended here; what comes now is live."),
    "position": (StreamPosition, "Everything up to here was sent or does not concern you."),
    "metrics": (Figures, "Figures of the tenant, once a second."),
    "output": (TaskOutput, "What a running task wrote."),
    "replay": (Replayed, "The past, played again."),
}
"""What comes over SSE beside the events."""
FAMILIES = {
    "tasks": "Events of tasks.",
    "agents": "Events of agents.",
    "collaborations": "Events of collaborations.",
    "system": "Events of nothing of these.",
    "audit": "What people did, asked for and were refused.",
    "metrics": "Figures of the tenant, once a second; volatile.",
    "output": "What a running task writes: tokens, log lines; volatile.",
    "replay": "The past, played again, after `POST /v1/replays`; waits for its readers; volatile.",
}
CONVERSATION_TEXT = """\
JSON objects in text frames; subprotocol `musterroll.v1`, which may be left out. Who asks is told by
`Authorization: Bearer` on the upgrade, by a ticket, or by `auth` as the first message, within 10 s.
A page needs an Origin that the service allows. A connection is one stream with one cursor; to
resume, subscribe after the last cursor that was seen.
"""
STREAM_TEXT = """\
The same feed as server-sent events: `id` is the cursor, `event` the type, `data` the CloudEvent.
`caught_up`, `position`, `metrics`, `output` and `replay` are events of these names. To resume, send
`Last-Event-ID`. In a browser read it with `fetch`: `EventSource` cannot say who asks. Its
parameters stand in the description of the API.
"""
WEBHOOK_TEXT = """\
A POST of the CloudEvent, signed as Standard Webhooks has it; at least once, in order for each task
or agent, tried again with growing pauses, and in the end among the dead letters.
"""
CLOSE_CODES = {
    "4401": "The token ended, none came in time, or three wrong ones did.",
    "4008": "Nothing was read for 30 s: consumer too slow.",
    "1009": "A message was too large.",
    "1011": "Our fault; resume after the last cursor.",
    "1012": "The service stops; come again.",
}
ADDRESS = {
    "default": "127.0.0.1:8000",
    "description": "Where the service, or the proxy in front of it, listens.",
}
CLOUD_EVENTS_JSON = "application/cloudevents+json"
TICKET_QUERY = {
    "type": "object",
    "properties": {
        "ticket": {
            "type": "string",
            "description": "From `POST /v1/ws-tickets`: good once, for 30 s.",
        }
    },
}
SECURITY: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "ticket": {
        "type": "httpApiKey",
        "name": "ticket",
        "in": "query",
        "description": "From `POST /v1/ws-tickets`; for browsers, which send no header.",
    },
}
"""Without either, `auth` as the first message says who asks."""


def document() -> Schema:
    """The whole description; the same for the same catalogue."""
    said: list[tuple[Any, Mode]] = [(kind, _mode(kind)) for kind in CONVERSATION]
    streamed = [kind for kind, _ in STREAMED.values()]
    kinds = [CloudEvent, *map(data_type_of, EVENTS), *streamed]
    schemas = JsonSchemas([*said, *((kind, "serialization") for kind in kinds)])
    definitions = {**schemas.definitions, **event_schemas(schemas)}
    definitions["EventFrame"]["properties"]["event"] = _schema("Event")
    messages = {
        **{message["name"]: message for message in (_said(kind, schemas) for kind in CONVERSATION)},
        **{topic: _event(topic) for topic in EVENTS},
        **{f"stream.{name}": _streamed(name, schemas) for name in STREAMED},
        "delivery": _delivery(),
    }
    for message in messages.values():
        example = example_of(message["payload"], definitions)
        if "x-from" in message:
            example = {"type": message["name"]} | example
        message["examples"] = [{"payload": example}]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Musterroll", "version": VERSION, "description": INTRODUCTION},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "schemas": {name: definitions[name] for name in sorted(definitions)},
            "messages": messages,
            "securitySchemes": SECURITY,
        },
    }


# Messages.


def _mode(kind: Any) -> Mode:
    return "validation" if kind in CLIENT_MESSAGES else "serialization"


def _name(kind: Any) -> str:
    (name,) = get_args(get_type_hints(kind)["type"])
    return str(name)


def _said(kind: Any, schemas: JsonSchemas) -> Schema:
    mode = _mode(kind)
    described = schemas.resolved(kind, mode)
    message = {
        "name": _name(kind),
        "summary": described["description"],
        "payload": schemas.of(kind, mode),
        "x-from": "client" if kind in CLIENT_MESSAGES else "server",
    }
    if "id" in described["properties"]:
        message["correlationId"] = {"location": "$message.payload#/id"}
    return message


def _event(topic: str) -> Schema:
    return {
        "name": topic,
        "summary": what_happened(topic),
        "contentType": CLOUD_EVENTS_JSON,
        "payload": _schema(topic),
    }


def _streamed(name: str, schemas: JsonSchemas) -> Schema:
    kind, summary = STREAMED[name]
    return {"name": name, "summary": summary, "payload": schemas.of(kind, "serialization")}


def _delivery() -> Schema:
    """The headers of Standard Webhooks."""
    texts = {
        "webhook-id": "The cursor of the event: the same when it comes again.",
        "webhook-timestamp": "When it was sent, in seconds since 1970.",
        "webhook-signature": "`v1,<Base64 of HMAC-SHA256 over id.timestamp.body>`; several with "
        "spaces between them while a secret is being replaced.",
    }
    return {
        "name": "delivery",
        "summary": "An event; any status from 200 to 299 takes it.",
        "contentType": CLOUD_EVENTS_JSON,
        "headers": {
            "type": "object",
            "required": list(texts),
            "properties": {
                name: {"type": "string", "description": text} for name, text in texts.items()
            },
        },
        "payload": _schema("Event"),
    }


# Where it is said.


def _servers() -> Schema:
    return {
        "websocket": {
            "host": "{address}",
            "protocol": "ws",
            "description": "`wss` where a proxy does TLS.",
            "variables": {"address": ADDRESS},
            "security": [_reference("securitySchemes", name) for name in SECURITY],
        },
        "http": {
            "host": "{address}",
            "protocol": "http",
            "description": "`https` where a proxy does TLS.",
            "variables": {"address": ADDRESS},
            "security": [_reference("securitySchemes", "bearer")],
        },
        "receiver": {
            "host": "{target}",
            "protocol": "https",
            "description": "Whoever takes webhooks, once somebody with `admin` allowed it.",
            "variables": {"target": {"description": "The host in the URL of the webhook."}},
        },
    }


def _channels() -> Schema:
    return {
        "conversation": {
            "address": "/ws/v1/events",
            "title": "WebSocket",
            "description": CONVERSATION_TEXT,
            "servers": [{"$ref": "#/servers/websocket"}],
            "messages": _messages(_name(kind) for kind in CONVERSATION),
            "bindings": {"ws": {"method": "GET", "query": TICKET_QUERY, "bindingVersion": "0.1.0"}},
            "x-close-codes": CLOSE_CODES,
        },
        "stream": {
            "address": "/v1/stream",
            "title": "Server-sent events",
            "description": STREAM_TEXT,
            "servers": [{"$ref": "#/servers/http"}],
            "messages": {
                **_messages(EVENTS),
                **{name: _reference("messages", f"stream.{name}") for name in STREAMED},
            },
        },
        "webhook": {
            "address": None,
            "title": "Webhooks",
            "description": WEBHOOK_TEXT,
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": _messages(["delivery"]),
        },
        **{name: channel for family in SCOPES for name, channel in _channels_of(family)},
    }


def _channels_of(family: str) -> Iterator[tuple[str, Schema]]:
    """All of a family, and one thing of it: what a subscription names."""
    topics = [topic for topic in EVENTS if family_of(topic) == family]
    channel = {
        "description": FAMILIES[family],
        "messages": _messages([family] if family in VOLATILE else topics),
        "x-scopes": list(SCOPES[family]),
    }
    if family not in OF_ONE_THING_ALONE:
        yield family, {"address": family, **channel}
    if family in OF_ONE_THING:
        thing = {"id": {"description": "The id of the one thing that is listened to."}}
        yield f"{family}.id", {"address": f"{family}.{{id}}", "parameters": thing, **channel}


def _operations() -> Schema:
    """`receive` is what the service is told, `send` what it tells."""
    heard = {
        name: {
            "action": "receive",
            "channel": {"$ref": "#/channels/conversation"},
            "messages": _of_channel("conversation", [name]),
            "reply": {
                "channel": {"$ref": "#/channels/conversation"},
                "messages": _of_channel("conversation", answers),
            },
        }
        for name, answers in ANSWERS.items()
    }
    bindings = {
        "stream": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        "webhook": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }
    told = {}
    for name, channel in _channels().items():
        known = [message for message in channel["messages"] if message not in ANSWERS]
        told[f"send.{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": _of_channel(name, known),
            **({"bindings": bindings[name]} if name in bindings else {}),
        }
    return heard | told


def _reference(section: str, name: str) -> Schema:
    return {"$ref": f"#/components/{section}/{name}"}


def _schema(name: str) -> Schema:
    return _reference("schemas", name)


def _messages(names: Iterable[str]) -> Schema:
    return {name: _reference("messages", name) for name in names}


def _of_channel(channel: str, names: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
