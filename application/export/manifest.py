"""The last line of a signed export: what stands before it, and a signature over that."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Self

import orjson

from application.seals.ports import SignatureCheck
from domain.errors import Invalid

TITLE = "musterroll export, version 1"
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


class BadExport(Invalid):
    """It is no signed export, or not as it was signed."""

    code = "bad_export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was exported: of a tenant, everything behind `after` up to `until` (cursors), in `count`
    lines whose SHA-256 (of all their bytes) is `sha256`. `key_id` is the SHA-256 of the public key.
    `aggregates` are the ids of the tasks and agents whose histories these are, with spaces between;
    it is left out of what is everything.
    """

    log: str
    tenant: str
    after: str
    until: str
    count: int
    sha256: str
    time: str
    key_id: str
    aggregates: str = ""

    @property
    def text(self) -> bytes:
        """What is signed: the title, then a line for each member, in the order of the class."""
        members = self.members()
        return "".join([f"{TITLE}\n", *(f"{n} {value}\n" for n, value in members.items())]).encode()

    def members(self) -> dict[str, Any]:
        """As JSON has it."""
        members = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.aggregates:
            del members["aggregates"]
        return members

    def line(self, public_key: bytes, signature: bytes) -> bytes:
        """`{"manifest": {...}, "public_key", "signature"}`, the latter two in hexadecimal."""
        content = {
            "manifest": self.members(),
            "public_key": public_key.hex(),
            "signature": signature.hex(),
        }
        return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def parse(cls, members: Any) -> Self:
        """Raises BadExport."""
        names = {field.name for field in fields(cls)}
        if not isinstance(members, Mapping) or set(members) | {"aggregates"} != names:
            raise BadExport("The last line holds no manifest of an export.")
        for field in fields(cls):
            if type(members.get(field.name, field.default)) is not field.type:
                raise BadExport(f"In the last line {field.name} is not what it has to be.")
        return cls(**members)


def check(
    lines: Iterable[bytes], signed: SignatureCheck, *, trusted: str | None = None
) -> Manifest:
    """Read an export line by line, and check that it is as it was signed, by the key of the id that
    is `trusted`. Without one, whose key it is only its owner can say.

    Raises BadExport.
    """
    digest, count, last = sha256(), 0, b""
    for line in lines:
        if last:
            digest.update(last)
            count += 1
        last = line
    manifest, public_key, signature = _last_line(last)
    if count != manifest.count:
        raise BadExport(f"There are {count} events, and {manifest.count} were signed.")
    if digest.hexdigest() != manifest.sha256:
        raise BadExport("The events are not those that were signed.")
    if sha256(public_key).hexdigest() != manifest.key_id:
        raise BadExport("The public key is not the one that is named.")
    if trusted is not None and trusted.lower() != manifest.key_id:
        raise BadExport(f"It was signed with another key, {manifest.key_id}.")
    if not signed(public_key, manifest.text, signature):
        raise BadExport("The signature is not one of this key over this export.")
    return manifest


def _last_line(line: bytes) -> tuple[Manifest, bytes, bytes]:
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or set(content) != {"manifest", "public_key", "signature"}:
        raise BadExport("It ends without a signed line: it is not whole, or was not to be signed.")
    manifest = Manifest.parse(content["manifest"])
    if line != manifest.line(*(_bytes(content[name]) for name in ("public_key", "signature"))):
        raise BadExport("The last line is not written as we write it.")
    return manifest, _bytes(content["public_key"]), _bytes(content["signature"])


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) % 2 or not _HEX.fullmatch(text):
        raise BadExport("The key and the signature are to be in hexadecimal.")
    return bytes.fromhex(text)
