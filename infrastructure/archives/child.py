"""The process in which what takes long with archives is done.

The request goes in as one line of JSON on its input: nothing of it can be read off its command
line. What comes out are lines of JSON: `{"stage", "done", "total"}`, and at last `{"result"}` or
`{"failure": {"code", "message", "facts"}}`. It ends when its input does, so it never outlives us.
"""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import structlog

from application.archives.jobs import JobUnderWay
from application.archives.ports import JobFailed, Told

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A result of so many bytes at most: what an expiry of 50,000 archives tells."""
# -P: no module comes from the folder in which the service was started.
_COMMAND = (sys.executable, "-P", "-m", "interfaces.bootstrap.archivist")

log = structlog.get_logger("archives")


class ArchivistProcess:
    """Implements `application.archives.ports.Archivist`. `settings` answers what a job needs to
    know of this process, as JSON has it. Belongs to the event loop."""

    def __init__(self, settings: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self.pid: int | None = None

    async def run(
        self,
        kind: str,
        request: Mapping[str, Any],
        told: Told,
        *,
        wait_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Raises JobFailed; `job_process_ended` where the process ended without a word. Raises
        JobUnderWay, DatabaseUnavailable."""
        async with self._its_turn(wait_seconds):
            settings = dict(await self._settings())
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
            )
            self.pid = process.pid
            try:
                line = {"kind": kind, "request": dict(request), "settings": settings}
                await _send(process, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                return await _outcome(process, told)
            finally:
                self.pid = None
                await _end(process)

    @asynccontextmanager
    async def _its_turn(self, wait_seconds: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(wait_seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            message = "A backup, or a job on backups, is under way."
            raise JobUnderWay(message) from error
        try:
            yield
        finally:
            self._turn.release()


async def _send(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    # One that died at once says so by its silence.
    with suppress(ConnectionError):
        await process.stdin.drain()


async def _outcome(process: Process, told: Told) -> dict[str, Any]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        message = orjson.loads(line)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        if "failure" in message:
            raise JobFailed(**message["failure"])
        told(message["stage"], message["done"], message["total"])
    code = await process.wait()
    log.error("archivist_ended", exit_code=code)
    raise JobFailed("job_process_ended", f"The process that did the job ended with code {code}.")


async def _end(process: Process) -> None:
    """At once: whatever it does can be done again."""
    with suppress(ProcessLookupError):
        process.kill()
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()
