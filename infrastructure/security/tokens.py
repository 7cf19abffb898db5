"""Access tokens: signed JWTs (RFC 9068, EdDSA), short-lived, checked without asking anybody."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from application.access import InvalidToken
from application.accounts.account import Account, Claims
from infrastructure.security.signed_jwt import (
    LEEWAY_SECONDS,
    SignedJwt,
    rights_in,
    rights_of,
    whole,
)
from infrastructure.security.signing_key import SigningKey

TYPE = "at+jwt"
AUDIENCE = "musterroll"
VERIFIED_MAX = 4_096
REQUIRED = ["exp", "iat", "sub", "jti", "scope", "tenant", "gen"]


@dataclass(slots=True)
class _Verified:
    claims: Claims
    good_from: float
    good_until: float


class JwtAccessTokens:
    """The AccessTokens of one installation; its processes share the key file and the issuer."""

    def __init__(
        self,
        key: SigningKey,
        *,
        issuer: str,
        lifetime_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lifetime_seconds = lifetime_seconds
        self._jwt = SignedJwt(key, kind=TYPE, audience=AUDIENCE, issuer=issuer, required=REQUIRED)
        self._clock = clock
        # A signature takes 0.2 ms to check, and the same token comes with every request of a
        # worker.
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    def issue(self, account: Account, scopes: frozenset[str]) -> str:
        """A token of the account's present generation."""
        now = int(self._clock())
        rights = Claims(
            account_id=account.account_id,
            tenant=account.tenant,
            scopes=scopes,
            generation=account.generation,
            agent_id=account.agent_id,
            expires_at=now + self.lifetime_seconds,
        )
        times = {"iat": now, "exp": rights.expires_at, "jti": secrets.token_hex(16)}
        return self._jwt.sign(rights_in(rights) | times)

    def verify(self, token: str) -> Claims:
        """What a good token says. Raises InvalidToken."""
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            self._verified[token] = verified
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        if not verified.good_from <= self._clock() < verified.good_until:
            raise InvalidToken
        return verified.claims

    def _verify(self, token: str) -> _Verified:
        try:
            return _read(self._jwt.open(token))
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidToken from error


def _read(payload: Mapping[str, Any]) -> _Verified:
    """Raises ValueError, TypeError or AttributeError for claims of another shape."""
    issued_at, expires_at = whole(payload["iat"]), whole(payload["exp"])
    not_before = whole(payload.get("nbf", issued_at))
    return _Verified(
        claims=rights_of(payload, expires_at=expires_at),
        good_from=max(issued_at, not_before) - LEEWAY_SECONDS,
        good_until=expires_at + LEEWAY_SECONDS,
    )
