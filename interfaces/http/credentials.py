"""Who asks: the bearer token of a request (RFC 6750), in its header and nowhere else."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from application.access import InvalidToken, Unauthenticated
from application.accounts.account import Claims
from application.accounts.principals import Principals
from interfaces.http.errors import BadCredentials
from interfaces.http.headers import RequestHeaders
from interfaces.http.ports import ControlPlane

ResultT = TypeVar("ResultT")


def read_token(headers: RequestHeaders, query: bytes, process: ControlPlane) -> Claims:
    """What the token says that the request bears. Whether it was revoked, the principals know.

    Raises Unauthenticated (no token), BadCredentials (two of them, or half of one), InvalidToken.
    """
    return process.tokens.verify(bearer_token(headers, query))


async def while_valid(principals: Principals, claims: Claims, work: Awaitable[ResultT]) -> ResultT:
    """The result of the work, which is cancelled when the token ends that it is done under.

    Raises InvalidToken, and what the work raises.
    """
    working = asyncio.ensure_future(work)
    ending = asyncio.create_task(principals.until_ended(claims))
    tasks: set[asyncio.Future[Any]] = {working, ending}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise InvalidToken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def bearer_token(headers: RequestHeaders, query: bytes) -> str:
    """The text of the token. Raises Unauthenticated, BadCredentials, InvalidToken."""
    given = headers.every(b"authorization")
    if not given:
        raise Unauthenticated
    if len(given) > 1 or b"access_token=" in query:
        raise BadCredentials("Credentials come once, in one Authorization header.")
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    token = token.strip(" ")
    if not token or " " in token:
        raise BadCredentials("The header is: Authorization: Bearer <token>.")
    if not token.isascii():
        raise InvalidToken
    return token
