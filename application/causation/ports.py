"""What walking the graph of causes and effects needs of the log."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from application.ports import Record
from domain.causation import Fact

FACTS_MAX = 1_000
"""So many facts come of one aggregate, or of whatever else is looked up at once."""
BUDGET_FACTS = 50_000
"""Of one walk: some 200 bytes and 20 us each."""
BUDGET_BYTES = 64 * 2**20
"""Of the states that are read for them in PostgreSQL, of which it reads some 200 MB/s."""


@dataclass(slots=True)
class Budget:
    """What may still be read; each read takes of it."""

    facts: int
    bytes: int

    @property
    def spent(self) -> bool:
        """There may be more than was read."""
        return self.facts <= 0 or self.bytes <= 0


class CausationLog(Protocol):
    """The log of one tenant as the graph needs it: as many facts as the budget has room for.

    Blocks; each method raises DatabaseUnavailable.
    """

    def head(self) -> int:
        """The newest position."""

    def records(self, tenant: str, positions: Sequence[int]) -> Sequence[Record]:
        """The events at these positions, in the order given, up to a number of bytes in all."""

    def facts_at(self, tenant: str, positions: Collection[int], *, budget: Budget) -> list[Fact]:
        """Those at these positions."""

    def facts_before(
        self, tenant: str, aggregate_ids: Collection[UUID], *, before: int, budget: Budget
    ) -> list[Fact]:
        """Of each of these aggregates the first, and the newest FACTS_MAX before a position; but
        for progress."""

    def facts_after(
        self, tenant: str, versions: Mapping[UUID, int], *, budget: Budget
    ) -> list[Fact]:
        """Of each of these aggregates the first FACTS_MAX behind a version; but for progress."""

    def births(self, tenant: str, task_ids: Collection[UUID], *, budget: Budget) -> list[Fact]:
        """The submissions of the children of these tasks, FACTS_MAX in all."""

    def facts_that_name(
        self, tenant: str, positions: Collection[int], *, budget: Budget
    ) -> list[Fact]:
        """Those that were recorded with one of these as their cause, FACTS_MAX in all. But for
        assignments and progress: they name an event of their own task."""

    def lost_leases(self, tenant: str, silences: Sequence[Fact], *, budget: Budget) -> list[Fact]:
        """The leases that expired after an agent went offline while it held them, FACTS_MAX for
        each."""
