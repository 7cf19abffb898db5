"""Exports of the log."""

from starlette.responses import Response

from application.export.exports import TooManyExports
from application.stretch import BadStretch, stretch_of
from domain.errors import AggregateNotFound
from interfaces.http.export_stream import NDJSON, ExportStream
from interfaces.http.operation import Call, Operation
from interfaces.http.schemas.audit_trail import ExportParameters
from interfaces.http.schemas.moments import WRONG_MOMENTS


async def export(call: Call[None, ExportParameters]) -> Response:
    """GET /v1/events/export."""
    wanted = call.parameters
    assert call.entry is not None, "an export reads the log"
    if wanted.aggregate_id:
        call.concerns(aggregates=len(wanted.aggregate_id))
        await call.process.queries.require_things(call.tenant, wanted.aggregate_id)
    # The request itself is no part of the past that it asks for.
    newest = call.entry - 1
    stretch = await stretch_of(call.process.moments, wanted.begin, wanted.end, newest=newest)
    if call.request.method == "HEAD":
        return Response(media_type=NDJSON)
    return ExportStream(call, stretch, sign=wanted.sign, of=wanted.aggregate_id)


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/events/export",
        handler=export,
        scope="audit:read",
        summary="Export a stretch of the log",
        description=(
            "CloudEvents of the caller's tenant in log order, one a line. With `sign=true` a last "
            "line follows: `manifest` (log, tenant, cursors `after` and `until`, `count` and "
            "`sha256` of the lines before it), `public_key`, and an Ed25519 `signature` over the "
            "manifest, by which `muster events check-export` checks it without the service. With "
            "`aggregate_id` these are the histories of some tasks and agents, and the manifest "
            "names them (`aggregates`); another installation can take them in (`POST "
            "/v1/events/import`)."
        ),
        parameters=ExportParameters,
        answer=NDJSON,
        errors=(
            *WRONG_MOMENTS,
            BadStretch,
            TooManyExports,
            AggregateNotFound,
        ),
    ),
]
