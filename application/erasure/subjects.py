"""Subjects: their keys are made with their first task, and destroyed when somebody erases them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from application.commands import Origin
from application.commands.subjects import EraseSubject
from application.duties import cancelled
from application.erasure.errors import SubjectNotFound
from application.erasure.keyring import Keyring
from application.erasure.ports import Erasure, ErasureList, SubjectKeys, SubjectVault
from application.ids import uuid7
from application.ports import Clock
from application.receipt import Receipt
from application.writer import Commands
from domain.errors import DatabaseUnavailable, VersionMismatch

RECORDED_AT_ONCE = 200
AWAY_PAUSE_SECONDS = 0.5

log = structlog.get_logger("erasure")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectStanding:
    """What is known of a subject; `erased_at` is None while it has its key."""

    subject_id: UUID
    erased_at: datetime | None


class Subjects:
    """Each method that waits raises DatabaseUnavailable.

    To erase is three steps: it is listed outside the database, the key is destroyed, the log tells
    of it. Each is durable before the next begins, and each may be done twice. What a crash leaves
    undone is done at the next start, from the list; what a failure leaves undone, by `keep`.
    """

    def __init__(
        self,
        keyring: Keyring,
        vault: SubjectVault,
        store: SubjectKeys,
        erasures: ErasureList,
        clock: Clock,
    ) -> None:
        self._keyring = keyring
        self._vault = vault
        self._store = store
        self._erasures = erasures
        self._clock = clock
        self._new: dict[UUID, Erasure] = {}
        self._kept: set[UUID] = set()
        self._something_new = asyncio.Event()

    async def ids_of(self, tenant: str, names: Iterable[str]) -> dict[str, UUID]:
        """The ids of subjects that tasks are submitted about. Each has its key from then on,
        unless it was erased."""
        ids = {name: self._vault.id_of(tenant, name) for name in set(names)}
        await self._keyring.make(tenant, ids.values())
        return ids

    async def show(self, tenant: str, name: str) -> SubjectStanding:
        """Raises SubjectNotFound."""
        subject_id = self._vault.id_of(tenant, name)
        rows = await self._store.find([subject_id])
        if not rows:
            raise SubjectNotFound
        return SubjectStanding(subject_id=subject_id, erased_at=rows[0].erased_at)

    async def destroy_key(
        self, tenant: str, name: str, *, actor: str, expected_version: int | None
    ) -> UUID:
        """Destroy the key of a subject for good, and tell its id. Once more changes nothing.

        What remains to be done is EraseSubject; whoever is kept from it may repeat both. Raises
        SubjectNotFound, VersionMismatch, ErasureNotKept; nothing was destroyed then.
        """
        standing = await self.show(tenant, name)
        if standing.erased_at is None and expected_version not in {None, 0}:
            # What was erased before is compared by the command, which knows its repetitions.
            assert expected_version is not None
            raise VersionMismatch(standing.subject_id, expected=expected_version, found=0)
        erasure = Erasure(
            subject_id=standing.subject_id,
            tenant=tenant,
            erased_at=standing.erased_at or self._clock(),
            actor=actor,
        )
        await asyncio.to_thread(self._erasures.add, [erasure])
        await self._store.destroy([erasure])
        self._keyring.erase(erasure.subject_id)
        return erasure.subject_id

    async def destroy_listed(self) -> None:
        """Before anybody is served: no key of the list is there, whatever database this is, and the
        list knows all that the database knows. Raises ErasuresUnreadable, ErasureNotKept."""
        listed = await asyncio.to_thread(self._erasures.read)
        known = await self._store.erased()
        gone = {one.subject_id for one in known}
        await self._store.destroy([one for one in listed if one.subject_id not in gone])
        await asyncio.to_thread(self._erasures.add, known)

    async def finish(self, commands: Commands) -> None:
        """The log tells of every key that was destroyed; what is refused waits for the next
        call."""
        while unrecorded := await self._store.unrecorded(limit=RECORDED_AT_ONCE):
            outcomes = await commands.execute_many([_command(one) for one in unrecorded])
            refused = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
            if refused:
                log.error("erasures_not_recorded", count=len(refused), reason=str(refused[0]))
                return

    async def watch(self) -> None:
        """For ever: see Keyring.watch. What was erased, here or by others, `keep` is told of."""
        await self._keyring.watch(self._clock, self._note)

    async def keep(self, commands: Commands) -> None:
        """For ever: what was erased anywhere is in the list here as well, and in the log. Apart
        from `watch`, which must go on when there is no place for the list.

        Raises ErasureNotKept, ErasuresUnreadable; another call goes on with the same.
        """
        while not cancelled():
            await self._something_new.wait()
            self._something_new.clear()
            taken = list(self._new.values())
            try:
                await asyncio.to_thread(self._erasures.add, taken)
                await self.finish(commands)
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_PAUSE_SECONDS)
            else:
                for one in taken:
                    self._kept.add(one.subject_id)
                    del self._new[one.subject_id]
            finally:
                if self._new:
                    self._something_new.set()

    def _note(self, erased: Sequence[Erasure]) -> None:
        # Each is seen again and again for a while.
        self._kept.intersection_update([one.subject_id for one in erased])
        self._new.update(
            {one.subject_id: one for one in erased if one.subject_id not in self._kept}
        )
        if self._new:
            self._something_new.set()


def _command(erasure: Erasure) -> EraseSubject:
    origin = Origin(tenant=erasure.tenant, actor=erasure.actor, command_id=uuid7())
    return EraseSubject(origin=origin, subject_id=erasure.subject_id)
