"""Imports: histories of tasks and agents that were exported elsewhere."""

import asyncio
import hashlib
from uuid import UUID

from starlette.responses import Response

from application.commands import RequestKey
from application.erasure.errors import SubjectErased, SubjectLocked
from application.export.manifest import BadExport
from application.imports.imports import Wanted
from application.imports.refusals import (
    AgentIdDiffers,
    AgentsMissing,
    BadEvent,
    ExportLocked,
    HistoryDiffers,
    HistoryIncomplete,
    IdTaken,
    ImportTooLarge,
    NotImportable,
    SubjectsUnknown,
    TooManyImports,
    UntrustedKey,
)
from application.time_travel.frames import UnreadableHistory
from interfaces.http.bodies import read_body
from interfaces.http.errors import UnsupportedMediaType
from interfaces.http.export_stream import NDJSON
from interfaces.http.headers import idempotency_key, request_key
from interfaces.http.operation import Call, Operation
from interfaces.http.responses import answer
from interfaces.http.schemas.imports import ImportAnswer, ImportParameters, read_line

EXPORT_BYTES_MAX = 32 * 2**20
EXPORT_SECONDS_MAX = 120.0


async def take(call: Call[None, ImportParameters]) -> Response:
    """POST /v1/events/import."""
    media_type = (call.headers.first(b"content-type") or "").partition(";")[0]
    if media_type.strip().lower() != NDJSON:
        raise UnsupportedMediaType(f"The body has to be {NDJSON}.")
    imports = call.process.imports
    with imports.under_way(call.tenant):
        content = await read_body(
            call.request, call.headers, bytes_max=EXPORT_BYTES_MAX, seconds_max=EXPORT_SECONDS_MAX
        )
        digest = (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
        call.concerns(sha256=digest)
        pairs = (one.split("=", 1) for one in call.parameters.subject)
        wanted = Wanted(
            content=content,
            trusted=call.parameters.trusted,
            subjects={UUID(pseudonym): name for pseudonym, name in pairs},
        )
        done = await imports.take(
            wanted, read_line, origin=call.origin(), key=_key_of(call, digest)
        )
    call.concerns(log=done.manifest.log, tenant=done.manifest.tenant, key_id=done.manifest.key_id)
    call.concerns(events=done.events, skipped=done.skipped, cursor=done.cursor)
    content_of_answer = {
        "events": done.events,
        "aggregates": done.aggregates,
        "skipped": done.skipped,
        "cursor": str(done.cursor),
    }
    return answer(content_of_answer, replayed=done.replayed)


def _key_of(call: Call[None, ImportParameters], digest: str) -> RequestKey | None:
    """The key of the request, with what the body and the query add to it: the endpoint read
    neither."""
    given = idempotency_key(call.headers)
    if given is None:
        return None
    query = call.request.scope["query_string"].decode("latin-1")
    parts = [call.request.method, call.request.scope["path"], query, digest]
    return request_key(
        call.principal, given, request_parts=parts, secret=call.process.request_secret
    )


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/events/import",
        handler=take,
        scope="admin",
        summary="Take exported histories of tasks and agents into the log",
        description=(
            "The body is a signed export (`GET /v1/events/export?sign=true`) of whole histories, "
            "or of what follows on those that are here: at most 32 MiB, 1,000 tasks and agents, "
            "and 10,000 events or 8 MiB that are new. All of it is recorded in one append, or "
            "nothing; what is here already has to be the same, and is skipped. Who did what and "
            "when it happened stay as they were; the tenant is the caller's, positions are new, "
            "and causes in the other log are dropped. A task that somebody held there is given "
            "back. An agent keeps its id, which follows from tenant and name, and has no "
            "credentials here. Tasks about subjects need `subject=<id>=<name>` for each, and what "
            "is personal of them is encrypted under the keys of this service."
        ),
        parameters=ImportParameters,
        content=NDJSON,
        answer=ImportAnswer,
        errors=(
            BadExport,
            UntrustedKey,
            ImportTooLarge,
            BadEvent,
            NotImportable,
            HistoryDiffers,
            HistoryIncomplete,
            IdTaken,
            AgentIdDiffers,
            AgentsMissing,
            SubjectsUnknown,
            SubjectErased,
            SubjectLocked,
            ExportLocked,
            UnreadableHistory,
            TooManyImports,
        ),
    ),
]
