"""What keeps subjects apart and their contents sealed: secrets derived from the signing key."""

import hashlib
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from application.erasure.ports import UnreadableKey
from application.erasure.sealed import MARK_BYTES

KEY_BITS = 256
NONCE_BYTES = 12
VERSION_8 = 8
"""Of a UUID whose bits are its maker's own (RFC 9562, section 5.8)."""


class AesGcmCipher:
    """The Cipher: AES-256-GCM, each content under a fresh nonce of 96 bits."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, place: bytes, content: bytes) -> bytes:
        """The nonce, then the content and its tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, content, place)

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Raises UnreadableKey."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
        except (InvalidTag, ValueError) as error:
            raise UnreadableKey("sealed under another key, or for another place") from error


class SigningKeyVault:
    """The SubjectVault: secrets derived by HKDF-SHA256, each for one purpose.

    Names become ids by keyed BLAKE2b, so that neither the log nor a table tells them; the keys of
    subjects are wrapped by AES-256-GCM, each for its subject.
    """

    def __init__(self, signing_key: Ed25519PrivateKey) -> None:
        raw = signing_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self._names = _derived(raw, b"musterroll names of subjects 1")
        self._marks = _derived(raw, b"musterroll marks of sealed values 1")
        self.request_secret = _derived(raw, b"musterroll fingerprints of requests 1")
        """With which the fingerprints of requests are made: a plain digest of what somebody sent
        would tell whether a guess at it is right, after it was erased too."""
        self._wrapping = AesGcmCipher(_derived(raw, b"musterroll keys of subjects 1"))

    def id_of(self, tenant: str, name: str) -> UUID:
        """A UUID of version 8."""
        # The lengths of both are in it: no two pairs are one text.
        text = f"{len(tenant)}:{tenant}{name}".encode()
        digest = hashlib.blake2b(text, key=self._names, digest_size=16).digest()
        bits = int.from_bytes(digest, "big")
        bits = bits & ~(0xF << 76) | VERSION_8 << 76
        return UUID(int=bits & ~(0x3 << 62) | 0x2 << 62)

    def new_key(self, subject_id: UUID) -> bytes:
        """256 random bits, wrapped for this subject."""
        return self._wrapping.seal(subject_id.bytes, AESGCM.generate_key(KEY_BITS))

    def cipher(self, subject_id: UUID, wrapped: bytes) -> AesGcmCipher:
        """Raises UnreadableKey: it was wrapped with another signing key."""
        return AesGcmCipher(self._wrapping.open(subject_id.bytes, wrapped))

    def mark(self, place: bytes, sealed: bytes) -> bytes:
        """Keyed BLAKE2b over both; a place is always of the same length for its sort."""
        digest = hashlib.blake2b(place, key=self._marks, digest_size=MARK_BYTES)
        digest.update(sealed)
        return digest.digest()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
