"""Subject: the person or thing that tasks are about, as far as the log may know of it."""

from datetime import datetime
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent


class SubjectSnapshot(TypedDict):
    """Everything that a Subject remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str


class Subject(Aggregate):
    """One whose key was destroyed. While it has its key, the log holds nothing of it but its id in
    the tasks, from which nobody can tell its name."""

    TOPIC = "subject"
    SNAPSHOT: ClassVar[Any] = SubjectSnapshot

    class Erased(FirstEvent):
        """What was encrypted under its key cannot be read by anybody from now on."""

        TOPIC = "subject.erased"
        tenant: str

    @classmethod
    def erase(cls, subject_id: UUID, *, tenant: str, now: datetime) -> Self:
        """Record that its key is gone."""
        return cls._create(cls.Erased, id=subject_id, timestamp=now, tenant=tenant)

    @event(Erased)
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
