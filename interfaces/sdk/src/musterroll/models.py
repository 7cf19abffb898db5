"""What the service answers: frozen, with moments as aware datetimes in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Required, TypedDict

FINAL = frozenset({"completed", "failed", "cancelled"})


class NewTask(TypedDict, total=False):
    """One task of `tasks.submit_many`. What is left out takes the service's default."""

    kind: Required[str]
    input: Any
    requires: list[str]
    priority: int
    max_attempts: int
    timeout_seconds: int
    not_before: datetime | str
    deadline: datetime | str
    labels: Mapping[str, str]
    parent_id: str
    approval: bool
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A bearer token (RFC 6749). `expires_in` is in seconds; None: it does not say."""

    access_token: str = field(repr=False)
    token_type: str = "Bearer"  # noqa: S105
    expires_in: float | None = None
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a command did: the task, agent or backup, its version, and the cursor to read it back
    at."""

    id: str
    version: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one member of a batch turned out. `error` is None when it was accepted."""

    id: str | None = None
    version: int | None = None
    cursor: str | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What a moment came to: the cursor of the last event until then, and its time."""

    cursor: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """Where a task stands. `progress` runs from 0 to 1."""

    id: str
    status: str
    progress: float = 0.0
    result: Any = None
    error: Failure | None = None
    attempt: int = 0
    agent_id: str | None = None
    version: int = 0
    cursor: str | None = None
    waiting_reason: str | None = None
    at: Instant | None = None

    @property
    def finished(self) -> bool:
        """Whether this is its last status (a failed task can still be retried by hand)."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """A task in a list: all of it but its input and result."""

    id: str
    status: str
    kind: str
    progress: float = 0.0
    progress_message: str | None = None
    error: Failure | None = None
    attempt: int = 0
    agent_id: str | None = None
    version: int = 0
    cursor: str | None = None
    waiting_reason: str | None = None
    requires: tuple[str, ...] = ()
    priority: int = 5
    max_attempts: int = 3
    timeout_seconds: int = 300
    not_before: datetime | None = None
    deadline: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    parent_id: str | None = None
    approval: bool = False
    failures: int = 0
    lease_expires_at: datetime | None = None
    submitted_at: datetime | None = None
    submitted_by: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails(TaskCard):
    """All that is known of a task."""

    input: Any = None
    result: Any = None
    at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tasks stand in each status."""

    counts: Mapping[str, int]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent in the roster. `cpu`, `memory` and `load` run from 0 to 100."""

    id: str
    name: str
    state: str
    online: bool = False
    capabilities: tuple[str, ...] = ()
    slots: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    running: int = 0
    cpu: float | None = None
    memory: float | None = None
    queue: int | None = None
    load: float | None = None
    last_heard_at: datetime | None = None
    completed: int = 0
    failed: int = 0
    lost: int = 0
    registered_at: datetime | None = None
    version: int = 0
    cursor: str | None = None
    at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registered agent. The secret is None when the answer was a repetition."""

    id: str
    version: int
    cursor: str | None = None
    client_id: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A new client secret, shown once: None when the answer was a repetition."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may sign in. `password` is set where one was made, once."""

    user_id: str
    username: str = ""
    tenant: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with credentials of its own. `client_secret` is set where one was made, once."""

    client_id: str
    name: str = ""
    tenant: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom tasks are about. `state` is `known` or `erased`; `subject_id` how the log names it."""

    subject: str
    subject_id: str = ""
    state: str = "known"
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The log up to a position in one hash, signed. Times are texts, as they were signed."""

    log: str
    epoch: int
    size: int
    position: int
    root: str
    recorded_at: str
    time: str
    previous: str
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact in the log, as a CloudEvent. `id` is its cursor, `data` the event's own fields."""

    id: str
    type: str
    source: str = ""
    subject: str = ""
    time: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None
    actor: str | None = None
    commandid: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a running task wrote: a piece of text, with the line ends that are in it.

    `sequence` rises by one with each piece of an attempt. `dropped` is how many characters were
    left out before this one, because they came faster than they were read.
    """

    task_id: str
    text: str
    attempt: int = 1
    sequence: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A recorded event, played again. `number` rises by one, from 1 on; `at` is when it was
    recorded."""

    number: int
    event: Event
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayEnd:
    """A replay is over: `played`, `removed`, `abandoned` or `failed`."""

    reason: str
    played: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An event told in a sentence."""

    cursor: str
    at: datetime | None = None
    subject: str = ""
    type: str = ""
    text: str = ""
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of one task or agent in words. `cause` is the cursor of the event it answers."""

    cursor: str
    version: int
    time: datetime | None = None
    type: str = ""
    text: str = ""
    actor: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A field that differs between two moments, as a read shows it."""

    field: str
    before: Any = None
    after: Any = None


BACKUP_FINAL = frozenset({"verified", "failed", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup. `progress` runs from 0 to 1 in each `stage`; `events` up to `position` are what it
    restores to, `new_events` of them it wrote itself; `bytes` is the same of its files."""

    id: str
    type: str
    status: str
    stage: str | None = None
    progress: float = 0.0
    requested_by: str = ""
    started_at: datetime | None = None
    stored_at: datetime | None = None
    verified_at: datetime | None = None
    level: int | None = None
    drilled_at: datetime | None = None
    position: int | None = None
    time: datetime | None = None
    events: int | None = None
    new_events: int | None = None
    segments: int | None = None
    bytes: int | None = None
    new_bytes: int | None = None
    error: Failure | None = None
    version: int = 0
    cursor: str | None = None

    @property
    def finished(self) -> bool:
        """Whether it is verified, has failed or has expired."""
        return self.status in BACKUP_FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupJob:
    """Something done with backups that takes longer than a request: `verify`, `drill`, `restore`,
    `undo`, `expire`. `error` has a `code`, a `message` and what else is known."""

    job_id: str
    kind: str
    state: str
    backup_id: str | None = None
    stage: str = ""
    progress: float = 0.0
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    began_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether it is done or has failed."""
        return self.state != "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The events that a restore takes away: those behind one cursor, up to another. `first` is the
    cursor of the first, recorded at `first_at`."""

    events: int
    after: str | None = None
    first: str | None = None
    first_type: str | None = None
    first_at: datetime | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore does. Its last event is at `position`, recorded at `time`; `into` is where the
    new store is made; `lost` is None where nothing is."""

    archive_id: str
    position: int
    events: int
    from_epoch: int
    to_epoch: int
    time: datetime | None = None
    lost: Loss | None = None
    bytes: int = 0
    estimate_seconds: float = 0.0
    into: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A restore: its plan, and the job that does it; None where only the plan was asked for."""

    plan: RestorePlan
    job: BackupJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """How an epoch began. `archive_id` is None where a restore was undone."""

    at: datetime | None = None
    position: int = 0
    from_epoch: int = 0
    archive_id: str | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerStore:
    """What a restore put aside, and until when it is kept."""

    epoch: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The store that serves; `cursor` is where its log ends."""

    store_id: str
    epoch: int
    cursor: str | None = None
    restored: Restored | None = None
    former: tuple[FormerStore, ...] = ()
