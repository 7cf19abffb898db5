"""What the service says over a stream, as what it means: an item, or an error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from musterroll._decode import decode, unexpected
from musterroll._seen import place_of
from musterroll._sse import Message
from musterroll.errors import (
    Forbidden,
    Invalid,
    MusterrollError,
    NotFound,
    Resync,
    Unauthorized,
    Unavailable,
)
from musterroll.models import Event, Output, Replayed, ReplayEnd

Frame: TypeAlias = Mapping[str, Any]

RESYNC_REASONS = frozenset({"epoch_ended", "cursor_ahead"})
_KINDS: dict[str, type[MusterrollError]] = {
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "unavailable": Unavailable,
}


@dataclass(frozen=True, slots=True)
class Moved:
    """Everything up to the cursor has come, or does not concern this stream."""

    cursor: str
    caught_up: bool = False


Item: TypeAlias = Event | Output | Replayed | ReplayEnd | Moved


def frame_in(text: str | bytes) -> Frame:
    """Raises Unavailable for what is no JSON object: whatever said it, it was not the service."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise unexpected("frame", text[:200]) from error
    if not isinstance(frame, dict):
        raise unexpected("frame", frame)
    return frame


def frame_of(message: Message) -> Frame:
    """A server-sent message as the frame that a WebSocket brings instead. Raises Unavailable."""
    if "." in message.event:  # the type of an event has one; no other message's name does
        return {"type": "event", "event": frame_in(message.data)}
    said = frame_in(message.data)
    return {"cursor": message.id, "data": said, **said, "type": message.event}


def item_of(frame: Frame) -> Item | None:
    """What a frame brings; None when it brings nothing (to a client of this age).

    Raises Resync, or the refusal that it is.
    """
    match frame.get("type"):
        case "event":
            event = decode(Event, frame.get("event"))
            _check_place(event.id)
            return event
        case "output":
            return decode(Output, frame.get("data"))
        case "replay":
            return _replayed(frame.get("data"))
        case "position" | "caught_up" | "pong" as kind:
            return Moved(_cursor(frame), kind == "caught_up")
        case "resync":
            raise resync(str(frame.get("reason")), frame.get("cursor"))
        case "error":
            raise refusal(frame)
    return None


def refusal(frame: Frame) -> MusterrollError:
    """The error that an `error` frame is."""
    code = str(frame.get("code"))
    return _KINDS.get(code, Invalid)(str(frame.get("message") or code), code=code)


def resync(reason: str, cursor: str | None) -> Resync:
    """The error of a cursor that names no place in the log."""
    why = {
        "epoch_ended": "the log was restored since, and its cursors have ended",
        "cursor_ahead": "it lies behind the end of the log",
    }.get(reason, reason)
    return Resync(f"cannot go on at this cursor: {why}", code=reason, extra={"cursor": cursor})


def _replayed(said: Any) -> Item | None:
    match said:
        case {"kind": "event"}:
            return decode(Replayed, said)
        case {"kind": "end"}:
            return decode(ReplayEnd, said)
    return None


def _cursor(frame: Frame) -> str:
    cursor = frame.get("cursor")
    _check_place(cursor)
    return str(cursor)


def _check_place(cursor: object) -> None:
    # What has no place cannot be told from what was seen before, and would be left out in silence.
    if not isinstance(cursor, str) or place_of(cursor) == place_of(None):
        raise unexpected("cursor", cursor)
