"""The figures of a tenant, as a whole service tells them to whoever listens."""

import asyncio
from collections.abc import Mapping

import httpx

from application.live.channel import Channel
from application.ports import Json
from tests.interfaces.service import Service

METRICS = Channel("metrics")


class Ear:
    """Implements `application.live.listeners.Listener`: waits for a message."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Mapping[str, Json]] = asyncio.Queue()

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        self.heard.put_nowait(message)


def told(service: Service, tenant: str, queued: int) -> Mapping[str, Json]:
    """The first figures of a tenant that count so many tasks."""
    listeners = service.process.hub.listeners

    async def listen() -> Mapping[str, Json]:
        ear = Ear()
        listeners.listen(ear, tenant, [METRICS])
        try:
            while (figures := await ear.heard.get())["tasks"]["queued"] != queued:
                pass
            return figures
        finally:
            listeners.leave(ear, tenant, [METRICS])

    loop = service.process.watermarks._loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(listen(), loop).result(timeout=20)


def test_figures_follow_what_happens(service: Service, admin: httpx.Client) -> None:
    made = admin.post("/v1/tasks", json={"kind": "review"}).raise_for_status().json()

    figures = told(service, "default", queued=1)

    head = int(made["cursor"].partition(":")[2])
    assert figures["leading"] is True
    assert figures["log"]["position"] == head
    assert set(figures["read_models"]) == {
        "task_board",
        "agent_roster",
        "activity_feed",
        "archives",
    }
    assert told(service, "acme", queued=0)["tasks"]["queued"] == 0
