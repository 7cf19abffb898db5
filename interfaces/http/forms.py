"""The one form that is taken: the request for a token (RFC 6749)."""

import base64
import binascii
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

from interfaces.http.bodies import read_body
from interfaces.http.errors import BadTokenRequest, UnsupportedMediaType
from interfaces.http.headers import RequestHeaders

FORM = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 16 * 1024


async def read_form(request: Request, headers: RequestHeaders) -> dict[str, str]:
    """The members of a form, each once; an empty one counts as absent (RFC 6749, section 3.2).

    Raises BadTokenRequest, UnsupportedMediaType, BodyTooLarge, RequestTimeout.
    """
    content_type = headers.first(b"content-type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != FORM:
        raise UnsupportedMediaType(f"The body has to be {FORM}.")
    body = await read_body(request, headers, bytes_max=FORM_BYTES_MAX)
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=20)
    except ValueError as error:
        raise BadTokenRequest("The form cannot be read.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadTokenRequest("A member of the form came twice.")
    if any("\0" in value for value in form.values()):
        raise BadTokenRequest("A member of the form holds the character NUL.")
    return form


def member(form: dict[str, str], name: str) -> str:
    """A member that has to be there. Raises BadTokenRequest."""
    if name not in form:
        raise BadTokenRequest(f"{name} is missing.")
    return form[name]


def client_of(headers: RequestHeaders, form: dict[str, str]) -> tuple[str, str]:
    """The id and secret of a client, from HTTP Basic or from the form. Raises BadTokenRequest."""
    given = headers.every(b"authorization")
    if not given:
        return member(form, "client_id"), member(form, "client_secret")
    scheme, _, encoded = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "basic" or "client_secret" in form:
        raise BadTokenRequest("Credentials come once, by HTTP Basic or in the form.")
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadTokenRequest("The Authorization header is not HTTP Basic.") from error
    client_id, _, secret = pair.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
