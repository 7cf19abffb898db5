"""What erasing needs from the outside: secrets, a place for keys, and a list that outlives it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A subject that was erased, when, and by whom."""

    subject_id: UUID
    tenant: str
    erased_at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as it is kept: wrapped, or None once it was destroyed."""

    subject_id: UUID
    wrapped: bytes | None
    erased_at: datetime | None


class UnreadableKey(Exception):
    """A wrapped key, or what was sealed under it, cannot be opened with what is known here."""


class Cipher(Protocol):
    """Encrypts under the key of one subject. `place` is where a content belongs: what is moved
    elsewhere does not open."""

    def seal(self, place: bytes, content: bytes) -> bytes:
        """Different each time, also for the same content."""

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Raises UnreadableKey."""


class SubjectVault(Protocol):
    """The secrets of the service that are not in its database."""

    def id_of(self, tenant: str, name: str) -> UUID:
        """The id of a subject: always the same, and nobody without the secret can tell whose."""

    def new_key(self, subject_id: UUID) -> bytes:
        """A new key, wrapped."""

    def cipher(self, subject_id: UUID, wrapped: bytes) -> Cipher:
        """What a key is good for. Raises UnreadableKey."""

    def mark(self, place: bytes, sealed: bytes) -> bytes:
        """16 bytes that only this service can make: what bears them was sealed here, for there."""


class SubjectKeys(Protocol):
    """Where the wrapped keys are kept. Each method raises DatabaseUnavailable."""

    async def find(self, subject_ids: Collection[UUID]) -> Sequence[StoredKey]:
        """Those that there are."""

    async def add(self, tenant: str, wrapped: dict[UUID, bytes]) -> None:
        """Keep new keys durably, but for subjects that have, or had, one already."""

    async def destroy(self, erasures: Sequence[Erasure]) -> None:
        """Destroy these keys durably, also of subjects that are not known; again changes
        nothing."""

    async def erased(self, *, since: datetime | None = None) -> Sequence[Erasure]:
        """Those that were destroyed, or were lately, oldest first."""

    async def unrecorded(self, *, limit: int) -> Sequence[Erasure]:
        """Those that were destroyed and of which the log does not tell."""


class ErasureList(Protocol):
    """The subjects that were erased, kept apart from the database, so that no older one brings
    them back. Each method raises ErasuresUnreadable."""

    def read(self) -> list[Erasure]:
        """All of them, oldest first."""

    def add(self, erasures: Sequence[Erasure]) -> None:
        """Keep these durably too, unless they are there. Raises ErasureNotKept."""
