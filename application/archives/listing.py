"""What the log knows of archives, and of events that are in none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.projections.archives import ArchiveRow
from domain.archive import ArchiveStatus

ARCHIVES = "archives"
"""The read model, and its watermark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """When was what, None where it never was: the newest archive verified, the newest that stands
    alone begun, the newest drill, and the first archive verified.

    `unarchived_since` is when the oldest event was recorded that is in no archive, and
    `unprotected_since` that of the oldest that is in no verified one; events about archives
    themselves do not count.
    """

    verified_at: datetime | None
    whole_at: datetime | None
    drilled_at: datetime | None
    first_verified_at: datetime | None
    unarchived_since: datetime | None
    unprotected_since: datetime | None


class ArchiveList(Protocol):
    """The read model of archives. Everything raises DatabaseUnavailable."""

    async def listed(
        self, *, status: ArchiveStatus | None, before: UUID | None, limit: int
    ) -> Sequence[ArchiveRow]:
        """A page, newest first."""

    async def one(self, archive_id: UUID) -> ArchiveRow | None:
        """None where there is none."""

    async def newest_verified(self) -> ArchiveRow | None:
        """The archive that holds most of those that are verified."""

    async def verified(self) -> Sequence[UUID]:
        """The ids of all that are."""

    async def known(self) -> Sequence[UUID]:
        """The ids of all."""

    async def marks(self) -> Marks:
        """By the log and this read model, as they stand."""
