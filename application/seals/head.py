"""A signed head of the log's Merkle tree, as text to sign and as JSON to keep and to show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from domain.errors import Invalid
from domain.merkle import HASH_BYTES

TITLE = "musterroll log head, version 1"
SIGNED = (
    *("log", "epoch", "size", "position", "root", "recorded_at", "time", "previous"),
    "key_id",
)
"""The members that the signature is over, in its order."""
NOTHING_BEFORE = bytes(HASH_BYTES)
SIGNATURE_BYTES = 64
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)
_NUMBER_MAX = 2**63 - 1


def key_id_of(public_key: bytes) -> str:
    """The name of a public key: its SHA-256, in hexadecimal."""
    return sha256(public_key).hexdigest()


class BadHead(Invalid):
    """What was given is no head."""

    code = "bad_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The log up to a position, in one hash. Everything but the signature is signed.

    `size` is how many events there are up to `position`, the last of which was recorded at
    `recorded_at`; `previous` is the digest of the head before, all zeros of the first; `time` is
    when it was sealed. `key_id` is the SHA-256 of the public key.
    """

    log: UUID
    epoch: int
    size: int
    position: int
    root: bytes
    recorded_at: datetime
    time: datetime
    previous: bytes
    key_id: str
    signature: bytes = field(default=b"", repr=False)

    @property
    def text(self) -> bytes:
        """What is signed: the title, then a line for each member."""
        members = self.members()
        return "".join([f"{TITLE}\n", *(f"{n} {members[n]}\n" for n in SIGNED)]).encode()

    @property
    def digest(self) -> bytes:
        """What the next head names this one by."""
        return sha256(self.text).digest()

    def members(self) -> dict[str, str | int]:
        """As JSON: hashes and signature in hexadecimal, times in UTC to the microsecond."""
        return {
            "log": str(self.log),
            "epoch": self.epoch,
            "size": self.size,
            "position": self.position,
            "root": self.root.hex(),
            "recorded_at": self.recorded_at.astimezone(UTC).strftime(TIME_FORMAT),
            "time": self.time.astimezone(UTC).strftime(TIME_FORMAT),
            "previous": self.previous.hex(),
            "key_id": self.key_id,
            "signature": self.signature.hex(),
        }

    @classmethod
    def parse(cls, members: Any) -> Self:
        """From JSON that somebody kept or sent. Raises BadHead."""
        if not isinstance(members, Mapping):
            raise BadHead("A head is a JSON object.")
        try:
            return cls(
                log=UUID(_text(members, "log", 36)),
                epoch=_number(members, "epoch"),
                size=_number(members, "size"),
                position=_number(members, "position"),
                root=_bytes(members, "root", HASH_BYTES),
                recorded_at=_time(members, "recorded_at"),
                time=_time(members, "time"),
                previous=_bytes(members, "previous", HASH_BYTES),
                key_id=_bytes(members, "key_id", HASH_BYTES).hex(),
                signature=_bytes(members, "signature", SIGNATURE_BYTES),
            )
        except ValueError as error:
            raise BadHead(f"It is no head: {error}") from error


def _text(members: Mapping[str, Any], name: str, length: int) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) != length:
        raise ValueError(f"{name} is no text of {length} characters.")
    return value


def _number(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 < value <= _NUMBER_MAX:
        raise ValueError(f"{name} is no whole number above 0.")
    return value


def _bytes(members: Mapping[str, Any], name: str, length: int) -> bytes:
    value = _text(members, name, 2 * length)
    if not _HEX.fullmatch(value):
        raise ValueError(f"{name} is not in hexadecimal.")
    return bytes.fromhex(value)


def _time(members: Mapping[str, Any], name: str) -> datetime:
    return datetime.strptime(_text(members, name, 27), TIME_FORMAT).replace(tzinfo=UTC)
