import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from musterroll import TaskFailed
from musterroll.workers import _sse


def lines(*chunks: bytes) -> list[str]:
    async def stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def read() -> list[str]:
        return [line async for line in _sse.lines_of(stream(chunks))]

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("chunks", "read"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\r\nb\r\n\r\n"], ["a", "b", ""]),
        ([b"a\r", b"\nb\rc"], ["a", "b", "c"]),
        ([b"a\r"], ["a"]),
        ([b"\xc3", b"\xa4\n"], ["ä"]),
        ([b"a\xe2\x80\xa8b\n"], ["a\u2028b"]),
        ([], []),
    ],
)
def test_lines_end_as_server_sent_events_let_them(chunks: list[bytes], read: list[str]) -> None:
    assert lines(*chunks) == read


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sse, "LINE_BYTES_MAX", 10)

    with pytest.raises(TaskFailed, match="a line has over 10 bytes"):
        lines(b"x" * 6, b"x" * 6, b"\n")
