"""Stock Starlette: everybody's broadcast, `await socket.send_text(text)` for one after another.

Told `{"frame_bytes", "ws"}`, `ws` being uvicorn's name of a WebSocket implementation, it answers
`{"port"}` and serves until its standard input ends; what a client may say: see live_floor.py.
permessage-deflate is off, which is the faster way.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.jobs.job import take_stdout
from benchmarks.jobs.live_floor import BACKLOG
from benchmarks.jobs.live_wire import an_event


class Crowd:
    """All connections, as FastAPI's and Starlette's documents keep them."""

    def __init__(self, frame_bytes: int) -> None:
        self._sockets: list[WebSocket] = []
        self._text = an_event(frame_bytes).decode()
        self._pushing: asyncio.Task[None] | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """One connection."""
        await websocket.accept()
        self._sockets.append(websocket)
        try:
            while True:
                _, events, each = (await websocket.receive_text()).split()
                self._pushing = asyncio.create_task(self._push(int(events), int(each)))
        except WebSocketDisconnect:
            self._sockets.remove(websocket)

    async def _push(self, events: int, each: int) -> None:
        for number in range(events):
            for websocket in self._sockets:
                await websocket.send_text(self._text)
            if number % each == each - 1:
                await asyncio.sleep(0)


async def serve(told: dict[str, Any], listener: socket.socket) -> None:
    """Until our standard input ends."""
    crowd = Crowd(told["frame_bytes"])
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/", crowd.serve)]),
            ws=told["ws"],
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
    )

    async def end_with_input() -> None:
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True

    ending = asyncio.create_task(end_with_input())
    await server.serve(sockets=[listener])
    await ending


def main() -> None:
    answers = take_stdout()
    told = json.loads(sys.stdin.readline())
    # Named in full: asyncio turns Nagle's algorithm off only for a socket that says TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    answers.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    uvloop.run(serve(told, listener))


if __name__ == "__main__":
    main()
