"""What the server says over the WebSocket, in the order in which a conversation may bring it."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from application.queries import Fleet
from interfaces.http.schemas.agents import AgentAnswer
from interfaces.http.schemas.base import CursorOut, documented
from interfaces.http.schemas.events import CloudEvent
from interfaces.http.schemas.moments import InstantOut
from interfaces.http.schemas.tasks import TaskSummary

ResyncReason = Literal["epoch_ended", "cursor_ahead"]
ChannelOut = Annotated[str, Field(examples=["tasks"])]
ChannelsOut = Annotated[list[str], Field(examples=[["tasks", "agents"]])]


class Answer(TypedDict):
    """What may answer a message."""

    # A docstring here would not be seen in those that are made from it.
    id: NotRequired[Annotated[str, Field(description="That of the message which it answers.")]]


@documented
class Limits(TypedDict):
    """What a connection may do."""

    message_bytes: Annotated[int, Field(examples=[65536])]
    """A message of the client holds at most so many bytes."""
    messages_per_second: Annotated[int, Field(examples=[100])]
    """More messages than this in a second are refused."""
    channels: Annotated[int, Field(examples=[100])]
    """So many channels may be subscribed to at a time."""
    unsent_bytes: Annotated[int, Field(examples=[262144])]
    """A reader with more than this unsent is served from the log until it has caught up."""
    unread_seconds: Annotated[int, Field(examples=[30])]
    """A reader that takes nothing for so long is sent away with 4008."""


@documented
class Hello(Answer):
    """Who asks is known; answers `auth`, and comes by itself after a header or a ticket."""

    type: Literal["hello"]
    epoch: Annotated[int, Field(examples=[1])]
    """Cursors of another epoch have ended."""
    store_id: UUID
    """Which log this is."""
    cursor: CursorOut
    """Where the log ends."""
    subject: Annotated[str, Field(examples=["user/alice"])]
    """Who asks, such as `user/alice`."""
    expires_at: datetime
    """When the token ends, and with it the connection, unless a newer one is given by `auth`."""
    ping_seconds: Annotated[float, Field(examples=[25])]
    """How often a WebSocket ping comes, which has to be answered."""
    limits: Limits


@documented
class Subscribed(Answer):
    """The subscription stands; its history follows."""

    type: Literal["subscribed"]
    channels: ChannelsOut
    cursor: CursorOut
    """What comes stands behind it."""


@documented
class Snapshot(Answer):
    """A page of rows of a read model, as the lists of HTTP have them."""

    type: Literal["snapshot"]
    channel: ChannelOut
    cursor: CursorOut
    """The rows are no older than that; an event whose `version` a row has reached is in it."""
    items: list[TaskSummary] | list[AgentAnswer]
    last: bool
    """Whether it is the last page of this channel."""


@documented
class EventFrame(TypedDict):
    """Something happened; each event comes once, in log order."""

    type: Literal["event"]
    channel: ChannelOut
    """The widest of the connection's channels that it belongs to."""
    event: CloudEvent


@documented
class CaughtUp(Answer):
    """The history has ended here; what comes now is live."""

    type: Literal["caught_up"]
    channels: ChannelsOut
    cursor: CursorOut


@documented
class Position(TypedDict):
    """Everything up to here was sent or does not concern the connection."""

    type: Literal["position"]
    cursor: CursorOut
    """To resume, subscribe after it."""


@documented
class LogFigures(TypedDict):
    """The log of all tenants."""

    position: int
    """Where it ends."""
    events_per_second: float


@documented
class Figures(TypedDict):
    """How a tenant fares."""

    at: datetime
    cursor: CursorOut
    """The counts of tasks and agents are no older than that."""
    tasks: Annotated[dict[str, int], Field(examples=[{"queued": 3, "running": 8}])]
    """How many there are of each status; every status is named."""
    agents: Fleet
    """How many there are of each state, but for those that are retired."""
    log: LogFigures
    read_models: Annotated[dict[str, int], Field(examples=[{"task_board": 0}])]
    """How many events each of them is behind the log."""
    leading: bool
    """Whether this process dispatches; one of all does."""


