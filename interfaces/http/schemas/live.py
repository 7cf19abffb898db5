"""What a client may say over the WebSocket, and how it is refused."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from application.cursor import BadCursor
from domain.errors import ControlPlaneError, Invalid
from interfaces.http.bodies import parse_json
from interfaces.http.errors import BadJson
from interfaces.http.fields import Labels, Name
from interfaces.http.messages import in_words, pointer_to
from interfaces.http.schemas.base import Body

CHANNELS_MAX = 100
TYPES_MAX = 100
MESSAGE_ID_CHARACTERS_MAX = 100
FAULTS_READ_MAX = 200
"""A message with more faults is refused without naming the first: to list them takes the time of a
hundred sound messages.
"""
NOW, START = "now", "start"

MessageId = Annotated[str, StringConstraints(max_length=MESSAGE_ID_CHARACTERS_MAX)]
Place = Annotated[
    str,
    Field(
        pattern=rf"^({NOW}|{START}|[0-9]{{1,9}}:[0-9]{{1,18}})$", examples=["1:4711", NOW, START]
    ),
]
Channels = Annotated[
    list[str], Field(min_length=1, max_length=CHANNELS_MAX, examples=[["tasks", "agents"]])
]


# What a client may say.


class Message(Body):
    """What all messages have in common."""

    id: MessageId | None = None
    """Comes back in the answers to it."""


class Auth(Message):
    """Say who asks: as the first message, or in good time before the token ends."""

    type: Literal["auth"]
    token: str = Field(repr=False, examples=["<access token>"])
    """From `POST /v1/oauth/token`; a later one has to be of the same account."""


class Subscribe(Message):
    """Listen to channels; what was said of them before is replaced."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "subscribe",
                    "id": "1",
                    "channels": ["tasks", "agents"],
                    "after": "1:4711",
                    "types": ["task.completed", "task.failed"],
                    "labels": {"team": "platform"},
                }
            ]
        }
    )

    type: Literal["subscribe"]
    channels: Channels
    """At most 100: `tasks`, `tasks.<id>`, `agents`, `system`, `metrics`, `output.<task id>`..."""
    after: Place = NOW
    """Events behind this cursor, or from `now` on, or from the `start` of the log."""
    types: Annotated[list[Name], Field(max_length=TYPES_MAX, examples=[["task.completed"]])] = (
        Field(default_factory=list)
    )
    """Only events of these types; none named: of all."""
    labels: Labels = Field(default_factory=dict)
    """Only events of what had all these labels then."""
    snapshot: bool = False
    """First the rows of the read model, then what follows them; goes without `after`."""

    @model_validator(mode="after")
    def require_one_beginning(self) -> Self:
        """A snapshot has a place of its own in the log."""
        if self.snapshot and "after" in self.model_fields_set:
            raise ValueError("snapshot goes without after: it brings its own cursor")
        return self


class Unsubscribe(Message):
    """Listen no longer."""

    type: Literal["unsubscribe"]
    channels: Channels


class Ping(Message):
    """Is anybody there?"""

    type: Literal["ping"]


ClientMessage = Annotated[Auth | Subscribe | Unsubscribe | Ping, Field(discriminator="type")]
CLIENT_MESSAGES: tuple[type[Message], ...] = (Auth, Subscribe, Unsubscribe, Ping)
_any_message: TypeAdapter[Auth | Subscribe | Unsubscribe | Ping] = TypeAdapter(ClientMessage)
_any_id: TypeAdapter[str] = TypeAdapter(MessageId)


# Why it may be refused. The connection stays as it was.


class MessageRefused(Invalid):
    """A message of a client says nothing that can be answered.

    `message_id` is its own `id`, where that could be read, so that the refusal can name it.
    """

    def __init__(self, message: str, message_id: str | None = None) -> None:
        ControlPlaneError.__init__(self, message)
        self.message_id = message_id


class MessageIsNoJson(BadJson, MessageRefused):
    """A message is no JSON object, or holds what JSON cannot say safely."""


class UnknownType(MessageRefused):
    """A message says by no `type`, or by an unknown one, what it is."""

    code = "unknown_type"


class BadMessage(MessageRefused):
    """A message of a known type lacks a member, or has one that it cannot have."""

    code = "bad_message"


class BadPlace(MessageRefused, BadCursor):
    """What a subscription is to begin after is no place in the log."""


def client_message(text: str) -> Auth | Subscribe | Unsubscribe | Ping:
    """What a client said in a text frame; nothing of it is shown in a refusal.

    Raises MessageIsNoJson, UnknownType, BadMessage, BadPlace; each is a MessageRefused.
    """
    said = _object_in(text)
    message_id = _id_of(said)
    try:
        return _any_message.validate_python(said)
    except ValidationError as error:
        if error.error_count() > FAULTS_READ_MAX:
            raise BadMessage("The message is full of faults.", message_id) from None
        fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        types = ", ".join(_type_of(kind) for kind in CLIENT_MESSAGES)
        raise UnknownType(f"The type of a message is one of {types}.", message_id)
    # The first step only says which kind of message was tried.
    location = fault["loc"][1:]
    if location[:1] == ("after",):
        raise BadPlace("after is a cursor, such as 1:4711, or now, or start.", message_id)
    member = pointer_to(location, said).removeprefix("/")
    raise BadMessage(f"{member} {in_words(fault)}.".lstrip(), message_id)


def _object_in(text: str) -> dict[str, Any]:
    try:
        # Lone surrogates, which no peer can send, are refused as in a body.
        said = parse_json(text.encode("utf-8", "surrogatepass"), "message")
    except BadJson as error:
        raise MessageIsNoJson(error.message) from error
    if not isinstance(said, dict):
        raise MessageIsNoJson("A message is a JSON object.")
    return said


def _id_of(said: dict[str, Any]) -> str | None:
    try:
        return _any_id.validate_python(said.get("id"), strict=True)
    except ValidationError:
        return None


def _type_of(kind: type[Message]) -> str:
    (name,) = get_args(kind.model_fields["type"].annotation)
    return str(name)
