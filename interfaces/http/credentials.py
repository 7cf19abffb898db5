"""Who asks: the bearer token of a request (RFC 6750), in its header and nowhere else."""

from starlette.requests import Request

from application.access import InvalidToken, Principal, Unauthenticated
from interfaces.http.errors import BadCredentials
from interfaces.http.ports import ControlPlane


async def principal_of(request: Request, process: ControlPlane) -> Principal:
    """The principal whose token the request bears.

    Raises Unauthenticated (no token), BadCredentials (two of them, or half of one), InvalidToken,
    and DatabaseUnavailable.
    """
    claims = process.tokens.verify(bearer_token(request))
    return await process.accounts.principals.of(claims)


def bearer_token(request: Request) -> str:
    """The text of the token. Raises Unauthenticated, BadCredentials, InvalidToken."""
    headers = request.headers.getlist("authorization")
    if not headers:
        raise Unauthenticated
    if len(headers) > 1 or "access_token=" in request.url.query:
        raise BadCredentials("Credentials come once, in one Authorization header.")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    token = token.strip(" ")
    if not token or " " in token:
        raise BadCredentials("The header is: Authorization: Bearer <token>.")
    if not token.isascii():
        raise InvalidToken
    return token
