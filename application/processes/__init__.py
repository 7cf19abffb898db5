"""Processes: events in, commands out. They run in the one process that leads."""

from application.commands import Origin
from application.ids import uuid7


def origin_of(process: str, tenant: str, *, causation_id: str | None) -> Origin:
    """The origin of a command that a process gives, because of the event at a cursor."""
    return Origin(
        tenant=tenant,
        actor=f"process/{process}",
        command_id=uuid7(),
        causation_id=causation_id,
    )
