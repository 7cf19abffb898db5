"""Takes exported histories of tasks and agents into the log: all of an export, or nothing."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from application.commands import Origin, RequestKey
from application.commands.imports import ImportHistory
from application.cursor import Cursor
from application.erasure.disclosure import Disclosure
from application.erasure.keyring import Keyring
from application.erasure.sealing import Sealing
from application.erasure.subjects import Subjects
from application.export.manifest import Manifest
from application.imports.folding import Folding, Here, Taken
from application.imports.lines import Line, Reads, read_export
from application.imports.personal import subjects_of
from application.imports.refusals import ImportTooLarge, TooManyImports
from application.live.channel import Channel, family_of
from application.live.interest import Interest, Subscription
from application.live.ports import History
from application.ports import Clock, EventLog, Record, UnreadableEvent
from application.seals.ports import SignatureCheck, Signer
from application.seals.proofs import Proofs
from application.time_travel.frames import UnreadableHistory
from application.turnstile import Turnstile
from application.writer import Commands
from domain.aggregate import Aggregate
from domain.errors import ConcurrentChange
from domain.task import Task

IMPORTS_OF_TENANT_MAX = 1
IMPORTS_MAX = 2
"""At a time, of this process: each holds its export in memory."""
HERE_BYTES_MAX = 32 * 2**20
"""Of what is here already: an export that is the same cannot have more."""
ATTEMPTS_MAX = 5
"""To look at what is here and decide, while others change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An import as it was asked for: the bytes of the export, the ids of the keys that are trusted
    beside our own, and the names of subjects by the pseudonyms that they have in the export."""

    content: bytes
    trusted: Collection[str] = ()
    subjects: Mapping[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an import: how many `events` it took in, of how many tasks and agents, how many
    were here already, and where the log stands."""

    manifest: Manifest
    events: int
    aggregates: int
    skipped: int
    cursor: Cursor
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What knows of subjects."""

    subjects: Subjects
    keyring: Keyring
    sealing: Sealing
    disclosure: Disclosure


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How exports are checked: whether a signature is one, and which keys are our own."""

    signed: SignatureCheck
    signer: Signer
    proofs: Proofs

    async def own_keys(self) -> set[str]:
        """Their ids, former ones too. Raises DatabaseUnavailable."""
        return {self.signer.key_id, *await self.proofs.keys()}


