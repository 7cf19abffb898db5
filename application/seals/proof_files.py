"""Proofs as JSON, and how anybody checks one without the service."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from application.seals.head import Head, key_id_of
from application.seals.ports import SignatureCheck
from application.seals.proofs import Consistency, Inclusion, Keys
from domain.errors import Invalid
from domain.merkle import HASH_BYTES, consistent, included, leaf_hash

PATH_HASHES_MAX = 128
POSITION_AT = slice(5, 13)
"""Where the canonical bytes of an event hold its position."""


class BadProof(Invalid):
    """What was given is no proof, or does not prove what it says."""

    code = "bad_proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a proof proves. `vouched`: its heads are known from elsewhere, or its key is."""

    statement: str
    head: Head
    vouched: bool


def inclusion_members(proof: Inclusion, keys: Keys) -> dict[str, Any]:
    """As JSON."""
    return {
        "type": "inclusion",
        "position": proof.position,
        "index": proof.index,
        "event": b64encode(proof.content).decode(),
        "path": [one.hex() for one in proof.path],
        "head": proof.head.members(),
        "keys": _keys_of([proof.head], keys),
    }


def consistency_members(proof: Consistency, keys: Keys) -> dict[str, Any]:
    """As JSON."""
    return {
        "type": "consistency",
        "path": [one.hex() for one in proof.path],
        "from": proof.old.members(),
        "to": proof.new.members(),
        "keys": _keys_of([proof.old, proof.new], keys),
    }


def check(
    members: Any,
    signed: SignatureCheck,
    *,
    kept: Sequence[Head] = (),
    trusted: str | None = None,
) -> Checked:
    """Whether a proof holds. `kept` are heads from elsewhere, `trusted` is the id of a key: with
    either, nothing else is believed. Raises BadProof, BadHead."""
    if not isinstance(members, Mapping):
        raise BadProof("A proof is a JSON object.")
    heads = [Head.parse(members.get(name)) for name in _names_of_heads(members)]
    for head in heads:
        _check_signature(head, members, signed)
        if trusted is not None and head.key_id != trusted:
            raise BadProof(f"The head of {head.size} events is signed by another key.")
    path = _path(members)
    statement = (
        _check_inclusion(members, path, heads[0])
        if len(heads) == 1
        else _check_consistency(path, *heads)
    )
    if kept and not any(head.text == one.text for one in kept for head in heads):
        raise BadProof(f"No head of {heads[-1].size} events is among those that were kept.")
    return Checked(statement=statement, head=heads[-1], vouched=bool(kept) or trusted is not None)


def _names_of_heads(members: Mapping[str, Any]) -> Sequence[str]:
    match members.get("type"):
        case "inclusion":
            return ("head",)
        case "consistency":
            return ("from", "to")
    raise BadProof("A proof has the type inclusion or consistency.")


def _check_signature(head: Head, members: Mapping[str, Any], signed: SignatureCheck) -> None:
    keys = members.get("keys")
    text = keys.get(head.key_id) if isinstance(keys, Mapping) else None
    try:
        key = bytes.fromhex(text if isinstance(text, str) else "")
    except ValueError as error:
        raise BadProof("A key is not in hexadecimal.") from error
    if key_id_of(key) != head.key_id or not signed(key, head.text, head.signature):
        raise BadProof(f"The head of {head.size} events is not signed by the key that it names.")


def _check_inclusion(members: Mapping[str, Any], path: Sequence[bytes], head: Head) -> str:
    event, index = members.get("event"), members.get("index")
    try:
        content = b64decode(event if isinstance(event, str) else "", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadProof("The event is not in base64.") from error
    if type(index) is not int or not included(
        leaf_hash(content), index, head.size, path, head.root
    ):
        raise BadProof("The event is not in the log of this head.")
    position = int.from_bytes(content[POSITION_AT], "big", signed=True)
    if position != members.get("position"):
        raise BadProof(f"The event is that of position {position}.")
    return f"The event at position {position} is in the log as it was sealed at {_when(head)}."


def _check_consistency(path: Sequence[bytes], old: Head, new: Head) -> str:
    if old.log != new.log:
        raise BadProof("The heads are of different logs.")
    if not consistent(old.size, new.size, path, old.root, new.root):
        raise BadProof(f"The log of {new.size} events does not begin with that of {old.size}.")
    return f"The log of {new.size} events begins with that of {old.size}, sealed at {_when(old)}."


def _path(members: Mapping[str, Any]) -> list[bytes]:
    path = members.get("path")
    if not isinstance(path, list) or len(path) > PATH_HASHES_MAX:
        raise BadProof(f"A path is a list of at most {PATH_HASHES_MAX} hashes.")
    try:
        hashes = [bytes.fromhex(one) for one in path]
    except (ValueError, TypeError) as error:
        raise BadProof("A path is not in hexadecimal.") from error
    if any(len(one) != HASH_BYTES for one in hashes):
        raise BadProof(f"A hash has {HASH_BYTES} bytes.")
    return hashes


def _when(head: Head) -> str:
    return str(head.members()["time"])


def _keys_of(heads: Sequence[Head], keys: Keys) -> dict[str, str]:
    return {head.key_id: keys[head.key_id][0].hex() for head in heads if head.key_id in keys}
