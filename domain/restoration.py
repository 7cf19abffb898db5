"""Restoration: what began an epoch of the store, written down and signed as its first event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent

TITLE = "musterroll restoration, version 1"
SIGNED = (
    *("log", "from_epoch", "to_epoch", "at_position", "size", "root", "issued", "archive_id"),
    *("manifest_sha256", "undone", "key_id"),
)
"""The members that the signature is over, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """That `from_epoch` of a log has ended, and `to_epoch` goes on from `at_position`.

    The `size` events up to there have the Merkle root `root` (hexadecimal); up to `issued` every
    position was handed out before. `archive_id` and the SHA-256 of its manifest (hexadecimal) tell
    what was restored, None where a store that was put aside came back (`undone`). `key_id` names
    the key that signs, one that seals.
    """

    log: UUID
    from_epoch: int
    to_epoch: int
    at_position: int
    size: int
    root: str
    issued: int
    archive_id: UUID | None
    manifest_sha256: str | None
    undone: bool
    key_id: str

    @property
    def text(self) -> bytes:
        """What is signed: the title, then a line for each member, its value as JSON shows it."""
        values = {name: getattr(self, name) for name in SIGNED}
        lines = [TITLE, *(f"{name} {_shown(value)}" for name, value in values.items())]
        return "".join(f"{line}\n" for line in lines).encode()


def _shown(value: object) -> str:
    """As JSON has it: ids and digests hold nothing that would have to be escaped."""
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    return f'"{value}"'


class StoreSnapshot(TypedDict):
    """Everything that a Store remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str


class Store(Aggregate):
    """The store in one epoch, as far as it is known how that began. Nothing is decided upon it."""

    TOPIC = "store"
    SNAPSHOT: ClassVar[Any] = StoreSnapshot

    # Events. TOPIC is the name in the log: it never changes.

    class Restored(FirstEvent):
        """The first event of an epoch. Members as `Restoration` has them, with its signature."""

        TOPIC = "store.restored"
        tenant: str
        log: UUID
        from_epoch: int
        to_epoch: int
        at_position: int
        size: int
        root: str
        issued: int
        archive_id: UUID | None
        manifest_sha256: str | None
        undone: bool
        key_id: str
        signature: str

    # Decisions: it happened.

    @classmethod
    def record(
        cls,
        restoration_id: UUID,
        restored: Restoration,
        signature: str,
        *,
        tenant: str,
        now: datetime,
    ) -> Self:
        """A restore, with the signature of its text in hexadecimal."""
        members = {name: getattr(restored, name) for name in SIGNED}
        return cls._create(
            cls.Restored,
            id=restoration_id,
            timestamp=now,
            tenant=tenant,
            signature=signature,
            **members,
        )

    # Evolution: nothing is remembered but whose it is.

    @event(Restored)
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
