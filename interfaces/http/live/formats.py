"""How live events are written: WebSocket frames with JSON, and server-sent events."""

from collections.abc import Mapping

import orjson

from application.live.channel import Channel
from application.live.interest import Shown
from application.ports import Json

FINAL_TEXT = 0x81
LENGTH_16, LENGTH_64 = 126, 127


def text_frame(payload: bytes) -> bytes:
    """A whole text message of a server (RFC 6455, 5.2): unmasked, in one frame."""
    length = len(payload)
    if length < LENGTH_16:
        return bytes((FINAL_TEXT, length)) + payload
    if length < 1 << 16:
        return bytes((FINAL_TEXT, LENGTH_16)) + length.to_bytes(2, "big") + payload
    return bytes((FINAL_TEXT, LENGTH_64)) + length.to_bytes(8, "big") + payload


def payloads_of(frames: bytes) -> list[bytes]:
    """What such frames hold."""
    payloads, place = [], 0
    while place < len(frames):
        length, begins = frames[place + 1], place + 2
        if length == LENGTH_16:
            begins = place + 4
            length = int.from_bytes(frames[place + 2 : begins], "big")
        elif length == LENGTH_64:
            begins = place + 10
            length = int.from_bytes(frames[place + 2 : begins], "big")
        place = begins + length
        payloads.append(frames[begins:place])
    return payloads


class WebSocketFormat:
    """JSON objects in text frames, ready for the socket."""

    def event(self, shown: Shown, channel: Channel) -> bytes:
        """`{"type": "event", "channel", "event"}`."""
        head = b'{"type":"event","channel":"%b","event":' % str(channel).encode()
        return text_frame(head + shown.cloud_event + b"}")

    def position(self, cursor: str) -> bytes:
        """`{"type": "position", "cursor"}`."""
        return self.message({"type": "position", "cursor": cursor})

    def volatile(self, channel: Channel, message: Mapping[str, Json]) -> bytes:
        """`{"type": "metrics" or "output", "channel", "data"}`."""
        return self.message({"type": channel.family, "channel": str(channel), "data": message})

    def message(self, content: Mapping[str, Json]) -> bytes:
        """Any other message."""
        return text_frame(orjson.dumps(content, option=orjson.OPT_UTC_Z))


class SseFormat:
    """Server-sent events (WHATWG HTML, 9.2). Only what has a place in the log has an id."""

    def event(self, shown: Shown, channel: Channel) -> bytes:
        """The type of the event names it, its cursor is the id, and the CloudEvent the data."""
        return self.message(shown.record.topic, shown.cloud_event, shown.cursor)

    def position(self, cursor: str) -> bytes:
        """It moves the id."""
        return self.message("position", orjson.dumps({"cursor": cursor}), cursor)

    def volatile(self, channel: Channel, message: Mapping[str, Json]) -> bytes:
        """Named by the family of the channel."""
        return self.message(channel.family, orjson.dumps(message, option=orjson.OPT_UTC_Z))

    def message(self, name: str, content: bytes, cursor: str | None = None) -> bytes:
        """One event; JSON by orjson holds no line ends."""
        line = f"id: {cursor}\n".encode() if cursor else b""
        return line + b"event: %b\ndata: %b\n\n" % (name.encode(), content)


WEBSOCKET = WebSocketFormat()
SSE = SseFormat()
