"""The ASGI application: every operation of the route table under its path, inside the envelope."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette

from interfaces.http.audit import record_refusal
from interfaces.http.endpoint import Endpoint
from interfaces.http.envelope import Envelope
from interfaces.http.live.sessions import Sessions
from interfaces.http.live.websocket import PATH as WEBSOCKET_PATH
from interfaces.http.live.websocket import LiveEvents, not_upgraded
from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import Operation
from interfaces.http.paths import Paths
from interfaces.http.ports import ControlPlane
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.routes import table


def create_app(process: ControlPlane) -> Starlette:
    """The application; its lifespan starts and stops the process.

    `state.stopping` is set when the server begins to stop, so that long polls end; `state.failure`
    holds what kept the process from starting.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.stopping = asyncio.Event()
        app.state.recent_answers = RecentAnswers()
        try:
            await process.start()
        except BaseException as error:
            app.state.failure = error
            await process.stop()
            raise
        app.state.sessions = Sessions(process.accounts.principals)
        process.keyring.when_erased(app.state.recent_answers.forget)
        try:
            yield
        finally:
            await app.state.sessions.stop()
            await process.stop()

    app = Starlette(lifespan=lifespan)
    # Starlette's own layers for errors and its routes, of which each is tried until one fits, cost
    # more than most requests do, and the envelope does their work anyway.
    metrics = RequestMetrics()
    paths = Paths({**endpoints_of(table(metrics), process), WEBSOCKET_PATH: not_upgraded})
    live = LiveEvents(process)
    app.middleware_stack = Envelope(
        paths,
        metrics,
        live=live,
        otherwise=app.router,
        refused=partial(record_refusal, process),
    )
    return app


def endpoints_of(operations: Iterable[Operation], process: ControlPlane) -> dict[str, Endpoint]:
    """The endpoint of each path."""
    by_path: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_path[operation.path].append(operation)
    return {path: Endpoint(process, served) for path, served in by_path.items()}
