"""The audit trail as it is written: commands and reads before they are answered, refusals in the
background.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import structlog

from application.access import OPERATOR_TENANT
from application.audit.flood import Count, Flood
from application.audit.ports import Owners, Thing
from application.commands import Command, Origin
from application.commands.audit import CountRefusals, RecordCommand, RecordRead, RecordRefusal
from application.duties import cancelled
from application.ids import uuid7
from application.ports import Clock
from application.receipt import Receipt
from domain.audit_trail import Asked
from domain.errors import ControlPlaneError, DatabaseUnavailable

REFUSALS_WAITING_MAX = 1_000
REFUSALS_AT_ONCE = 100
AWAY_PAUSE_SECONDS = 0.5
FLUSH_SECONDS_MAX = 2.0
ANONYMOUS = "anonymous"
"""The actor of whoever did not say, or not believably, who they are."""
COUNTER = "process/audit"

log = structlog.get_logger("audit")


class Commands(Protocol):
    """The way to the writer."""

    async def execute(self, command: Command) -> Receipt:
        """Decide and record one command."""

    async def execute_many(
        self, commands: Sequence[Command]
    ) -> Sequence[Receipt | ControlPlaneError]:
        """The same for many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Somebody was refused. `tenant` is None where it is not known whose matter it is; `account` is
    a username or an id that somebody signed in with in vain, and may name nobody.

    `things` is set for what was answered with "not found": it was a refusal if one of them belongs
    to another tenant, or (`to_all_others`) if there is one at all.
    """

    tenant: str | None
    actor: str
    asked: Asked
    status: int
    code: str
    traceparent: str | None = None
    account: Thing | None = None
    things: tuple[Thing, ...] = ()
    to_all_others: bool = False

    @property
    def under(self) -> str:
        """The tenant whose trail it belongs to: without another, the operator's."""
        return self.tenant or OPERATOR_TENANT

    @property
    def looked_up(self) -> tuple[Thing, ...]:
        """What has to be known of before it can be recorded."""
        return self.things if self.account is None else (*self.things, self.account)

    def among(self, tenants: Mapping[Thing, str]) -> "Refusal | None":
        """The refusal with what was looked up; None where there was nothing to be refused.

        What was typed for a name that nobody has may be a password, and is kept nowhere.
        """
        if self.account is not None:
            tenant = tenants.get(self.account)
            about = {"account": str(self.account)} if tenant else {}
            asked = replace(self.asked, about={**self.asked.about, **about})
            return replace(self, tenant=tenant, asked=asked)
        owners = {tenants[thing] for thing in self.things if thing in tenants}
        return self if owners and (self.to_all_others or owners != {self.tenant}) else None


class AuditTrail:
    """Writes what this process sees. One trail a tenant, begun anew with the process, so that
    processes never wait for one another. Belongs to the event loop.
    """

    def __init__(
        self,
        commands: Commands,
        owners: Owners,
        clock: Clock,
        *,
        replay_owner: Callable[[UUID], str | None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._owners = owners
        self._replay_owner = replay_owner
        self._flood = Flood(clock, timer)
        self._trails: dict[str, UUID] = {}
        self._suspects: deque[Refusal] = deque()
        self._refusals: deque[Refusal] = deque()
        self._counts: list[Count] = []
        self._something_new = asyncio.Event()

    async def command(self, origin: Origin, asked: Asked, *, status: int, code: str | None) -> None:
        """Record a command and its answer, durably. Raises DatabaseUnavailable."""
        await self._commands.execute(
            RecordCommand(
                origin=origin,
                trail_id=self._trail(origin.tenant),
                asked=asked,
                status=status,
                code=code,
            )
        )

    async def read(self, origin: Origin, asked: Asked) -> int:
        """Record a read, durably; the position of the entry. Raises DatabaseUnavailable."""
        trail_id = self._trail(origin.tenant)
        receipt = await self._commands.execute(
            RecordRead(origin=origin, trail_id=trail_id, asked=asked)
        )
        return receipt.cursor.position

    def refuse(self, refusal: Refusal) -> None:
        """Record a refusal soon. Never waits, never fails; what is too much is counted."""
        if refusal.looked_up:
            if len(self._suspects) < REFUSALS_WAITING_MAX:
                self._suspects.append(refusal)
            else:
                # Whether it was one is not known: the count says "at most".
                self._flood.count(refusal.under, refusal.asked.address)
        else:
            self._admit(refusal)
        self._something_new.set()

    async def run(self) -> None:
        """Write refusals for ever, through outages of the database."""
        while not cancelled():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._flood.ends_in_seconds):
                    await self._something_new.wait()
            self._something_new.clear()
            try:
                await self._write_all()
            except DatabaseUnavailable:
                self._something_new.set()
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def flush(self) -> None:
        """Write what waits, before the process ends, for at most 2 s."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS_MAX):
                self._counts.extend(self._flood.take_counts(at_once=True))
                await self._write_all()
        except (TimeoutError, DatabaseUnavailable):
            log.warning("refusals_lost", count=len(self._suspects) + len(self._refusals))

    async def _write_all(self) -> None:
        while self._suspects:
            await self._look_into([*self._suspects][:REFUSALS_AT_ONCE])
        self._counts.extend(self._flood.take_counts())
        while self._refusals or self._counts:
            refusals = [*self._refusals][:REFUSALS_AT_ONCE]
            counts = self._counts[:REFUSALS_AT_ONCE]
            entries = [*map(self._entry, refusals), *map(self._count, counts)]
            await self._commands.execute_many(entries)
            for _ in refusals:
                self._refusals.popleft()
            del self._counts[: len(counts)]

    async def _look_into(self, suspects: Sequence[Refusal]) -> None:
        """Whose the matter of each is, all at once. Raises DatabaseUnavailable."""
        things = {thing for one in suspects for thing in one.looked_up}
        tenants = dict(await self._owners.tenants_of(things))
        for thing in things:
            # Replays stand in no table.
            if isinstance(thing, UUID) and (tenant := self._replay_owner(thing)):
                tenants[thing] = tenant
        for one in suspects:
            self._suspects.popleft()
            if found := one.among(tenants):
                self._admit(found)

    def _admit(self, refusal: Refusal) -> None:
        tenant, address = refusal.under, refusal.asked.address
        if len(self._refusals) >= REFUSALS_WAITING_MAX:
            self._flood.count(tenant, address)
        elif self._flood.lets_through(tenant, address):
            self._refusals.append(refusal)

    def _entry(self, refusal: Refusal) -> Command:
        return RecordRefusal(
            origin=Origin(
                tenant=refusal.under,
                actor=refusal.actor,
                command_id=uuid7(),
                traceparent=refusal.traceparent,
            ),
            trail_id=self._trail(refusal.under),
            asked=refusal.asked,
            status=refusal.status,
            code=refusal.code,
        )

    def _count(self, count: Count) -> Command:
        return CountRefusals(
            origin=Origin(tenant=count.tenant, actor=COUNTER, command_id=uuid7()),
            trail_id=self._trail(count.tenant),
            address=count.address,
            count=count.count,
            since=count.since,
            until=count.until,
        )

    def _trail(self, tenant: str) -> UUID:
        if tenant not in self._trails:
            self._trails[tenant] = uuid7()
        return self._trails[tenant]
