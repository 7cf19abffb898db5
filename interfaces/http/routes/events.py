"""The log and the activity feed."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from application.cursor import Cursor
from application.ports import Record
from application.queries import EventFilter
from domain.errors import EpochEnded
from interfaces.http.disconnects import while_connected
from interfaces.http.operation import Call, Operation
from interfaces.http.responses import answer
from interfaces.http.schemas.events import (
    ActivityPage,
    ActivityParameters,
    EventPage,
    EventParameters,
    activity_of,
)

NDJSON = "application/x-ndjson"
CHUNK_EVENTS = 100
PAGE_BYTES_MAX = 8 * 1024 * 1024
"""A page of large events is cut here; its `next_cursor` says where."""


async def read(call: Call[None, EventParameters]) -> Response:
    """GET /v1/events, as JSON or, by the Accept header, as NDJSON."""
    await call.require_seen()
    reading = _page(call)
    records, position = await (
        while_connected(call.request, reading) if call.parameters.wait else reading
    )
    items = [call.process.cloud_events.of(record) for record in records]
    next_cursor = str(Cursor(call.process.epoch, position))
    if NDJSON in (call.headers.first(b"accept") or ""):
        return _lines(items, next_cursor)
    return answer({"items": items, "next_cursor": next_cursor})


async def show_activity(call: Call[None, ActivityParameters]) -> Response:
    """GET /v1/activity. One more than asked for tells whether there is another page."""
    limit = call.parameters.limit
    found = await call.process.queries.activity(
        call.tenant,
        before=_position(call, call.parameters.cursor),
        limit=limit + 1,
        seen=call.seen,
    )
    items = [activity_of(activity, call.process.epoch) for activity in found[:limit]]
    next_cursor = items[-1]["cursor"] if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


def _lines(items: Sequence[dict[str, Any]], next_cursor: str) -> Response:
    lines = b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items)
    return Response(lines, headers={"Musterroll-Next-Cursor": next_cursor}, media_type=NDJSON)


async def _page(call: Call[None, EventParameters]) -> tuple[Sequence[Record], int]:
    """Events up to the limit or the size of a page, and the position to go on from.

    They are read in chunks, so that a page of the largest events never stands in memory whole.
    """
    parameters = call.parameters
    position = _position(call, parameters.after) or 0
    until = _position(call, parameters.until)
    wait_seconds = parameters.wait
    records: list[Record] = []
    size = 0
    while len(records) < parameters.limit and size < PAGE_BYTES_MAX:
        wanted = EventFilter(
            tenant=call.tenant,
            after=position,
            until=until,
            topic=parameters.type,
            aggregate_id=parameters.aggregate_id,
        )
        limit = min(CHUNK_EVENTS, parameters.limit - len(records))
        found, looked_up_to = await call.process.queries.events(
            wanted, limit=limit, wait_seconds=0 if records else wait_seconds
        )
        # That this was asked is no answer to it.
        records.extend(record for record in found if record.position != call.entry)
        size += sum(len(record.state) for record in found)
        position = max(looked_up_to, *(record.position for record in found), position)
        if len(found) < limit:
            break
    return records, position


def _position(
    call: Call[None, EventParameters] | Call[None, ActivityParameters], text: str | None
) -> int | None:
    if text is None:
        return None
    cursor = Cursor.parse(text)
    call.require_epoch(cursor)
    return cursor.position


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/events",
        handler=read,
        scope="audit:read",
        summary="Read the log",
        description=(
            "CloudEvents of the caller's tenant, in log order. With `Accept: application/x-ndjson` "
            "one a line, and the place to go on in the header Musterroll-Next-Cursor. Each request "
            "is an event itself (`audit.read`), which its own answer leaves out, and which ends "
            "nobody's wait."
        ),
        parameters=EventParameters,
        answer=EventPage,
        also=(NDJSON,),
        errors=(EpochEnded,),
    ),
    Operation(
        method="GET",
        path="/v1/activity",
        handler=show_activity,
        scope="tasks:read",
        summary="Show what happened, newest first",
        parameters=ActivityParameters,
        answer=ActivityPage,
    ),
]
