"""Server-sent events (WHATWG HTML, section 9.2), as far as a completion stream needs them."""

import re
from collections.abc import AsyncIterable, AsyncIterator

from musterroll.task import TaskFailed

LINE_BYTES_MAX = 1024 * 1024
# A carriage return at the end of a chunk may be half of a line's end.
LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines of a stream, without their ends. Raises TaskFailed with `output_too_large` for one
    that does not end."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = LINE_END.split(rest + chunk)
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(rest) > LINE_BYTES_MAX:
            raise TaskFailed("output_too_large", f"a line has over {LINE_BYTES_MAX} bytes")
    if rest:
        yield rest.removesuffix(b"\r").decode("utf-8", "replace")


async def data_of(lines: AsyncIterable[str]) -> AsyncIterator[str]:
    """The data of each event; comments and other fields are passed over."""
    gathered: list[str] = []
    async for line in lines:
        if not line:
            if gathered:
                yield "\n".join(gathered)
            gathered = []
        elif line.startswith("data:"):
            gathered.append(line[5:].removeprefix(" "))
    if gathered:
        yield "\n".join(gathered)
