"""The signature under a head: Ed25519."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from application.seals.head import key_id_of
from infrastructure.security.signing_key import SigningKey


class Ed25519Signer:
    """Implements `application.seals.ports.Signer`, by a key of the service's own."""

    def __init__(self, key: SigningKey) -> None:
        self._private = key.private
        self.public_key = key.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id_of(self.public_key)

    def sign(self, text: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(text)


def signed(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Implements `application.seals.ports.SignatureCheck`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
