"""The audit trail: what people did to and asked of the control plane."""

from starlette.responses import Response

from application.audit.ports import TrailFilter
from application.cursor import BadCursor, Cursor
from application.moments import AfterHistory, BeforeHistory, Moment
from application.stretch import INSTANT_BEFORE
from domain.errors import EpochEnded
from interfaces.http.operation import Call, Operation
from interfaces.http.responses import answer
from interfaces.http.schemas.audit_trail import TrailPage, TrailParameters


async def read(call: Call[None, TrailParameters]) -> Response:
    """GET /v1/audit/trail. One more than asked for tells whether there is another page."""
    await call.require_seen()
    process, wanted, limit = call.process, call.parameters, call.parameters.limit
    before = call.entry
    if wanted.cursor is not None:
        cursor = Cursor.parse(wanted.cursor)
        call.require_epoch(cursor)
        before = cursor.position
    found = await process.trail.newest(
        TrailFilter(
            tenant=call.tenant,
            actor=wanted.actor,
            topic=wanted.type,
            after=await _before(call),
        ),
        before=before,
        limit=limit + 1,
    )
    items = [process.cloud_events.of(record) for record in found[:limit]]
    next_cursor = items[-1]["id"] if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def _before(call: Call[None, TrailParameters]) -> int:
    """The position behind which everything was recorded since then."""
    since = call.parameters.since
    if since is None:
        return 0
    try:
        return await call.process.moments.position(Moment(time=since - INSTANT_BEFORE))
    except BeforeHistory:
        return 0
    except AfterHistory:
        # Nothing was recorded since.
        assert call.entry is not None, "who reads the trail is in it"
        return call.entry


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/audit/trail",
        handler=read,
        scope="audit:read",
        summary="Show what people did, asked for and were refused",
        description=(
            "Events, newest first, of the caller's tenant; the request that asks is not among them."
        ),
        parameters=TrailParameters,
        answer=TrailPage,
        errors=(BadCursor, EpochEnded),
    ),
]
