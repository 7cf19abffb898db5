"""Live events as server-sent events."""

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from application.access import InsufficientScope
from application.cursor import BadCursor, CursorAhead
from application.live.channel import BadChannel
from domain.errors import AggregateNotFound, EpochEnded, ReadModelBehind
from interfaces.http.audit import record_listening
from interfaces.http.errors import InvalidParameter
from interfaces.http.fields import LabelFilter, Name
from interfaces.http.live.event_stream import EventStream
from interfaces.http.operation import SIGNED_IN, Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.schemas.live import CHANNELS_MAX, NOW, TYPES_MAX, Place
from interfaces.http.schemas.tasks import pair_of


class StreamParameters(Parameters):
    """What is listened to."""

    channels: Annotated[str, Field(max_length=50 * CHANNELS_MAX, examples=["tasks,agents"])] = ""
    """One or more, separated by commas: `tasks`, `tasks.<id>`, `agents`, `system`, `metrics` ..."""
    after: Place = NOW
    """Events behind this cursor, or from `now` on, or from the `start` of the log."""
    type: Annotated[list[Name], Field(max_length=TYPES_MAX)] = Field(default_factory=list)
    """Only events of these types."""
    label: Annotated[list[LabelFilter], Field(max_length=32)] = Field(default_factory=list)
    """Only events of what had all these labels then, as `key:value`."""


async def listen(call: Call[None, StreamParameters]) -> Response:
    """GET /v1/stream. A browser that connects again says in Last-Event-ID where it was."""
    wanted, gate = call.parameters, call.process.gate
    channels = wanted.channels.split(",")
    if len(channels) > CHANNELS_MAX:
        raise InvalidParameter(f"channels names at most {CHANNELS_MAX}.")
    subscriptions = await gate.subscriptions(
        call.principal, channels, types=wanted.type, labels=dict(map(pair_of, wanted.label))
    )
    after = await gate.place(call.headers.single(b"last-event-id") or wanted.after)
    if call.request.method == "HEAD":
        return Response(media_type=EventStream.media_type)
    await record_listening(call.process, call.request.scope, call.principal, subscriptions)
    return EventStream(call, subscriptions, after)


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/stream",
        handler=listen,
        scope=SIGNED_IN,
        summary="Listen to live events",
        description=(
            "Server-sent events: history behind `after` (or the header Last-Event-ID, which wins), "
            "`caught_up`, then what happens. The id of an event is its cursor, its name the type, "
            "its data the CloudEvent; see /docs/events. Each channel takes its own scope."
        ),
        parameters=StreamParameters,
        answer=EventStream.media_type,
        errors=(
            BadChannel,
            BadCursor,
            CursorAhead,
            EpochEnded,
            AggregateNotFound,
            InsufficientScope,
            ReadModelBehind,
        ),
    ),
]
