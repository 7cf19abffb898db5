"""Incident replays: the past, played over a channel of its own."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from application.replays.replay import Replay, ReplayEnded
from application.replays.replays import TooManyReplays
from application.stretch import BadStretch, RangeTooLarge
from interfaces.http.operation import Call, Handler, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.responses import Json, answer, nothing, path_of, repeated
from interfaces.http.schemas.base import Body, NoBody
from interfaces.http.schemas.moments import WRONG_MOMENTS
from interfaces.http.schemas.replays import (
    ReplayBody,
    ReplayShown,
    SpeedBody,
    StepBody,
    replay_of,
)


async def open_(call: Call[ReplayBody, Parameters]) -> Response:
    """POST /v1/replays."""
    if kept := _recent(call).find(call.key):
        return repeated(kept, 201)
    assert call.entry is not None, "a replay reads the log"
    wanted = call.body.wanted()
    # The request itself is no part of the past that it asks for.
    replay = await call.process.replays.open(call.tenant, wanted, newest=call.entry - 1)
    location = path_of("replays", replay.score.replay_id)
    return _kept(call, answer(replay_of(replay), 201, location=location))


async def show(call: Call[None, Parameters]) -> Response:
    """GET /v1/replays/{replay_id}."""
    return answer(replay_of(_found(call)))


async def remove(call: Call[None, Parameters]) -> Response:
    """DELETE /v1/replays/{replay_id}."""
    await call.process.replays.remove(call.tenant, call.id_of("replay_id"))
    return nothing()


def _found(call: Call[Any, Parameters]) -> Replay:
    return call.process.replays.find(call.tenant, call.id_of("replay_id"))


def _told(tell: Callable[[Replay, Any], None]) -> Handler:
    """Tell a replay something, and answer how it fares then."""

    async def handler(call: Call[Any, Parameters]) -> Response:
        if kept := _recent(call).find(call.key):
            return repeated(kept)
        replay = _found(call)
        tell(replay, call.body)
        return _kept(call, answer(replay_of(replay)))

    return handler


def _recent(call: Call[Any, Parameters]) -> RecentAnswers:
    recent: RecentAnswers = call.request.app.state.recent_answers
    return recent


def _kept(call: Call[Any, Parameters], response: Response) -> Response:
    """Kept for a repetition, as a replay is: in this process, for a while."""
    assert isinstance(response, Json), "it was rendered"
    _recent(call).keep(call.key, bytes(response.body))
    return response


def _control(verb: str, handler: Handler, body: type[Body], summary: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/replays/{{replay_id}}/{verb}",
        handler=handler,
        scope="audit:read",
        summary=summary,
        body=body,
        body_optional=body is not SpeedBody,
        answer=ReplayShown,
        errors=(ReplayEnded,),
    )


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/replays",
        handler=open_,
        scope="audit:read",
        summary="Play recorded events again",
        description=(
            "Over the channel `replay.<id>`, with their timing, to whoever subscribes; see "
            "/docs/events. It plays while somebody listens, waits for slow readers, and is "
            "forgotten when nobody has listened for 10 minutes. Only the process that opened it "
            "knows it; others answer 404."
        ),
        body=ReplayBody,
        status=201,
        answer=ReplayShown,
        headers={"Location": "Where the replay is served."},
        errors=(
            *WRONG_MOMENTS,
            BadStretch,
            RangeTooLarge,
            TooManyReplays,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/replays/{replay_id}",
        handler=show,
        scope="audit:read",
        summary="Show how a replay fares",
        answer=ReplayShown,
    ),
    Operation(
        method="DELETE",
        path="/v1/replays/{replay_id}",
        handler=remove,
        scope="audit:read",
        summary="End a replay",
        status=204,
        answer=None,
    ),
    _control("pause", _told(lambda replay, _: replay.pause()), NoBody, "Let a replay stand still"),
    _control("play", _told(lambda replay, _: replay.play()), NoBody, "Let a replay go on"),
    _control(
        "step",
        _told(lambda replay, body: replay.step(body.events)),
        StepBody,
        "Play so many events at once, then stand still",
    ),
    _control(
        "speed",
        _told(lambda replay, body: replay.change_speed(body.speed)),
        SpeedBody,
        "Play faster or slower",
    ),
]
