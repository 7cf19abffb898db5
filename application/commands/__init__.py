"""Commands: requests that may be refused. One module a kind of aggregate, in lifecycle order."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a request repeatable: its id, and a digest that tells it from another under the
    same id."""

    command_id: UUID
    fingerprint: bytes
    former_fingerprint: bytes | None = field(default=None, compare=False, repr=False)
    """As it was made before 2026-11-23; what was kept by then is still asked for again."""

    def has(self, fingerprint: bytes) -> bool:
        """Whether a request that was kept with this fingerprint is the same."""
        return fingerprint in (self.fingerprint, self.former_fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asks, under which id, and because of what.

    `causation_id` is the cursor of the event that this answers, None when a person or program
    began it.
    """

    tenant: str
    actor: str
    command_id: UUID
    expected_version: int | None = None
    causation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that may be refused."""

    origin: Origin

    @property
    def about(self) -> UUID | None:
        """The subject whose key its handler seals with, beside those of the aggregates."""
        return None

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The ids of the aggregates that its handler looks for, whether there are any or not."""
        return ()
