"""Sealed heads, the keys that they are signed with, and proofs."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, RootModel, StringConstraints
from typing_extensions import TypedDict

from interfaces.http.parameters import WHOLE_TEXT, ListParameters, QueryParameters
from interfaces.http.schemas.base import documented

NUMBER_MAX = 10**18 - 1
Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$"), Field(examples=["5d" * 32])]
SizeText = Annotated[int, Field(ge=1, le=NUMBER_MAX), WHOLE_TEXT]


class HeadParameters(ListParameters):
    """Which page of heads."""

    cursor: SizeText | None = None
    """The `next_cursor` of the page before."""


class ProofParameters(QueryParameters):
    """What is to be proved: that an event is in the log, or that one head grew out of another."""

    position: SizeText | None = None
    """Of an event: proves that it is in the newest head."""
    old: Annotated[SizeText | None, Field(alias="from")] = None
    """The size of a head: proves that the log of the head `to` begins with its log."""
    new: Annotated[SizeText | None, Field(alias="to")] = None
    """The size of another head."""


@documented
class HeadShown(TypedDict):
    """The log up to a position in one hash, signed (infrastructure/README.md, "Seals")."""

    log: UUID
    """Which log: its id."""
    epoch: int
    size: int
    """How many events there are up to `position`."""
    position: int
    root: Hash
    """Of the Merkle tree (RFC 9162) over the events, SHA-256."""
    recorded_at: datetime
    """When the last of them was recorded."""
    time: datetime
    """When they were sealed."""
    previous: Hash
    """SHA-256 of the signed text of the head before; zeros before the first."""
    key_id: Hash
    """SHA-256 of the public key."""
    signature: Annotated[str, StringConstraints(pattern="^[0-9a-f]{128}$")]
    """Ed25519, over the other members as text."""


@documented
class HeadPage(TypedDict):
    """Heads, newest first."""

    items: list[HeadShown]
    next_cursor: str | None


@documented
class KeyShown(TypedDict):
    """A key that heads are signed with."""

    key_id: Hash
    public_key: Hash
    """Ed25519, 32 bytes."""
    added_at: datetime


class KeyPage(TypedDict):
    """All of them, oldest first."""

    items: list[KeyShown]


@documented
class InclusionProof(TypedDict):
    """That an event is in the log."""

    type: Literal["inclusion"]
    position: int
    index: int
    """Of its leaf in the tree."""
    event: str
    """Its canonical bytes, in base64."""
    path: list[Hash]
    head: HeadShown
    keys: dict[str, Hash]
    """The public key of each key id; whoever has kept heads needs none."""


ConsistencyProof = TypedDict(
    "ConsistencyProof",
    {
        "type": Literal["consistency"],
        "path": list[Hash],
        "from": HeadShown,
        "to": HeadShown,
        "keys": dict[str, Hash],
    },
)
"""That the log of one head begins with that of another."""


class Proof(RootModel[InclusionProof | ConsistencyProof]):
    """One of the two."""
