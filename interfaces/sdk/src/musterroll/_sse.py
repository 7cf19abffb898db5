"""Server-sent events (WHATWG HTML, section 9.2): bytes in, messages out. Knows no transport."""

import re
from typing import NamedTuple

# A carriage return at the end of a chunk may be half of a line's end.
LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class Message(NamedTuple):
    """One message. `id` is the last one that was told, by this message or one before it."""

    data: str
    event: str = "message"
    id: str | None = None


class TooLong(Exception):
    """A message does not end: more of it has come than may be kept."""


class Parser:
    """Takes a stream as it comes, in chunks of any size; comments are passed over."""

    def __init__(self, *, bytes_max: int) -> None:
        """`bytes_max` is how much of an unfinished message is kept."""
        self._bytes_max = bytes_max
        self._rest = b""
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that the chunk completes. Raises TooLong."""
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        found = [message for line in lines if (message := self._take(line)) is not None]
        if self._size + len(self._rest) > self._bytes_max:
            raise TooLong(f"a message has over {self._bytes_max} bytes")
        return found

    def rest(self) -> list[Message]:
        """What the stream's end left without its empty line. A browser drops it, and so must who
        cannot do with half a message; some servers forget the line behind their last one."""
        lines = [self._rest.removesuffix(b"\r"), b""]
        self._rest = b""
        return [message for line in lines if (message := self._take(line)) is not None]

    def _take(self, line: bytes) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, text = line.decode("utf-8", "replace").partition(":")
        value = text.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(line)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Message | None:
        data, event = self._data, self._event
        self._data, self._size, self._event = [], 0, ""
        return Message("\n".join(data), event or "message", self._id) if data else None
