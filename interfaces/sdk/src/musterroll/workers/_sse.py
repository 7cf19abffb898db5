"""Server-sent events (WHATWG HTML, section 9.2), as far as a completion stream needs them."""

from collections.abc import AsyncIterable, AsyncIterator


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
