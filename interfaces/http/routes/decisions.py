"""Why: decisions explained, the graph of causes and effects, and what another policy would have
decided."""

import asyncio
import re
from uuid import UUID

from starlette.responses import Response

from application.cursor import Cursor, CursorAhead
from application.decisions.whatif import UnknownPolicy, WhatIfBusy
from application.decisions.why import Story
from application.lane import TooMuchFolding
from application.moments import AfterHistory, BadMoment, BeforeHistory
from application.stretch import BadStretch, RangeTooLarge, stretch_of
from domain.errors import EpochEnded, EventNotFound, ReadModelBehind
from interfaces.http.disconnects import while_connected
from interfaces.http.fields import CURSOR_PATTERN
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters, QueryParameters
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.responses import answer, repeated
from interfaces.http.schemas.causes import GraphAnswer, GraphParameters, graph_of
from interfaces.http.schemas.comparisons import comparison_of
from interfaces.http.schemas.decisions import WhatIfAnswer, WhatIfBody, WhyAnswer, why_of

POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)


async def why(call: Call[None, QueryParameters]) -> Response:
    """GET /v1/tasks/{task_id}/why."""
    await call.require_seen()
    task_id = call.id_of("task_id")
    story = await call.process.why.of(call.tenant, task_id)
    # A story of many candidates takes a tenth of a second to be written down.
    return await asyncio.to_thread(_why_answer, task_id, story, call.process.epoch)


def _why_answer(task_id: UUID, story: Story, epoch: int) -> Response:
    return answer(why_of(task_id, story, epoch))


async def causes(call: Call[None, GraphParameters]) -> Response:
    """GET /v1/events/{position}/causes."""
    await call.require_seen()
    depth, limit = call.parameters.depth, call.parameters.limit
    walked = call.process.causes.causes(call.tenant, _position(call), depth=depth, limit=limit)
    graph = await while_connected(call.request, walked)
    return answer(graph_of(graph, call.process.cloud_events))


async def effects(call: Call[None, GraphParameters]) -> Response:
    """GET /v1/events/{position}/effects."""
    await call.require_seen()
    depth, limit = call.parameters.depth, call.parameters.limit
    walked = call.process.causes.effects(call.tenant, _position(call), depth=depth, limit=limit)
    graph = await while_connected(call.request, walked)
    return answer(graph_of(graph, call.process.cloud_events))


async def what_if(call: Call[WhatIfBody, Parameters]) -> Response:
    """POST /v1/history/whatif. Its answer takes long, and is kept for a client that lost it."""
    body, process = call.body, call.process
    recent: RecentAnswers = call.request.app.state.recent_answers
    if kept := recent.find(call.key):
        return repeated(kept)
    process.what_if.policy(body.policy)
    # That this was asked is no part of the past that it asks for.
    newest = None if call.entry is None else call.entry - 1
    stretch = await stretch_of(process.moments, body.begin, body.end, newest=newest)
    begin = await process.moments.at(max(stretch.after + 1, 1))
    end = await process.moments.at(stretch.until)
    compared = process.what_if.compare(
        call.tenant, body.policy, stretch, differences_max=body.differences
    )
    comparison = await while_connected(call.request, compared)
    # Sorting the times of 100,000 attempts takes a tenth of a second.
    shown = await asyncio.to_thread(comparison_of, comparison, process.epoch)
    response = answer({**shown, "from": begin.members(), "to": end.members()})
    recent.keep(call.key, bytes(response.body))
    return response


def _position(call: Call[None, GraphParameters]) -> int:
    """From a position or a cursor; what is neither names nothing. Raises EventNotFound,
    EpochEnded."""
    text = call.request.path_params["position"]
    if POSITION.fullmatch(text):
        return int(text)
    if not CURSOR.fullmatch(text):
        raise EventNotFound(text)
    cursor = Cursor.parse(text)
    call.require_epoch(cursor)
    return cursor.position


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}/why",
        handler=why,
        scope="tasks:read",
        summary="Explain a task, step by step",
        description=(
            "From the task's events alone: who was considered for each attempt, on which readings, "
            "by which policy, and whether the same decision comes out again; why it was retried, "
            "taken back, refused or ended."
        ),
        parameters=QueryParameters,
        answer=WhyAnswer,
        errors=(TooMuchFolding,),
    ),
    Operation(
        method="GET",
        path="/v1/events/{position}/causes",
        handler=causes,
        scope="audit:read",
        summary="Show what led to an event",
        description=(
            "`position` is that of an event, or its cursor. A cause was written down with an event "
            "or follows from what the event is; it always stands before it."
        ),
        parameters=GraphParameters,
        answer=GraphAnswer,
        errors=(EventNotFound, CursorAhead, EpochEnded, TooMuchFolding),
    ),
    Operation(
        method="GET",
        path="/v1/events/{position}/effects",
        handler=effects,
        scope="audit:read",
        summary="Show what came of an event",
        description=(
            "The same graph in the other direction; but for progress, which the history of its "
            "task tells. What was looked at is limited too: `truncated`."
        ),
        parameters=GraphParameters,
        answer=GraphAnswer,
        errors=(EventNotFound, CursorAhead, EpochEnded, ReadModelBehind, TooMuchFolding),
    ),
    Operation(
        method="POST",
        path="/v1/history/whatif",
        handler=what_if,
        scope="audit:read",
        summary="Decide a range of the past by another policy",
        description=(
            "The recorded decisions of a range (at most 100,000) made again on the recorded "
            "readings, and the times that a simulation gives to both policies. Nothing is written. "
            "One at a time; who goes away ends it."
        ),
        body=WhatIfBody,
        answer=WhatIfAnswer,
        errors=(
            UnknownPolicy,
            BadMoment,
            BadStretch,
            BeforeHistory,
            AfterHistory,
            CursorAhead,
            EpochEnded,
            RangeTooLarge,
            WhatIfBusy,
        ),
    ),
]
