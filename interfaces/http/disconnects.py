"""Long polls end when nobody waits for them any more, and when the service stops."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from domain.errors import Unavailable

ResultT = TypeVar("ResultT")


class Stopping(Unavailable):
    """The service is stopping; another process, or the next one, answers."""

    code = "stopping"

    def __init__(self) -> None:
        super().__init__("The service is stopping.")


async def while_connected(request: Request, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of the work, which is cancelled when the client goes away or the service stops.

    To be used once the body was read. Raises ClientDisconnect, Stopping, and what the work raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(disconnected(request))
    stopping = asyncio.create_task(request.app.state.stopping.wait())
    tasks: set[asyncio.Task[Any]] = {working, leaving, stopping}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Stopping if stopping.done() else ClientDisconnect
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Wait until the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
