"""Encrypted segments: data keys, wrapped with age for whoever may read, and AES-256-GCM."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pyrage  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from application.archives.faults import BadArchive
from application.archives.format import KEY_BYTES_MAX, key_name
from application.archives.ports import FileMissing, Repository
from domain.errors import Invalid

__all__ = [
    "CIPHER",
    "KEY_ID_DIGITS",
    "BadIdentity",
    "DataKey",
    "DataKeys",
    "InvalidTag",
    "Keys",
    "OneKey",
    "decrypt",
    "encrypt",
]

CIPHER = "aes-256-gcm"
KEY_BYTES, TAG_BYTES, CHUNK_BYTES = 32, 16, 2**20
KEY_ID_DIGITS = 32
IDENTITY_BYTES_MAX = 64 * 1024


class BadIdentity(Invalid):
    """A file of identities, or a recipient, is not what age knows."""

    code = "bad_identity"


@dataclass(frozen=True, slots=True)
class DataKey:
    """32 random bytes that segments are encrypted with."""

    key: bytes = field(repr=False)

    @classmethod
    def make(cls) -> "DataKey":
        """A new one."""
        return cls(os.urandom(KEY_BYTES))

    @property
    def key_id(self) -> str:
        """32 hexadecimal digits, which tell nothing of the key."""
        return sha256(b"musterroll data key" + self.key).hexdigest()[:KEY_ID_DIGITS]


class Keys(Protocol):
    """Opens data keys."""

    def get(self, key_id: str) -> DataKey:
        """Raises BadArchive (`file_missing`, `key_missing`, `wrong_key`), BadIdentity,
        RepositoryUnavailable."""


@dataclass(frozen=True, slots=True)
class OneKey:
    """Implements `Keys` where one segment is opened, of which somebody else opened the key."""

    key: DataKey | None

    def get(self, key_id: str) -> DataKey:
        """It is that of the segment."""
        assert self.key is not None and self.key.key_id == key_id, "nobody opened this key"  # noqa: PT018
        return self.key


class DataKeys:
    """Implements `Keys` by those kept in memory, and those that are wrapped for an identity in the
    file."""

    def __init__(self, repository: Repository, identity_file: Path | None) -> None:
        self._repository = repository
        self._identity_file = identity_file
        self._keys: dict[str, DataKey] = {}

    def keep(self, key: DataKey) -> None:
        """In memory, for as long as this is there."""
        self._keys[key.key_id] = key

    def make(self, recipients: Sequence[str]) -> DataKey:
        """A new key, wrapped and durable in the repository, and kept in memory.

        Raises BadIdentity, RepositoryUnavailable, RepositoryFull.
        """
        key = DataKey.make()
        self._repository.put_if_absent(key_name(key.key_id), wrapped(key, recipients))
        self.keep(key)
        return key

    def get(self, key_id: str) -> DataKey:
        """Raises BadArchive (`file_missing`, `key_missing`, `wrong_key`, `file_damaged`),
        BadIdentity, RepositoryUnavailable."""
        found = self._keys.get(key_id)
        if found is None:
            found = self._keys[key_id] = self._unwrapped(key_id)
        return found

    def _unwrapped(self, key_id: str) -> DataKey:
        name = key_name(key_id)
        try:
            content = self._repository.get(name, bytes_max=KEY_BYTES_MAX)
        except FileMissing as error:
            raise BadArchive("file_missing", "The data key is not there", file=name) from error
        if self._identity_file is None:
            message = "It is encrypted, and backup_identity_file is not set, to open the key"
            raise BadArchive("key_missing", message, file=name)
        try:
            key = DataKey(pyrage.decrypt(content, identities_in(self._identity_file)))
        except pyrage.DecryptError as error:
            if "No matching keys" not in str(error):
                raise BadArchive("file_damaged", "It is no wrapped key", file=name) from error
            message = "It is encrypted, and no identity in backup_identity_file opens the key"
            raise BadArchive("key_missing", message, file=name) from error
        if len(key.key) != KEY_BYTES or key.key_id != key_id:
            raise BadArchive("wrong_key", "It is another key than its name says", file=name)
        return key


def wrapped(key: DataKey, recipients: Sequence[str]) -> bytes:
    """Raises BadIdentity."""
    try:
        return bytes(
            pyrage.encrypt(key.key, [pyrage.x25519.Recipient.from_str(one) for one in recipients])
        )
    except (pyrage.RecipientError, pyrage.EncryptError, ValueError) as error:
        raise BadIdentity(f"That is no recipient of age: {error}") from error


def identities_in(path: Path) -> "list[pyrage.x25519.Identity]":
    """The private keys in a file as age-keygen writes it. Raises BadIdentity."""
    try:
        with path.open("rb") as file:
            lines = file.read(IDENTITY_BYTES_MAX).decode().splitlines()
        texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        identities = [pyrage.x25519.Identity.from_str(text) for text in texts]
    except (OSError, ValueError, pyrage.IdentityError) as error:
        # Never the text itself: it is a secret, or nearly one.
        raise BadIdentity(f"{path} holds no identities of age.") from error
    if not identities:
        raise BadIdentity(f"{path} holds no identity.")
    return identities


def encrypt(plain: bytes, key: DataKey, header: bytes) -> bytes:
    """The body of a segment with this header."""
    cipher, salt = _cipher(key, header)
    chunks = range(0, len(plain) or 1, CHUNK_BYTES)
    last = len(chunks) - 1
    view = memoryview(plain)
    return b"".join(
        [
            cipher.encrypt(_nonce(n, n == last), view[at : at + CHUNK_BYTES], _associated(salt, n))
            for n, at in enumerate(chunks)
        ]
    )


def decrypt(body: memoryview, key: DataKey, header: bytes) -> bytes:
    """Raises InvalidTag: it is not what was encrypted, or with another key."""
    cipher, salt = _cipher(key, header)
    chunks = range(0, len(body) or 1, CHUNK_BYTES + TAG_BYTES)
    last = len(chunks) - 1
    return b"".join(
        [
            cipher.decrypt(
                _nonce(n, n == last), body[at : at + CHUNK_BYTES + TAG_BYTES], _associated(salt, n)
            )
            for n, at in enumerate(chunks)
        ]
    )


def _cipher(key: DataKey, header: bytes) -> tuple[AESGCM, bytes]:
    """Every segment has a key of its own: so nonces can be counted."""
    salt = sha256(header).digest()
    derived = HKDF(hashes.SHA256(), KEY_BYTES, salt, b"musterroll segment").derive(key.key)
    return AESGCM(derived), salt


def _nonce(chunk: int, last: bool) -> bytes:
    return chunk.to_bytes(11, "big") + bytes([last])


def _associated(salt: bytes, chunk: int) -> bytes:
    return salt + chunk.to_bytes(4, "big")
