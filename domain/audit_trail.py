"""Audit: what people did to and asked of the control plane, and what they were refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as far as an auditor may know it: where it came from, and what it was about.

    `route` is the path as it was declared. `about` holds ids and names; never a body, a query or a
    secret.
    """

    address: str
    method: str
    route: str
    about: dict[str, str]
    request_id: str


class AuditSnapshot(TypedDict):
    """Everything that an Audit remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str


class Audit(Aggregate):
    """The audit trail of one tenant, as one process writes it from its start to its end.

    Nothing is decided upon it, so it remembers nothing of what it holds.
    """

    TOPIC = "audit"
    SNAPSHOT: ClassVar[Any] = AuditSnapshot

    # Events. TOPIC is the name in the log: it never changes.

    class Opened(FirstEvent):
        TOPIC = "audit.opened"
        tenant: str

    class Commanded(Aggregate.Event):
        """Somebody administered the control plane, or tried to; `code` says what kept them."""

        TOPIC = "audit.commanded"
        address: str
        method: str
        route: str
        about: dict[str, str]
        request_id: str
        status: int
        code: str | None

    class Read(Aggregate.Event):
        """Somebody was allowed to read the log, the history or the audit trail."""

        TOPIC = "audit.read"
        address: str
        method: str
        route: str
        about: dict[str, str]
        request_id: str

    class Refused(Aggregate.Event):
        """Somebody was not known, was not allowed, or asked for what is another tenant's."""

        TOPIC = "audit.refused"
        address: str
        method: str
        route: str
        about: dict[str, str]
        request_id: str
        status: int
        code: str

    class RefusalsCounted(Aggregate.Event):
        """So many refusals more than are recorded one by one. `address` is empty where they came
        from very many."""

        TOPIC = "audit.refusals_counted"
        address: str
        count: int
        since: datetime
        until: datetime

    # Decisions: whatever happened is recorded.

    @classmethod
    def open(cls, trail_id: UUID, *, tenant: str, now: datetime) -> Self:
        """A new trail."""
        return cls._create(cls.Opened, id=trail_id, timestamp=now, tenant=tenant)

    def record_command(self, asked: Asked, *, status: int, code: str | None, now: datetime) -> None:
        """A command and how it was answered: the HTTP status, and the code of a refusal."""
        members = _members(asked)
        self.trigger_event(self.Commanded, **members, status=status, code=code, timestamp=now)

    def record_read(self, asked: Asked, *, now: datetime) -> None:
        """A look at the past that was allowed."""
        self.trigger_event(self.Read, **_members(asked), timestamp=now)

    def record_refusal(self, asked: Asked, *, status: int, code: str, now: datetime) -> None:
        """A refusal."""
        members = _members(asked)
        self.trigger_event(self.Refused, **members, status=status, code=code, timestamp=now)

    def count_refusals(
        self, address: str, count: int, *, since: datetime, until: datetime, now: datetime
    ) -> None:
        """Refusals that nobody recorded one by one."""
        self.trigger_event(
            self.RefusalsCounted,
            address=address,
            count=count,
            since=since,
            until=until,
            timestamp=now,
        )

    # Evolution: nothing is remembered but whose trail it is.

    @event(Opened)
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant

    @event(Commanded)
    def _on_commanded(self) -> None: ...

    @event(Read)
    def _on_read(self) -> None: ...

    @event(Refused)
    def _on_refused(self) -> None: ...

    @event(RefusalsCounted)
    def _on_refusals_counted(self) -> None: ...


def _members(asked: Asked) -> dict[str, Any]:
    return {
        "address": asked.address,
        "method": asked.method,
        "route": asked.route,
        "about": asked.about,
        "request_id": asked.request_id,
    }
