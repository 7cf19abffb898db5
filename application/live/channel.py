"""Channels: what of the log somebody listens to, and what one may have to know to listen."""

import re
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from application.access import Principal, Resource, authorize
from domain.errors import Invalid

SCOPES: dict[str, tuple[str, ...]] = {
    "tasks": ("tasks:read",),
    "agents": ("agents:read",),
    "collaborations": ("tasks:read",),
    "system": ("audit:read",),
    "audit": ("audit:read",),
    "metrics": ("tasks:read", "agents:read"),
    "output": ("tasks:read",),
    "replay": ("audit:read",),
}
"""The families of channels, and the scopes that it takes to listen to them."""
OF_ONE_THING = frozenset({"tasks", "agents", "collaborations", "output", "replay"})
OF_ONE_THING_ALONE = frozenset({"output", "replay"})
VOLATILE = frozenset({"metrics", "output", "replay"})
"""Never in the log, and without a cursor. For slow readers they are coalesced, but for replays,
which wait."""
AUDITED = frozenset({"system", "audit", "replay"})
"""Whoever listens to these reads the log as an auditor does, and the audit trail tells of it."""
FAMILY_OF = {
    "task": "tasks",
    "agent": "agents",
    "collaboration": "collaborations",
    "audit": "audit",
}
"""By the first word of a topic; every other topic belongs to `system`."""
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class BadChannel(Invalid):
    """There is no such channel."""

    code = "bad_channel"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:100]!r} is no channel; there are tasks, agents, collaborations, each also "
            "with .<id> for one alone, system, audit, metrics, output.<task id> and "
            "replay.<replay id>."
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """A family of channels, and the one thing of it that is listened to, or all."""

    family: str
    thing_id: UUID | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadChannel."""
        family, dot, thing = text.partition(".")
        if family not in SCOPES or (not dot and family in OF_ONE_THING_ALONE):
            raise BadChannel(text)
        if not dot:
            return cls(family)
        if family not in OF_ONE_THING or not UUID_TEXT.fullmatch(thing.lower()):
            raise BadChannel(text)
        return cls(family, UUID(thing))

    def __str__(self) -> str:
        return self.family if self.thing_id is None else f"{self.family}.{self.thing_id}"

    @property
    def volatile(self) -> bool:
        """Whether what comes over it is never in the log."""
        return self.family in VOLATILE

    def require(self, principal: Principal) -> None:
        """Raises InsufficientScope for those who may not listen."""
        for scope in SCOPES[self.family]:
            authorize(principal, scope, Resource(tenant=principal.tenant))


def family_of(topic: str) -> str:
    """The family of channels that an event belongs to."""
    return FAMILY_OF.get(topic.partition(".")[0], "system")
