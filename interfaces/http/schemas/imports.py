"""Imports: what a line of an export may hold, and what came of all of them.

Each field of an event is held to what the service itself takes for it, so that nothing gets into
the log by an import that could not have got there by a request.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from typing_extensions import TypedDict

from application.accounts.administration import VISIBLE_NAME
from application.commands.tasks import GENERATIONS_MAX
from application.imports.refusals import BadEvent, NotImportable
from interfaces.http.bodies import parse_json
from interfaces.http.errors import BadJson
from interfaces.http.fields import CURSOR_PATTERN, AnyJson, Id, Kind, Labels, Moment, Name, Reason
from interfaces.http.headers import TRACEPARENT
from interfaces.http.messages import in_words
from interfaces.http.parameters import Parameters
from interfaces.http.schemas.agents import Capabilities, Slots
from interfaces.http.schemas.base import Body, CursorOut, documented
from interfaces.http.schemas.subjects import SUBJECT_PATTERN
from interfaces.http.schemas.tasks import VERSION_MAX
from interfaces.http.schemas.workers import AttemptNumber, Message, Percentage

UUID_TEXT = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ACTOR = f"^(user|client|agent|process)/{VISIBLE_NAME}$"
SUBJECTS_MAX = 50
KEYS_MAX = 20
CANDIDATES_MAX = 10_000

Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class ImportParameters(Parameters):
    """Whose word counts, and who is who."""

    trusted: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]], Field(max_length=KEYS_MAX)
    ] = Field(default_factory=list)
    """Id of a key that exports are trusted for, beside the service's own; may come many times."""
    subject: Annotated[
        list[Annotated[str, Field(pattern=f"^{UUID_TEXT}={SUBJECT_PATTERN[1:]}")]],
        Field(max_length=SUBJECTS_MAX),
    ] = Field(default_factory=list)
    """`<id>=<name>`: who the subject is that the export names by this id; may come many times."""


@documented
class ImportAnswer(TypedDict):
    """All of the export is in the log."""

    events: int
    """How many were taken in."""
    aggregates: int
    """Of how many tasks and agents it speaks."""
    skipped: int
    """How many events were here already."""
    cursor: CursorOut
    """Where the log stands; give it as `seen` to read no older than that."""


def traceparent_from(text: str) -> str:
    """A W3C trace context."""
    if not TRACEPARENT.fullmatch(text):
        raise ValueError("must be a trace context (W3C)")
    return text


class EventIn(Body):
    """A CloudEvent as an export writes it."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(pattern=CURSOR_PATTERN)]
    source: Annotated[str, Field(pattern=f"^/musterroll/{UUID_TEXT}$")]
    type: Annotated[str, StringConstraints(max_length=100)]
    subject: Annotated[str, Field(pattern=f"^(task|agent)/{UUID_TEXT}$")]
    time: Moment
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]
    version: Annotated[int, Field(ge=1, le=VERSION_MAX)]
    actor: Annotated[str, Field(pattern=ACTOR)]
    commandid: Id
    correlationid: Id
    causationid: Annotated[str, Field(pattern=CURSOR_PATTERN)] | None
    traceparent: Annotated[str, AfterValidator(traceparent_from)] | None


class Nothing(Body):
    """It says all by having happened."""


class Submitted(Body):
    """`subject_id` came later than the others, and is not in older exports."""

    tenant: Name
    kind: Kind
    input: AnyJson
    requires: Annotated[list[Name], Field(max_length=32)]
    priority: Annotated[int, Field(ge=0, le=9)]
    max_attempts: Annotated[int, Field(ge=1, le=100)]
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)]
    not_before: Moment | None
    deadline: Moment | None
    labels: Labels
    parent_id: Id | None
    root_id: Id | None
    depth: Annotated[int, Field(ge=0, le=GENERATIONS_MAX)]
    approval: bool
    subject_id: Id | None = None


class Reasoned(Body):
    """Why."""

    reason: Reason | None


class Candidate(Body):
    """An agent that was considered, and how it scored."""

    agent_id: Id
    cpu: Percentage | None
    memory: Percentage | None
    queue: Count
    slots: Count
    score: Annotated[float, Field(allow_inf_nan=False)]


class DecisionIn(Body):
    """Who was considered, and who won."""

    policy: Name
    policy_version: Count
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=CANDIDATES_MAX)]
    winner: Id


class Attempted(Body):
    """It is about one attempt."""

    attempt: AttemptNumber


class Assigned(Attempted):
    """To whom, until when, and why."""

    agent_id: Id
    lease_expires_at: Moment
    decision: DecisionIn


class Progressed(Attempted):
    """How far it is."""

    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    message: Message | None


class Held(Attempted):
    """By whom."""

    agent_id: Id


class Completed(Held):
    """What came of it."""

    result: AnyJson


class AttemptFailed(Held):
    """What went wrong, and when it is tried again."""

    code: Code
    message: Message
    retry_at: Moment | None


class LeaseExpired(Held):
    """Whether it was the last attempt."""

    last_attempt: bool


class Failed(Body):
    """For good."""

    code: Code
    message: Message


class ReportRefused(Held):
    """What was reported too late."""

    report: Code
    current_attempt: Count


class Equipped(Body):
    """What an agent can do."""

    capabilities: Capabilities
    slots: Slots
    labels: Labels


class Registered(Equipped):
    """And who it is."""

    tenant: Name
    name: Name


class WentOffline(Body):
    """Since when nothing was heard of it."""

    last_heard_at: Moment


OWN_FIELDS: dict[str, type[Body]] = {
    "task.submitted": Submitted,
    "task.approved": Nothing,
    "task.rejected": Reasoned,
    "task.queued": Nothing,
    "task.assigned": Assigned,
    "task.started": Attempted,
    "task.progressed": Progressed,
    "task.completed": Completed,
    "task.attempt_failed": AttemptFailed,
    "task.lease_expired": LeaseExpired,
    "task.released": Held,
    "task.failed": Failed,
    "task.cancelled": Reasoned,
    "task.retried": Nothing,
    "task.report_refused": ReportRefused,
    "agent.registered": Registered,
    "agent.changed": Equipped,
    "agent.came_online": Nothing,
    "agent.went_offline": WentOffline,
    "agent.drained": Nothing,
    "agent.resumed": Nothing,
    "agent.retired": Nothing,
    "agent.reinstated": Equipped,
}
"""The fields of every event that can be taken in, by its topic."""


def read_line(number: int, raw: bytes) -> dict[str, Any]:
    """Implements `application.imports.lines.Reads`."""
    try:
        event = parse_json(raw, "line")
    except BadJson as error:
        raise BadEvent(number, error.message.rstrip(".")) from error
    # So no member comes twice, and nothing can be read in two ways.
    if not isinstance(event, dict) or orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) != raw:
        raise BadEvent(number, "it is not written as we write events")
    topic = event.get("type")
    try:
        if isinstance(topic, str) and topic not in OWN_FIELDS:
            raise NotImportable(number, topic)
        EventIn.model_validate(event)
        OWN_FIELDS[event["type"]].model_validate(event["data"])
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"][:4])) or "it"
        raise BadEvent(number, f"{where[:100]} {in_words(fault)}") from error
    return event
