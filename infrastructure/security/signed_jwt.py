"""JWTs of one type, signed with the installation's key (EdDSA) and read with nothing left open."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import jwt

from application.access import InvalidToken
from application.accounts.account import Claims
from infrastructure.security.signing_key import SigningKey

ALGORITHM = "EdDSA"
TOKEN_BYTES_MAX = 8 * 1024
LEEWAY_SECONDS = 5
"""How far the clocks of an installation's machines may be apart."""


class SignedJwt:
    """One type of JWT: what is signed as one type is never read as another.

    Type and audience both tell them apart, so that neither alone has to be relied on.
    """

    def __init__(
        self, key: SigningKey, *, kind: str, audience: str, issuer: str, required: Sequence[str]
    ) -> None:
        self._private = key.private
        self._public = key.public
        self._header = {"alg": ALGORITHM, "typ": kind, "kid": key.key_id}
        self._names = {"iss": issuer, "aud": audience}
        self._required = [*self._names, *required]

    def sign(self, payload: Mapping[str, Any]) -> str:
        """The text of a token that says this."""
        return jwt.encode(
            {**self._names, **payload}, self._private, algorithm=ALGORITHM, headers=self._header
        )

    def open(self, token: str) -> dict[str, Any]:
        """What a token of this type says. Its times and the shapes of its members are not checked.

        Raises InvalidToken.
        """
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise InvalidToken
        try:
            # PyJWT does not look at typ, and a header member that it does not know may mean
            # anything: so the header has to be, member for member, the one that we write.
            if jwt.get_unverified_header(token) != self._header:
                raise InvalidToken
            return jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=self._names["aud"],
                issuer=self._names["iss"],
                # The times are checked by our clock, each time that the token comes.
                options={
                    "require": self._required,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise InvalidToken from error


def rights_in(claims: Claims) -> dict[str, Any]:
    """What a token says of its bearer, to be signed."""
    payload: dict[str, Any] = {
        "sub": str(claims.account_id),
        "scope": " ".join(sorted(claims.scopes)),
        "tenant": claims.tenant,
        "gen": claims.generation,
    }
    if claims.agent_id:
        payload["agent_id"] = str(claims.agent_id)
    return payload


def rights_of(payload: Mapping[str, Any], *, expires_at: int) -> Claims:
    """The same, read again. Raises ValueError, TypeError or AttributeError for another shape."""
    agent_id = payload.get("agent_id")
    return Claims(
        account_id=UUID(payload["sub"]),
        tenant=payload["tenant"],
        scopes=frozenset(payload["scope"].split()),
        generation=whole(payload["gen"]),
        agent_id=None if agent_id is None else UUID(agent_id),
        expires_at=expires_at,
    )


def whole(number: Any) -> int:
    """Raises TypeError for what is no whole number; True is none."""
    if type(number) is not int:
        raise TypeError("a claim is no whole number")
    return number