@documented
class Metrics(TypedDict):
    """Figures of the tenant, once a second; a slow reader gets the latest ones only."""

    type: Literal["metrics"]
    channel: Literal["metrics"]
    data: Figures


@documented
class TaskOutput(TypedDict):
    """What a running task wrote."""

    task_id: UUID
    attempt: int
    sequence: int
    """Rises by one with each piece of an attempt."""
    text: Annotated[str, Field(examples=["so far so good"])]
    dropped: int
    """Characters left out before it, because they came faster than they were read."""


@documented
class Output(TypedDict):
    """What a running task writes: tokens, log lines; never stored."""

    type: Literal["output"]
    channel: Annotated[str, Field(examples=["output.018f6a3e-1c2b-7d4e-9f00-0123456789ab"])]
    data: TaskOutput


@documented
class ReplayBegins(TypedDict):
    """What is played; the first to come."""

    kind: Literal["begin"]
    replay_id: UUID
    begin: Annotated[InstantOut, Field(alias="from")]
    end: Annotated[InstantOut, Field(alias="to")]
    speed: Annotated[float, Field(examples=[10])]
    """Recorded seconds in a second."""
    played: int
    """How many events were played before."""


@documented
class ReplayedEvent(TypedDict):
    """A recorded event. Two replays of a stretch bring the same, in the same order."""

    kind: Literal["event"]
    number: int
    """Rises by one, from 1 on."""
    at: datetime
    """When it was recorded."""
    event: CloudEvent


@documented
class ReplayEnds(TypedDict):
    """Nothing more comes."""

    kind: Literal["end"]
    reason: Literal["played", "removed", "abandoned", "failed"]
    played: int
    """How many events were played in all."""


Replayed = ReplayBegins | ReplayedEvent | ReplayEnds


@documented
class Replay(TypedDict):
    """The past, played again: what is played, the events with their timing, and the end."""

    type: Literal["replay"]
    channel: Annotated[str, Field(examples=["replay.018f6a3e-1c2b-7d4e-9f00-0123456789ab"])]
    data: Replayed


@documented
class Unsubscribed(Answer):
    """Nothing more comes of these channels."""

    type: Literal["unsubscribed"]
    channels: ChannelsOut
    cursor: CursorOut


@documented
class Pong(Answer):
    """Somebody is there; answers `ping`."""

    type: Literal["pong"]
    cursor: CursorOut
    """To resume, subscribe after it."""


@documented
class AuthExpiring(TypedDict):
    """The token ends in a minute; give a newer one by `auth` to go on."""

    type: Literal["auth_expiring"]
    expires_at: datetime


@documented
class RefusalFrame(Answer):
    """A message was refused; the connection is as it was before."""

    type: Literal["error"]
    code: Annotated[str, Field(examples=["bad_channel"])]
    """For programs; it never changes its meaning: `unknown_type`, `bad_json`, `bad_message`,
    `bad_channel`, `bad_cursor`, `unauthorized`, `forbidden`, `not_found`, `limit`, `unavailable`.
    """
    message: Annotated[str, Field(examples=["'nonsense' is no channel."])]
    """For people."""


@documented
class Resync(Answer):
    """The cursor names no place in this log: read anew, from the start or from a snapshot."""

    type: Literal["resync"]
    reason: ResyncReason
    cursor: CursorOut
    """Where the log ends."""
    message: Annotated[str, Field(examples=["The cursor is of epoch 1, the log is in epoch 2."])]
    """For people."""


@documented
class StreamPosition(TypedDict):
    """Where a stream of server-sent events stands; its id says the same."""

    cursor: CursorOut


SERVER_FRAMES: tuple[Any, ...] = (
    Hello,
    Subscribed,
    Snapshot,
    EventFrame,
    CaughtUp,
    Position,
    Metrics,
    Output,
    Replay,
    Unsubscribed,
    Pong,
    AuthExpiring,
    RefusalFrame,
    Resync,
)
"""Every frame that there is, in this order in the documents."""
