"""Commands: requests that may be refused. One module a kind of aggregate, in lifecycle order."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a request repeatable: its id, and a digest that tells it from another under the
    same id."""

    command_id: UUID
    fingerprint: bytes


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
    def needs(self) -> tuple[UUID, ...]:
        """The ids of the aggregates that its handler looks for, whether there are any or not."""
        return ()
