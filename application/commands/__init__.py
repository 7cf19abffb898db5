"""Commands: requests that may be refused. One module a kind of aggregate, in lifecycle order."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asks, under which id, and because of what.

    `command_id` is unique in the log: a command that is repeated under it gets the first answer.
    `fingerprint` is a digest of the whole request, and tells a repetition from another request
    under the same id; it is None for a command that nobody can repeat (its id was drawn for it).
    `causation_id` is the cursor of the event that this answers, None when a person or program
    began it.
    """

    tenant: str
    actor: str
    command_id: UUID
    fingerprint: bytes | None = None
    expected_version: int | None = None
    causation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that may be refused."""

    origin: Origin
