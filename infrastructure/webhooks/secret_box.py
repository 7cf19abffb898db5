"""Secrets of webhooks, sealed: a copy of the database does not tell them."""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from application.webhooks.webhook import UnreadableSecret

PURPOSE = b"musterroll webhook secrets 1"
"""So that the key is good for nothing else that is ever derived from the same file."""
NONCE_BYTES = 12


class SigningKeySecretBox:
    """The SecretBox: AES-256-GCM, by a key derived (HKDF-SHA256) from the service's signing key.

    The webhook's id is authenticated with it, so that no secret can be moved to another webhook.
    """

    def __init__(self, signing_key: Ed25519PrivateKey) -> None:
        raw = signing_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(raw)
        self._cipher = AESGCM(derived)

    def seal(self, webhook_id: UUID, secret: bytes) -> bytes:
        """A fresh nonce, then the secret and its tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, webhook_id.bytes)

    def open(self, webhook_id: UUID, sealed: bytes) -> bytes:
        """Raises UnreadableSecret."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, webhook_id.bytes)
        except (InvalidTag, ValueError) as error:
            raise UnreadableSecret(f"webhook {webhook_id}") from error
