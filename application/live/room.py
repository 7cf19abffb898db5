"""Patience with those who read slowly, and its end with those who do not read at all."""

import asyncio

from application.live.ports import Sink

STALLED_SECONDS = 30.0
"""How long nothing of what is unsent may be taken."""


class Stalled(Exception):
    """Nobody reads."""


async def room_in(sink: Sink) -> None:
    """Wait until a sink takes more, for as long as something is taken meanwhile. Raises Stalled."""
    while sink.congested:
        unsent = sink.unsent
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await sink.drained()
        except TimeoutError:
            if sink.unsent >= unsent:
                raise Stalled from None
