"""Access tokens: signed JWTs (RFC 9068, EdDSA), short-lived, checked without asking anybody."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from application.access import InvalidToken
from application.accounts.account import Account, Claims
from infrastructure.security.signing_key import SigningKey

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
AUDIENCE = "musterroll"
TOKEN_BYTES_MAX = 8 * 1024
LEEWAY_SECONDS = 5
VERIFIED_MAX = 4_096
REQUIRED = ["iss", "aud", "exp", "iat", "sub", "jti", "scope", "tenant", "gen"]


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
        self._private = key.private
        self._public = key.public
        self._header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.key_id}
        self._issuer = issuer
        self._clock = clock
        # A signature takes 0.2 ms to check, and the same token comes with every request of a
        # worker.
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    def issue(self, account: Account, scopes: frozenset[str]) -> str:
        """A token of the account's present generation."""
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(account.account_id),
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "jti": secrets.token_hex(16),
            "scope": " ".join(sorted(scopes)),
            "tenant": account.tenant,
            "gen": account.generation,
        }
        if account.agent_id:
            claims["agent_id"] = str(account.agent_id)
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers=self._header)

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
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise InvalidToken
        try:
            # PyJWT does not look at typ, and a header member that it does not know may mean
            # anything: so the header has to be, member for member, the one that we write.
            if jwt.get_unverified_header(token) != self._header:
                raise InvalidToken
            payload = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                # The times are checked by our clock, each time that the token comes.
                options={
                    "require": REQUIRED,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            return _read(payload)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise InvalidToken from error


def _read(payload: Mapping[str, Any]) -> _Verified:
    """Raises ValueError, TypeError or AttributeError for claims of another shape."""
    issued_at, expires_at, generation = payload["iat"], payload["exp"], payload["gen"]
    not_before = payload.get("nbf", issued_at)
    for number in (issued_at, expires_at, generation, not_before):
        if type(number) is not int:
            raise TypeError("a claim is no whole number")
    agent_id = payload.get("agent_id")
    claims = Claims(
        account_id=UUID(payload["sub"]),
        tenant=payload["tenant"],
        scopes=frozenset(payload["scope"].split()),
        generation=generation,
        agent_id=None if agent_id is None else UUID(agent_id),
        expires_at=expires_at,
    )
    return _Verified(
        claims=claims,
        good_from=max(issued_at, not_before) - LEEWAY_SECONDS,
        good_until=expires_at + LEEWAY_SECONDS,
    )
