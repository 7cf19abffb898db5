"""What time travel needs of the log, and where frames are kept."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from application.ports import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """A frame of a tenant as it was kept, encoded. Nothing of the tenant happened between
    `position` and `holds_until`. `content`: None when nothing of it had happened at all; else what
    stands there now, `digest` that of what was kept."""

    position: int
    holds_until: int
    content: bytes | None
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """What is kept of one tenant. `digest` is that of the content."""

    tenant: str
    digest: str
    content: bytes
    open_tasks: int


class History(Protocol):
    """The log, one tenant's or one aggregate's part of it. Blocks; each method raises
    DatabaseUnavailable."""

    def of_tenant(self, tenant: str, *, after: int, until: int) -> Sequence[Record]:
        """The next of what concerns tasks and agents, in order, as many as fit a page; none when
        there are no more until then."""

    def of_aggregate(
        self, aggregate_id: UUID, *, after_version: int, until: int, limit: int
    ) -> Sequence[Record]:
        """The next events of one, by version, those at or before a position."""

    def of_aggregates(
        self, aggregate_ids: Sequence[UUID], *, until: int, limit: int
    ) -> Sequence[Record]:
        """The events of some at or before a position, one after the other in the order given, of
        each by version."""

    def at_version(self, aggregate_id: UUID, version: int) -> Record | None:
        """One event of one aggregate."""

    def last_of(self, aggregate_id: UUID) -> Record | None:
        """The newest event of one aggregate; None: there is no such aggregate."""

    def submitted(self, tenant: str, *, before: int, limit: int) -> tuple[list[Record], int]:
        """Submissions of tasks before a position, newest first, and down to where they were looked
        for: 0 when there are no more."""

    def ever_online(self, agent_ids: Collection[UUID], *, until: int) -> set[UUID]:
        """Those of the agents that had come online by then."""


class FrameStore(Protocol):
    """Where frames are kept. Blocks; each method raises DatabaseUnavailable."""

    def newest(self, tenant: str, at: int) -> KeptFrame | None:
        """The last one kept of a tenant at or before a position; None: no frames were kept."""

    def last(self) -> int:
        """The newest position at which frames were kept, 0 before the first."""

    def size(self) -> int:
        """How many open tasks the newest frames hold."""

    def take(self, *, after: int) -> int | None:
        """Keep frames of the live read models as they stand now, of all tenants that had events
        after a position; the position that they are of.

        None, and nothing kept, when the read models are not at one position just now.
        """

    def keep(self, position: int, parts: Iterable[FramePart]) -> None:
        """Keep frames that were folded. Those that stand there already stay."""

    def tenants(self, *, after: int, until: int) -> list[str]:
        """Whose events stand between."""

    def digests(self, position: int) -> dict[str, str]:
        """What was kept at exactly this position, by tenant."""

    def gap(self, wider_than: int) -> int | None:
        """The position of frames that the next are further from; 0 is the beginning of the log."""

    def unproven(self) -> tuple[int, int] | None:
        """Two neighbours, of which the second was taken of the live read models, and not compared
        with what is folded from the first: the oldest such, if any."""

    def prove(self, position: int) -> None:
        """Remember that the comparison came out right."""

    def refute(self, position: int, parts: Iterable[FramePart]) -> None:
        """Remember that it came out wrong, and put what was folded in place of what was taken."""

    def mend(self, position: int, part: FramePart) -> None:
        """Put what was folded in place of a part that is not what was kept, and remember it."""

    def unequal(self) -> list[int]:
        """The positions at which either was so."""

    def forget_other_forms(self) -> None:
        """Drop what was kept in a form that this code does not write."""
