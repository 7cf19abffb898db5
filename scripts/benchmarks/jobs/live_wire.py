"""WebSocket frames, as bare as they are: what the floors send, and what the load generator reads.

Standard library only, since some of it runs in the peers' environment.
"""

import base64
import hashlib
import json
import re
import struct
from collections.abc import Iterator

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"^sec-websocket-key: *(\S+)", re.IGNORECASE | re.MULTILINE)
MARK = b'"specversion"'
"""Stands once in every event and in no other frame, so that events can be counted unread."""
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
SHORT_BYTES_MAX, MEDIUM_BYTES_MAX = 125, 65_535


def an_event(frame_bytes: int) -> bytes:
    """An event's text that makes a frame of so many bytes, between 200 and 65,535."""
    event = {"specversion": "1.0", "id": "1:4711", "type": "task.submitted", "data": {"text": ""}}
    said = {"type": "event", "channel": "tasks", "event": event}
    bare = len(json.dumps(said, separators=(",", ":")))
    event["data"] = {"text": "x" * (frame_bytes - bare - 4)}
    return json.dumps(said, separators=(",", ":")).encode()


def frame(text: bytes) -> bytes:
    """A text frame as a server sends it."""
    return _head(TEXT, len(text), masked=False) + text


def client_frame(payload: bytes, kind: int = TEXT) -> bytes:
    """A frame as a client sends it. A mask of zeros is a mask, and leaves the text as it is."""
    return _head(kind, len(payload), masked=True) + bytes(4) + payload


def frames(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The kind and payload of each whole frame of a server's stream, and where it ends."""
    at = 0
    while at + 2 <= len(stream):
        length, begins = _length(stream, at)
        if begins + length > len(stream):
            return
        end = begins + length
        yield stream[at], stream[begins:end], end
        at = end


def from_client(stream: bytes) -> tuple[list[str], bytes]:
    """The texts of a client's whole frames, and what is left over; other frames are let go."""
    texts = []
    at = 0
    while at + 2 <= len(stream):
        length, begins = _length(stream, at)
        end = begins + 4 + length
        if end > len(stream):
            break
        mask = stream[begins : begins + 4] * (length // 4 + 1)
        masked = stream[begins + 4 : end]
        if stream[at] == TEXT:
            texts.append(bytes(a ^ b for a, b in zip(masked, mask, strict=False)).decode())
        at = end
    return texts, stream[at:]


def accept(request: bytes) -> bytes:
    """The answer to a request for an upgrade."""
    found = KEY.search(request)
    assert found is not None, "a request for an upgrade has a key"
    digest = hashlib.sha1(found[1] + GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def _head(kind: int, length: int, *, masked: bool) -> bytes:
    bit = 0x80 if masked else 0
    if length <= SHORT_BYTES_MAX:
        return struct.pack("!BB", kind, bit | length)
    if length <= MEDIUM_BYTES_MAX:
        return struct.pack("!BBH", kind, bit | 126, length)
    return struct.pack("!BBQ", kind, bit | 127, length)


def _length(stream: bytes, at: int) -> tuple[int, int]:
    """The length of the frame that begins there, and where its payload begins, or its mask.

    More than the stream holds where the head itself is not whole.
    """
    length = stream[at + 1] & 0x7F
    if length <= SHORT_BYTES_MAX:
        return length, at + 2
    size = 2 if length == SHORT_BYTES_MAX + 1 else 8
    begins = at + 2 + size
    if begins > len(stream):
        return len(stream), begins
    return int.from_bytes(stream[at + 2 : begins]), begins