class Imports:
    """Belongs to the event loop; what takes long is done on threads.

    Repeating an import is safe: what is here already is compared and skipped.
    """

    def __init__(
        self,
        log: EventLog,
        history: History,
        commands: Commands,
        *,
        personal: Personal,
        trust: Trust,
        clock: Clock,
    ) -> None:
        self._log = log
        self._history = history
        self._commands = commands
        self._personal = personal
        self._trust = trust
        self._clock = clock
        self._turnstile = Turnstile(IMPORTS_OF_TENANT_MAX, IMPORTS_MAX, full=TooManyImports)

    def under_way(self, tenant: str) -> AbstractContextManager[None]:
        """While one is read and taken in. Raises TooManyImports."""
        return self._turnstile.one(tenant)

    async def take(
        self, wanted: Wanted, read: Reads, *, origin: Origin, key: RequestKey | None
    ) -> Done:
        """Take an export in, in one append. `read` is how a line is read.

        Raises BadExport, UntrustedKey, ImportTooLarge, BadEvent, NotImportable, HistoryDiffers,
        HistoryIncomplete, IdTaken, AgentIdDiffers, AgentsMissing, SubjectsUnknown, SubjectErased,
        SubjectLocked, ExportLocked, UnreadableHistory, ConcurrentChange, IdempotencyKeyReused,
        DatabaseUnavailable.
        """
        trusted = (await self._trust.own_keys()).union(wanted.trusted)
        reading = partial(read_export, wanted.content, read, self._trust.signed, trusted)
        manifest, lines = await asyncio.to_thread(reading)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            taken = await self._compared(lines, wanted.subjects, origin.tenant)
            command = ImportHistory(
                origin=origin,
                entries=taken.entries,
                aggregates=taken.aggregates,
                former_versions=taken.former_versions,
            )
            try:
                receipt = await self._commands.execute(command, key)
            except ConcurrentChange:
                if attempt == ATTEMPTS_MAX:
                    raise
            else:
                return Done(
                    manifest=manifest,
                    events=receipt.version,
                    aggregates=len({line.aggregate_id for line in lines}),
                    skipped=len(lines) - receipt.version,
                    cursor=receipt.cursor,
                    replayed=receipt.replayed,
                )
        raise AssertionError("the last attempt raises")

    async def _compared(
        self, lines: Sequence[Line], names: Mapping[UUID, str], tenant: str
    ) -> Taken:
        """What of it is to be recorded, as the log stands now."""
        here = await self._here(lines, tenant)
        subjects, keys = await self._subjects(lines, here.aggregates, names, tenant)
        folding = Folding(
            tenant,
            here,
            subjects,
            log=self._log,
            sealing=self._personal.sealing,
            now=self._clock(),
        )
        taken = await asyncio.to_thread(folding.fold, lines)
        # The keyring forgets keys that nobody holds.
        assert keys is not None
        return taken

    async def _subjects(
        self,
        lines: Sequence[Line],
        present: Mapping[UUID, Aggregate],
        names: Mapping[UUID, str],
        tenant: str,
    ) -> tuple[dict[UUID, UUID], object]:
        """Who is who here, and their keys, to be held while they are used."""
        pseudonyms = {line.subject_id for line in lines if line.subject_id}
        ids = await self._personal.subjects.ids_of(
            tenant, {name for one, name in names.items() if one in pseudonyms}
        )
        given = {one: ids[name] for one, name in names.items() if one in pseudonyms}
        keyring = self._personal.keyring
        rows = await keyring.load(pseudonyms) if pseudonyms else {}
        without_key = [one for one, key in rows.items() if key.cipher is None]
        found = subjects_of(lines, present, given, without_key=without_key)
        tasks = (one for one in present.values() if isinstance(one, Task) and one.subject_id)
        wanted = {*found.values(), *(one.subject_id for one in tasks if one.subject_id)}
        return found, (rows, await keyring.load(wanted) if wanted else {})

    async def _here(self, lines: Sequence[Line], tenant: str) -> Here:
        """What the log has of what the export speaks of. Raises UnreadableHistory."""
        ids = {line.aggregate_id for line in lines}
        named = {line.agent_id for line in lines if line.agent_id}
        related = {one for line in lines for one in line.relatives}
        loaded = await asyncio.to_thread(self._log.load_many, [*ids | named | related])
        aggregates: dict[UUID, Aggregate] = {}
        for aggregate_id, found in loaded.items():
            if isinstance(found, UnreadableEvent):
                raise UnreadableHistory(f"{aggregate_id} cannot be read by this release.")
            aggregates[aggregate_id] = found
        own = [one for i in ids if (one := aggregates.get(i)) and one.tenant == tenant]
        wanted = {(line.aggregate_id, line.version) for line in lines}
        return Here(aggregates=aggregates, events=await self._events(own, wanted, tenant))

    async def _events(
        self, of: Sequence[Aggregate], wanted: Collection[tuple[UUID, int]], tenant: str
    ) -> dict[tuple[UUID, int], Record]:
        """Those of the events that there are, by aggregate and version, as they may be shown."""
        channels = [Channel(family_of(f"{one.TOPIC}."), one.id) for one in of]
        interest = Interest.of(tenant, map(Subscription, channels))
        found: dict[tuple[UUID, int], Record] = {}
        size, after = 0, 0
        until = await asyncio.to_thread(self._log.head) if of else 0
        while after < until:
            page, after = await self._history.read(interest, after=after, until=until)
            page = [one for one in page if (one.aggregate_id, one.version) in wanted]
            for record in await self._personal.disclosure.records(page):
                found[record.aggregate_id, record.version] = record
                size += len(record.state)
            if size > HERE_BYTES_MAX:
                raise ImportTooLarge("tasks of which more is here", "32 MiB to compare")
        return found
