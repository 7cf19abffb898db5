"""What sealing, proving and verifying need from the outside."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.seals.head import Head
from domain.errors import Conflict, Unavailable
from domain.merkle import Node, Tree
from domain.restoration import Restoration

NODE_HEIGHT_MIN = 8
"""Nodes below are not kept: they are worked out of at most 256 leaves."""


class SealedElsewhere(Unavailable):
    """Another process sealed the same block: look again where the seals stand."""

    code = "sealed_elsewhere"


class HeadsDiffer(Conflict):
    """The heads in the file and those in the database are not of one history."""

    code = "heads_differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands in the log behind the last seal: the leaf hashes of its events, and the position
    and time of the last of them. `now` is the database's time."""

    leaves: Sequence[bytes]
    position: int
    recorded_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A head, and the leaf hashes of its block: of the events since the head before."""

    head: Head
    former_size: int
    leaves: bytes


@dataclass(frozen=True, slots=True)
class Restoring:
    """A `store.restored` as it stands in the log: what it says, its signature, and how many events
    stand before it."""

    restored: Restoration
    signature: bytes
    size: int


class Signer(Protocol):
    """Signs with a key of its own."""

    @property
    def key_id(self) -> str:
        """The SHA-256 of the public key, in hexadecimal."""

    @property
    def public_key(self) -> bytes:
        """Ed25519, 32 bytes."""

    def sign(self, text: bytes) -> bytes:
        """Ed25519, 64 bytes."""


class SignatureCheck(Protocol):
    """Tells whether a signature is one."""

    def __call__(self, public_key: bytes, text: bytes, signature: bytes) -> bool:
        """False for whatever is wrong with any of the three."""


class SealStore(Protocol):
    """Seals, for whoever makes them. Everything raises DatabaseUnavailable."""

    def keep_key(self, key_id: str, public_key: bytes) -> None:
        """Make the key known to those who ask for it; it stays known."""

    def last(self) -> Head | None:
        """The newest head."""

    def tree(self, size: int) -> Tree:
        """The tree as it was sealed at this size."""

    def heads(self, *, after: int, limit: int) -> Sequence[Head]:
        """Those of a larger size, smallest first."""

    def head(self, size: int) -> Head | None:
        """The one of this size."""

    def size_before(self, epoch: int) -> int:
        """How many events were sealed when an epoch began."""

    def next_blocks(self, *, after: int, events: int, blocks: int) -> Sequence[Block]:
        """The events behind a position, in its order: so many blocks at most, each of so many
        events, the last perhaps of fewer."""

    def keep(self, seals: Sequence[Seal], nodes: Mapping[Node, bytes]) -> None:
        """Durably, with the nodes that they completed, all or nothing. Raises SealedElsewhere."""


class HeadsFile(Protocol):
    """Heads outside of the database. What was written stays, and is on the disk."""

    def last(self, log: UUID) -> Head | None:
        """The newest head of this log in it. Raises OSError, and HeadsDiffer for a file of which
        the end cannot be read."""

    def append(self, heads: Sequence[Head]) -> None:
        """Behind what is there, each a line of JSON. Raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvent:
    """An event of a tenant that was asked for: its canonical bytes, and its leaf's index where it
    is sealed."""

    content: bytes
    index: int | None


class SealReader(Protocol):
    """Seals, for whoever asks about them. Everything raises DatabaseUnavailable."""

    async def newest(self) -> Head | None:
        """The newest head."""

    async def heads(self, *, before: int | None, limit: int) -> Sequence[Head]:
        """Those of a smaller size, largest first."""

    async def head(self, size: int) -> Head | None:
        """The one of this size."""

    async def keys(self) -> Mapping[str, tuple[bytes, datetime]]:
        """Public keys by their ids, and since when they were used."""

    async def event(self, tenant: str, position: int) -> SealedEvent | None:
        """The tenant's event at the position."""

    async def nodes(self, wanted: Collection[Node]) -> Mapping[Node, bytes]:
        """The hashes of nodes whose leaves were all sealed."""


class Evidence(Protocol):
    """The log and its seals as they lie in the database, for whoever trusts neither.

    Everything raises DatabaseUnavailable.
    """

    def log_id(self) -> UUID:
        """Which log it is."""

    def size(self) -> int:
        """How many events are sealed, as the newest seal says."""

    def keys(self) -> Mapping[str, bytes]:
        """Public keys by their ids."""

    def seals(self, *, after: int, limit: int) -> Sequence[Seal]:
        """Those of a larger size, smallest first."""

    def nodes(self, *, after: int, until: int) -> Mapping[Node, bytes]:
        """Those that were completed by a larger size than one and until another."""

    def leaves(self, *, after: int | None, until: int | None) -> list[bytes]:
        """The leaf hashes of the events behind a position (None: from the first) up to another
        (None: to the last), in the order of positions, worked out of their rows."""

    def positions(self, *, after: int | None, until: int) -> Iterator[tuple[int, bytes]]:
        """The same with their positions, one by one."""

    def last_position(self) -> int:
        """Where the log ends; 0 when it is empty."""

    def restorations(self) -> Sequence[Restoring]:
        """What began the epochs of the log after its first, in the order of positions."""
