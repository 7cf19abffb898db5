"""One run of a program: its own process group, bounded output, no survivors."""

import asyncio
import codecs
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

TERMINATION_SECONDS = 5.0
STDERR_TAIL_BYTES = 4 * 1024
# A program that has ended, but left a child with its output open, is waited for this long.
LEFTOVER_SECONDS = 1.0
LINE_CHARACTERS_MAX = 8 * 1024


def _nothing(_: str) -> None:
    """What is done with stderr, unless somebody wants it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`stdout` is None when there was more than the limit. A negative `status` is a signal."""

    status: int
    stdout: bytes | None
    stderr_tail: bytes


async def run_program(
    argv: Sequence[str],
    stdin: bytes,
    *,
    stdout_bytes_max: int,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    on_stderr: Callable[[str], object] = _nothing,
) -> Finished:
    """Run a program to its end; `on_stderr` is told what it writes to stderr, by whole lines.

    When it says too much or this is cancelled, its process group gets SIGTERM, and SIGKILL 5 s
    later. Raises OSError when it cannot be started.
    """
    loop = asyncio.get_running_loop()
    lines = _Lines(on_stderr)
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(stdout_bytes_max, lines), *argv, cwd=cwd, env=env, start_new_session=True
    )
    try:
        _feed(transport, stdin)
        await protocol.ended_or_overflown()
        if protocol.overflown:
            await _terminate(transport.get_pid(), protocol)
        await _collect(transport.get_pid(), protocol)
    except asyncio.CancelledError:
        await asyncio.shield(_terminate(transport.get_pid(), protocol))
        raise
    finally:
        _signal_group(transport.get_pid(), signal.SIGKILL)
        transport.close()
        await protocol.closed.wait()
        lines.end()
    status = transport.get_returncode()
    assert status is not None
    stdout = None if protocol.overflown else bytes(protocol.stdout)
    return Finished(status, stdout, bytes(protocol.stderr))


class _Protocol(asyncio.SubprocessProtocol):
    """Collects output. (asyncio's own Process waits for pipes that a grandchild keeps open, in
    some versions of Python, and knows no limit.)"""

    def __init__(self, stdout_bytes_max: int, stderr_lines: "_Lines") -> None:
        self._stderr_lines = stderr_lines
        self._stdout_bytes_max = stdout_bytes_max
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflown = False
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.closed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._open_pipes = {1, 2}

    async def ended_or_overflown(self) -> None:
        await self._stopped.wait()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.stderr += data
            del self.stderr[:-STDERR_TAIL_BYTES]
            self._stderr_lines.feed(data)
        elif len(self.stdout) + len(data) > self._stdout_bytes_max:
            self.overflown = True
            self._stopped.set()
        else:
            self.stdout += data

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if not self._open_pipes:
            self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()
        self._stopped.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


class _Lines:
    """Bytes as they come in, text in whole lines out; a line without end in pieces."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        self._rest += self._decoder.decode(data)
        # A bar of progress is drawn anew behind a carriage return, and may never end its line.
        end = max(self._rest.rfind("\n"), self._rest.rfind("\r")) + 1
        if not end and len(self._rest) > LINE_CHARACTERS_MAX:
            end = len(self._rest)
        self._tell(end)

    def end(self) -> None:
        self._rest += self._decoder.decode(b"", final=True)
        self._tell(len(self._rest))

    def _tell(self, end: int) -> None:
        if end:
            self._say(self._rest[:end])
            self._rest = self._rest[end:]


def _feed(transport: asyncio.SubprocessTransport, stdin: bytes) -> None:
    pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
    pipe.write(stdin)
    pipe.close()  # after what was written


async def _collect(pid: int, protocol: _Protocol) -> None:
    try:
        await asyncio.wait_for(protocol.silent.wait(), LEFTOVER_SECONDS)
    except TimeoutError:
        _signal_group(pid, signal.SIGKILL)


async def _terminate(pid: int, protocol: _Protocol) -> None:
    _signal_group(pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(protocol.exited.wait(), TERMINATION_SECONDS)
    except TimeoutError:
        _signal_group(pid, signal.SIGKILL)
        await protocol.exited.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # all of them are gone (macOS says EPERM of a group of zombies)
