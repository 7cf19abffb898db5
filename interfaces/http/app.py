"""The ASGI application: every operation of the route table under its path, inside the envelope."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.errors import ControlPlaneError
from interfaces.http.endpoint import Endpoint
from interfaces.http.envelope import REQUEST_ID, Envelope
from interfaces.http.errors import error_of
from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import Operation
from interfaces.http.ports import ControlPlane
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.responses import Problem
from interfaces.http.routes import table


def create_app(process: ControlPlane) -> Starlette:
    """The application; its lifespan starts and stops the process.

    `state.stopping` is set when the server begins to stop, so that long polls end; `state.failure`
    holds what kept the process from starting.
    """
    metrics = RequestMetrics()

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
        try:
            yield
        finally:
            await process.stop()

    app = Starlette(
        routes=routes_of(table(metrics), process),
        middleware=[Middleware(Envelope, metrics=metrics)],
        exception_handlers={ControlPlaneError: refuse, HTTPException: refuse},
        lifespan=lifespan,
    )
    # A redirect to a path without its slash would be built from the Host header.
    app.router.redirect_slashes = False
    return app


def routes_of(operations: Iterable[Operation], process: ControlPlane) -> list[Route]:
    """One route a path, those without parameters first, so that `/tasks/counts` is no task."""
    by_path: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_path[operation.path].append(operation)
    paths = sorted(by_path, key=lambda path: path.count("{"))
    return [Route(path, Endpoint(process, by_path[path])) for path in paths]


async def refuse(request: Request, error: Exception) -> Response:
    """Turn whatever was refused into a problem."""
    if isinstance(error, HTTPException):
        error = error_of(error)
    assert isinstance(error, ControlPlaneError), "registered for refusals only"
    return Problem(error, instance=request.url.path, request_id=request.scope[REQUEST_ID])
