"""What is written down of what people do, ask for and are refused."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from domain.audit_trail import Asked, Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCommand(Command):
    """An entry for a trail, which is opened by its first."""

    trail_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The trail."""
        return (self.trail_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCommand(AuditCommand):
    """Somebody administered the control plane."""

    asked: Asked
    status: int
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRead(AuditCommand):
    """Somebody reads the log, the history or the audit trail."""

    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefusal(AuditCommand):
    """Somebody was refused."""

    asked: Asked
    status: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRefusals(AuditCommand):
    """There were more refusals than are recorded one by one."""

    address: str
    count: int
    since: datetime
    until: datetime


class AuditCommands:
    """Load, decide, record. Nothing here is ever refused."""

    def record_command(self, command: RecordCommand, work: Work) -> Audit:
        """One entry."""
        trail = _trail(command, work)
        trail.record_command(command.asked, status=command.status, code=command.code, now=work.now)
        return trail

    def record_read(self, command: RecordRead, work: Work) -> Audit:
        """One entry."""
        trail = _trail(command, work)
        trail.record_read(command.asked, now=work.now)
        return trail

    def record_refusal(self, command: RecordRefusal, work: Work) -> Audit:
        """One entry."""
        trail = _trail(command, work)
        trail.record_refusal(command.asked, status=command.status, code=command.code, now=work.now)
        return trail

    def count_refusals(self, command: CountRefusals, work: Work) -> Audit:
        """One entry for many."""
        trail = _trail(command, work)
        trail.count_refusals(
            command.address,
            command.count,
            since=command.since,
            until=command.until,
            now=work.now,
        )
        return trail


def _trail(command: AuditCommand, work: Work) -> Audit:
    found = work.find(Audit, command.trail_id)
    if found is not None:
        return found
    return work.add(Audit.open(command.trail_id, tenant=command.origin.tenant, now=work.now))
