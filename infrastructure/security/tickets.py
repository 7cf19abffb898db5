"""One-time tickets: signed JWTs of a type of their own, and the note that one was used."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from application.access import InvalidToken
from application.accounts.account import Claims
from application.accounts.tickets import SpentTickets
from infrastructure.security.signed_jwt import (
    LEEWAY_SECONDS,
    SignedJwt,
    rights_in,
    rights_of,
    whole,
)
from infrastructure.security.signing_key import SigningKey

TYPE = "ticket+jwt"
AUDIENCE = "musterroll/tickets"
LIFETIME_SECONDS = 30
REQUIRED = ["exp", "iat", "sub", "jti", "scope", "tenant", "gen", "until"]
"""`until` is the end of the token that the ticket was asked for with."""


class JwtTickets:
    """The Tickets of one installation; its processes share the key, the issuer and what was
    spent."""

    lifetime_seconds = LIFETIME_SECONDS

    def __init__(
        self,
        key: SigningKey,
        spent: SpentTickets,
        *,
        issuer: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jwt = SignedJwt(key, kind=TYPE, audience=AUDIENCE, issuer=issuer, required=REQUIRED)
        self._spent = spent
        self._clock = clock

    def issue(self, claims: Claims) -> str:
        """A ticket with the rights of a token."""
        now = int(self._clock())
        times = {"iat": now, "exp": now + LIFETIME_SECONDS, "until": claims.expires_at}
        return self._jwt.sign(rights_in(claims) | times | {"jti": str(uuid4())})

    async def redeem(self, ticket: str) -> Claims:
        """What it was issued for. Raises InvalidToken, DatabaseUnavailable."""
        payload = self._jwt.open(ticket)
        try:
            claims, ticket_id = self._read(payload)
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidToken from error
        # Last, so that only what is otherwise good is ever written down.
        if not await self._spent.spend(ticket_id, payload["exp"]):
            raise InvalidToken
        return claims

    def _read(self, payload: Mapping[str, Any]) -> tuple[Claims, UUID]:
        """Raises InvalidToken when it is too old, and ValueError, TypeError or AttributeError."""
        claims = rights_of(payload, expires_at=whole(payload["until"]))
        issued_at, ends_at = whole(payload["iat"]), whole(payload["exp"])
        now = self._clock()
        if not issued_at - LEEWAY_SECONDS <= now < ends_at:
            raise InvalidToken
        if now >= claims.expires_at + LEEWAY_SECONDS:
            raise InvalidToken
        return claims, UUID(payload["jti"])
