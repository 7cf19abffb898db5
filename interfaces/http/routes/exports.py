"""Exports of the log."""

from starlette.responses import Response

from application.export.exports import TooManyExports
from application.stretch import BadStretch, stretch_of
from interfaces.http.export_stream import NDJSON, ExportStream
from interfaces.http.operation import Call, Operation
from interfaces.http.schemas.audit_trail import ExportParameters
from interfaces.http.schemas.moments import WRONG_MOMENTS


async def export(call: Call[None, ExportParameters]) -> Response:
    """GET /v1/events/export."""
    wanted = call.parameters
    assert call.entry is not None, "an export reads the log"
    # The request itself is no part of the past that it asks for.
    newest = call.entry - 1
    stretch = await stretch_of(call.process.moments, wanted.begin, wanted.end, newest=newest)
    if call.request.method == "HEAD":
        return Response(media_type=NDJSON)
    return ExportStream(call, stretch, sign=wanted.sign)


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
            "manifest, by which `muster events check-export` checks it without the service."
        ),
        parameters=ExportParameters,
        answer=NDJSON,
        errors=(
            *WRONG_MOMENTS,
            BadStretch,
            TooManyExports,
        ),
    ),
]
