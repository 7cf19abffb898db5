"""The keys of subjects that this process used lately, opened; an erased one opens nothing."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from application.duties import cancelled
from application.erasure.errors import SubjectLocked
from application.erasure.ports import Cipher, Erasure, SubjectKeys, SubjectVault, UnreadableKey
from application.ports import Clock
from domain.errors import DatabaseUnavailable

KEYS_MAX = 10_000
LOOK_SECONDS = 0.5
LOOK_BACK = timedelta(seconds=60)
"""Each erasure is looked at again for so long: a key that was being read when it was destroyed may
be put here afterwards. No query takes half as long."""

log = structlog.get_logger("erasure")


class Locked:
    """The Cipher of a key that cannot be opened here: nothing goes in, nothing comes out."""

    def seal(self, place: bytes, content: bytes) -> bytes:
        """Raises SubjectLocked."""
        raise SubjectLocked

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Raises UnreadableKey."""
        raise UnreadableKey("its key was wrapped with another signing key")


class SubjectKey:
    """The key of a subject, one object for all who hold it in this process. `cipher` is None once
    it was destroyed."""

    __slots__ = ("__weakref__", "cipher", "subject_id")

    def __init__(self, subject_id: UUID, cipher: Cipher | None) -> None:
        self.subject_id = subject_id
        self.cipher = cipher

    @property
    def locked(self) -> bool:
        """Whether it is there, and cannot be opened here."""
        return isinstance(self.cipher, Locked)


class Keyring:
    """For one event loop."""

    def __init__(self, store: SubjectKeys, vault: SubjectVault) -> None:
        self._store = store
        self._vault = vault
        self._lately: OrderedDict[UUID, SubjectKey] = OrderedDict()
        self._known: WeakValueDictionary[UUID, SubjectKey] = WeakValueDictionary()
        self._when_erased: list[Callable[[UUID], Any]] = []
        # Those of the latest look, and since.
        self._erased: set[UUID] = set()
        self._since: datetime | None = None

    def when_erased(self, forget: Callable[[UUID], Any]) -> None:
        """From now on, have what was opened under a key forgotten as soon as it is erased."""
        self._when_erased.append(forget)

    async def load(self, subject_ids: Collection[UUID]) -> dict[UUID, SubjectKey]:
        """The keys of these. A subject without a row counts as erased: its key is nowhere.

        One that cannot be opened is Locked. Raises DatabaseUnavailable.
        """
        found: dict[UUID, SubjectKey] = {}
        for subject_id in subject_ids:
            if key := self._known.get(subject_id):
                found[subject_id] = key
                self._keep(key)
        if missing := [one for one in subject_ids if one not in found]:
            rows = {row.subject_id: row.wrapped for row in await self._store.find(missing)}
            for subject_id in missing:
                key = self._known.get(subject_id)
                if key is None:
                    key = SubjectKey(subject_id, self._cipher(subject_id, rows.get(subject_id)))
                    self._known[subject_id] = key
                found[subject_id] = key
                self._keep(key)
        return found

    def get(self, subject_id: UUID) -> SubjectKey:
        """One that was loaded just now. Raises KeyError."""
        return self._known[subject_id]

    async def make(self, tenant: str, subject_ids: Collection[UUID]) -> None:
        """See to it that each of these has, or had, a key. Raises DatabaseUnavailable."""
        missing = [one for one in subject_ids if one not in self._known]
        if missing:
            wrapped = {one: self._vault.new_key(one) for one in missing}
            await self._store.add(tenant, wrapped)

    def erase(self, subject_id: UUID) -> bool:
        """Forget a key that was destroyed, and have all forgotten that was opened with it; False
        when it was done before.

        Whether the key is here or not: what was opened with it may have outlived it here.
        """
        key = self._known.get(subject_id)
        if key is None:
            # It may be being read this very moment: whoever reads it finds this one here.
            key = self._known[subject_id] = SubjectKey(subject_id, None)
            self._keep(key)
        if key.cipher is None and subject_id in self._erased:
            return False
        key.cipher = None
        self._erased.add(subject_id)
        for forget in self._when_erased:
            forget(subject_id)
        return True

    async def watch(self, clock: Clock, note: Callable[[Sequence[Erasure]], Any]) -> None:
        """For ever: erase here what was destroyed by any process, and note what was lately.

        So a key is used for at most a second after its destruction, as long as the database
        answers.
        """
        self._since = self._since or clock() - LOOK_BACK
        while not cancelled():
            await asyncio.sleep(LOOK_SECONDS)
            try:
                now = clock()
                erased = await self._store.erased(since=self._since)
                for erasure in erased:
                    if self.erase(erasure.subject_id):
                        await asyncio.sleep(0)
                self._erased.intersection_update([one.subject_id for one in erased])
                note(erased)
            except DatabaseUnavailable as error:
                log.debug("erasures_not_seen", reason=str(error))
            else:
                self._since = now - LOOK_BACK

    def _keep(self, key: SubjectKey) -> None:
        self._lately[key.subject_id] = key
        self._lately.move_to_end(key.subject_id)
        if len(self._lately) > KEYS_MAX:
            self._lately.popitem(last=False)

    def _cipher(self, subject_id: UUID, wrapped: bytes | None) -> Cipher | None:
        if wrapped is None:
            return None
        try:
            return self._vault.cipher(subject_id, wrapped)
        except UnreadableKey:
            # One task that cannot be reported must not keep the others from being dispatched.
            log.warning("subject_locked", subject_id=str(subject_id))
            return Locked()
