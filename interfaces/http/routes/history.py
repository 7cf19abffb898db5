"""The past: what happened to one thing, everything as of a moment, and what changed it."""

from collections.abc import Callable, Coroutine
from typing import Any, Literal
from uuid import UUID

from starlette.responses import Response

from application.cursor import BadCursor
from application.moments import Instant, Moment
from application.stretch import BadStretch, RangeTooLarge
from application.time_travel.predicate.tokens import BadPredicate
from application.time_travel.search import SearchTooLong, TaskTooLong
from domain.errors import AggregateNotFound
from interfaces.http.disconnects import while_connected
from interfaces.http.operation import Call, Handler, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer
from interfaces.http.schemas.agents import agent_then_of
from interfaces.http.schemas.moments import PAST
from interfaces.http.schemas.tasks import task_of
from interfaces.http.schemas.time_travel import (
    BisectAnswer,
    BisectBody,
    DiffAnswer,
    DiffParameters,
    StateAnswer,
    StateParameters,
    StoryPage,
    StoryParameters,
    changes_of,
    found_of,
    state_of,
    story_of,
)

Kind = Literal["task", "agent"]
Shown = tuple[dict[str, Any], Instant]


def _story(kind: Kind) -> Handler:
    async def handler(call: Call[None, StoryParameters]) -> Response:
        """One more than asked for tells whether there is another page."""
        limit = call.parameters.limit
        found = await call.process.time_travel.things.story(
            kind,
            call.tenant,
            call.id_of(f"{kind}_id"),
            after_version=call.parameters.cursor,
            limit=limit + 1,
            seen=call.seen,
        )
        items = story_of(found[:limit], call.process.epoch)
        next_cursor = str(items[-1]["version"]) if len(found) > limit else None
        return answer({"items": items, "next_cursor": next_cursor})

    return handler


async def _task_then(
    call: Call[None, DiffParameters], thing_id: UUID, moment: Moment | None
) -> Shown:
    things = call.process.time_travel.things
    standing, at = await things.task(call.tenant, thing_id, moment, seen=call.seen)
    return dict(task_of(standing, call.process.epoch)), at


async def _agent_then(
    call: Call[None, DiffParameters], thing_id: UUID, moment: Moment | None
) -> Shown:
    things = call.process.time_travel.things
    agent, at = await things.agent(call.tenant, thing_id, moment, seen=call.seen)
    return dict(agent_then_of(agent, call.process.epoch)), at


Then = Callable[[Call[None, DiffParameters], UUID, Moment | None], Coroutine[Any, Any, Shown]]
THEN: dict[Kind, Then] = {"task": _task_then, "agent": _agent_then}


def _diff(kind: Kind) -> Handler:
    async def handler(call: Call[None, DiffParameters]) -> Response:
        thing_id = call.id_of(f"{kind}_id")
        before, begin = await THEN[kind](call, thing_id, call.parameters.begin)
        after, end = await THEN[kind](call, thing_id, call.parameters.end)
        changes = changes_of(before, after)
        return answer({"from": begin.members(), "to": end.members(), "changes": changes})

    return handler


async def state(call: Call[None, StateParameters]) -> Response:
    """GET /v1/state."""
    asked, seen = call.parameters, call.seen
    if seen is not None:
        # It is folded from the log itself, which is older than nothing that was committed.
        await call.process.moments.require_known(seen)
    overview = call.process.time_travel.overviews.overview(
        call.tenant, asked.at, status=asked.status, cursor=asked.cursor, limit=asked.limit
    )
    found = await while_connected(call.request, overview)
    return answer(state_of(found, call.process.epoch))


async def bisect(call: Call[BisectBody, Parameters]) -> Response:
    """POST /v1/history/bisect. A key is taken and not needed: nothing is written."""
    body = call.body
    search = call.process.time_travel.searches.first(
        call.tenant,
        body.predicate,
        begin=body.begin,
        end=body.end,
        scan=body.scan,
        # That this was asked is no part of the past that it asks for.
        newest=None if call.entry is None else call.entry - 1,
    )
    found = await while_connected(call.request, search)
    return answer(found_of(found, call.process.cloud_events))


def _of_one(kind: Kind) -> list[Operation]:
    scope = f"{kind}s:read"
    return [
        Operation(
            method="GET",
            path=f"/v1/{kind}s/{{{kind}_id}}/history",
            handler=_story(kind),
            scope=scope,
            summary=f"Tell what happened to {'a' if kind == 'task' else 'an'} {kind}",
            parameters=StoryParameters,
            answer=StoryPage,
            errors=PAST,
        ),
        Operation(
            method="GET",
            path=f"/v1/{kind}s/{{{kind}_id}}/diff",
            handler=_diff(kind),
            scope=scope,
            summary=f"Compare {'a' if kind == 'task' else 'an'} {kind} at two moments",
            parameters=DiffParameters,
            answer=DiffAnswer,
            errors=PAST,
        ),
    ]


OPERATIONS = [
    *_of_one("task"),
    *_of_one("agent"),
    Operation(
        method="GET",
        path="/v1/state",
        handler=state,
        scope="audit:read",
        summary="Show everything as of a moment",
        description=(
            "The freeze frame: folded from exactly the events up to there, by the code of the live "
            "read models. Readings of machines are telemetry, and in none of it."
        ),
        parameters=StateParameters,
        answer=StateAnswer,
        errors=(*PAST, BadCursor),
    ),
    Operation(
        method="POST",
        path="/v1/history/bisect",
        handler=bisect,
        scope="audit:read",
        summary="Find the event that made something true",
        description=(
            "The first event of a range after which a predicate over the freeze frame holds. By "
            "halves, in log2(n) + 1 frames at most, which is right when the predicate goes on "
            "holding; else it is one of the events that made it true, and a scan finds the first. "
            "Names: `tasks.<status>`, `tasks.open`, `tasks.total`, `queue.depth`, "
            '`queue.kind["review"]`, `agents.total`, `.online`, `.offline`, `.draining`, '
            '`.retired`, `.slots`, `.running`, `.load`, `agent["name"].running` (`load`, `slots`, '
            "`online`, `standing`, `completed`, `failed`, `lost`, `version`), "
            '`task["id"].status` (`kind`, `agent`, `error`, `attempt`, `failures`, `progress`, '
            "`priority`, `version`); numbers, texts in quotes, `true`, `false`; "
            "`= != < <= > >= + -`, `and`, `or`, `not`, parentheses. What is not there is null, and "
            "compared with anything it is false."
        ),
        body=BisectBody,
        answer=BisectAnswer,
        errors=(
            *PAST,
            BadPredicate,
            BadStretch,
            RangeTooLarge,
            SearchTooLong,
            TaskTooLong,
            AggregateNotFound,
        ),
    ),
]
