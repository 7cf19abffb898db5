"""The service itself: whether it lives, how it fares, and the documents about it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from starlette.responses import RedirectResponse, Response
from typing_extensions import TypedDict

from interfaces.http import asyncapi, openapi
from interfaces.http.documents import api_page
from interfaces.http.errors import NoSuchPath, NotReady
from interfaces.http.event_documents import events_page
from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import OPEN, Call, Operation
from interfaces.http.pages import html
from interfaces.http.parameters import Parameters
from interfaces.http.problem_pages import problem_page
from interfaces.http.responses import Json, answer

HTML = "text/html"


class Health(TypedDict):
    """The process answers."""

    status: str


class Readiness(TypedDict):
    """What the service needs, and how it fares."""

    ready: bool
    checks: dict[str, Any]


async def live(_: Call[None, Parameters]) -> Response:
    """GET /healthz."""
    return answer({"status": "ok"})


async def ready(call: Call[None, Parameters]) -> Response:
    """GET /readyz."""
    found = await call.process.readiness()
    if not found["ready"]:
        raise NotReady("The service is not ready.", ready=False, checks=found["checks"])
    return answer(found)


async def show_problem(call: Call[None, Parameters]) -> Response:
    """GET /problems/{code}."""
    page = problem_page(call.request.path_params["code"])
    if page is None:
        raise NoSuchPath
    return html(page)


@cache
def _event_document() -> dict[str, Any]:
    return asyncapi.document()


@cache
def _event_page() -> str:
    return events_page(_event_document())


async def show_event_document(_: Call[None, Parameters]) -> Response:
    """GET /asyncapi.json."""
    return Response(orjson.dumps(_event_document()), media_type=Json.media_type)


async def show_event_page(_: Call[None, Parameters]) -> Response:
    """GET /docs/events."""
    return html(_event_page())


async def go_to_documents(_: Call[None, Parameters]) -> Response:
    """GET /."""
    return RedirectResponse("/docs", 307)


def operations(described: Sequence[Operation], metrics: RequestMetrics) -> list[Operation]:
    """The operations of the service, which describe the others and themselves."""

    @cache
    def document() -> dict[str, Any]:
        return openapi.document([*described, *own])

    @cache
    def page() -> str:
        return api_page(document())

    async def measure(call: Call[None, Parameters]) -> Response:
        return Response(metrics.text(call.process.metrics), media_type=metrics.media_type)

    async def show_document(_: Call[None, Parameters]) -> Response:
        return Response(orjson.dumps(document()), media_type=Json.media_type)

    async def show_page(_: Call[None, Parameters]) -> Response:
        return html(page())

    own = [
        _open("/healthz", live, "Does the process answer?", Health),
        _open("/readyz", ready, "Can the service work?", Readiness, errors=(NotReady,)),
        _open("/metrics", measure, "Figures for Prometheus", "text/plain"),
        _open("/openapi.json", show_document, "This description", dict[str, Any]),
        _open("/docs", show_page, "This description, to read", HTML),
        _open("/asyncapi.json", show_event_document, "Live events, in AsyncAPI 3", dict[str, Any]),
        _open("/docs/events", show_event_page, "Live events, to read", HTML),
        _open("/problems/{code}", show_problem, "What a problem means", HTML),
        _open("/", go_to_documents, "To the documents", None, status=307),
    ]
    return own


def _open(path: str, handler: Any, summary: str, kind: Any, **more: Any) -> Operation:
    return Operation(
        method="GET",
        path=path,
        handler=handler,
        scope=OPEN,
        summary=summary,
        answer=kind,
        **more,
    )
