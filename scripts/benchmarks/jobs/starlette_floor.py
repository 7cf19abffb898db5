"""The least that a Python service could do: Starlette on uvicorn with uvloop and httptools.

Told `{"url", "driver"}`, it answers `{"port"}` and serves until its standard input ends: `GET /`
with a few bytes, `POST /insert` with the body as one row that is committed before the answer.
Drivers: `none`, `asyncpg`, `psycopg`.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.jobs.job import take_stdout

CONNECTIONS = 16
TABLE = (
    "CREATE TABLE IF NOT EXISTS inserted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "at timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL)"
)
ANSWER = b'{"answered":true}'
Insert = Callable[[bytes], Awaitable[object]]


async def with_asyncpg(url: str) -> Insert:
    """Through asyncpg's pool."""
    import asyncpg  # noqa: PLC0415 - only the peers' environment has it

    pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    await pool.execute(TABLE)

    async def insert(body: bytes) -> object:
        return await pool.execute("INSERT INTO inserted (body) VALUES ($1)", body)

    return insert


async def with_psycopg(url: str) -> Insert:
    """Through psycopg's async pool, with prepared statements and binary parameters."""
    from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - as above

    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}
    pool = AsyncConnectionPool(
        url, kwargs=options, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False
    )
    await pool.open(wait=True)
    async with pool.connection() as connection:
        await connection.execute(TABLE)

    async def insert(body: bytes) -> object:
        async with pool.connection() as connection:
            return await connection.execute("INSERT INTO inserted (body) VALUES (%b)", (body,))

    return insert


async def without(_: str) -> Insert:
    """Nothing is kept."""

    async def insert(_: bytes) -> object:
        return None

    return insert


DRIVERS = {"asyncpg": with_asyncpg, "psycopg": with_psycopg, "none": without}


def make_app(insert: Insert) -> Starlette:
    """The two routes."""

    async def plain(_: Request) -> Response:
        return Response(ANSWER, media_type="application/json")

    async def inserted(request: Request) -> Response:
        await insert(await request.body())
        return Response(ANSWER, status_code=202, media_type="application/json")

    return Starlette(
        routes=[Route("/", plain), Route("/insert", inserted, methods=["POST"])],
    )


async def serve(told: dict[str, Any], listener: socket.socket) -> None:
    """Until our standard input ends."""
    app = make_app(await DRIVERS[told["driver"]](told["url"]))
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", log_config=None, access_log=False)
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
    listener.listen(128)
    answers.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    uvloop.run(serve(told, listener))


if __name__ == "__main__":
    main()
