"""What can be asked of a subject."""

from dataclasses import dataclass
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from domain.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseSubject(Command):
    """Record that the key of a subject was destroyed."""

    subject_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The subject, if it was erased before."""
        return (self.subject_id,)


class SubjectCommands:
    """Load, decide, record."""

    def erase(self, command: EraseSubject, work: Work) -> Subject:
        """Once; after that nothing changes. Raises VersionMismatch."""
        if work.find(Subject, command.subject_id) is not None:
            return work.load(Subject, command.subject_id)
        tenant = command.origin.tenant
        return work.add(Subject.erase(command.subject_id, tenant=tenant, now=work.now))
