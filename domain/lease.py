"""The right of one agent to work on one attempt of a task until a moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds which attempt, and until when unless a heartbeat renews it.

    The attempt number is the fencing token: a report that names another attempt is refused,
    whatever the clocks say. The expiry only decides when somebody else may try.
    """

    task_id: UUID
    attempt: int
    agent_id: UUID
    expires_at: datetime

    def renewed(self, now: datetime, term: timedelta) -> "Lease":
        """The same lease, one term from now; never shorter than it was."""
        expires_at = max(self.expires_at, now + term)
        return Lease(
            task_id=self.task_id,
            attempt=self.attempt,
            agent_id=self.agent_id,
            expires_at=expires_at,
        )

    def expired(self, now: datetime) -> bool:
        """Whether its term is over."""
        return now >= self.expires_at
