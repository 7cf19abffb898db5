"""The Ed25519 key that signs access tokens, in a file that only its owner can read."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


class UnsafeKey(Exception):
    """The key file cannot be used as it is; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; `key_id` names it in the tokens that it signed."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> Ed25519PublicKey:
        """What tells that a token was signed by it."""
        return self.private.public_key()

    @property
    def key_id(self) -> str:
        """A digest of the public key."""
        raw = self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(raw).hexdigest()[:16]


def load_or_make(path: Path) -> SigningKey:
    """The key in the file, made on the first start. Several processes at once get the same one.

    Raises UnsafeKey when others may read the file or it holds no Ed25519 key, and OSError.
    """
    if not path.exists():
        _make(path)
    return load(path)


def load(path: Path) -> SigningKey:
    """The key in the file. Raises UnsafeKey, OSError."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UnsafeKey(f"{path} can be read by others: chmod 600 {path}")
        text = file.read()
    try:
        private = load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise UnsafeKey(f"{path} holds no private key in PEM without a password.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UnsafeKey(
            f"{path} holds no Ed25519 key: openssl genpkey -algorithm ed25519 makes one."
        )
    return SigningKey(private)


def _make(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A link to a finished file appears whole or not at all, and to one process only.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Where another process was first, its key is the one.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
