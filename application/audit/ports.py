"""What the audit trail needs from the outside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from application.ports import Record

Thing = UUID | int | str
"""An id, the position of an event, or a username."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFilter:
    """Which entries are wanted: of an actor, of a topic, behind a position."""

    tenant: str
    actor: str | None = None
    topic: str | None = None
    after: int = 0


class Owners(Protocol):
    """Knows whose everything is."""

    async def tenants_of(self, things: Collection[Thing]) -> dict[Thing, str]:
        """The tenant of each thing that there is. Raises DatabaseUnavailable."""


class TrailEntries(Protocol):
    """The audit trail as it is read."""

    async def newest(
        self, wanted: TrailFilter, *, before: int | None, limit: int
    ) -> Sequence[Record]:
        """Entries, newest first, before a position. Raises DatabaseUnavailable."""
