"""`muster token`: an access token, to hand to another tool."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from interfaces.cli.arguments import parse_scopes
from interfaces.cli.output import AsJson, print_json, print_line
from interfaces.cli.session import Session, session_of
from interfaces.cli.waiting import working


def token(
    context: typer.Context,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="Let it do no more than this. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print an access token, to hand to another tool.

    curl -H "Authorization: Bearer $(muster token)" http://127.0.0.1:8000/v1/tasks
    """
    with working("Asking for a token"):
        answer = _ask(session_of(context), parse_scopes(scope or []))
    print_json(answer) if as_json else print_line(answer["access_token"])


def _ask(session: Session, scopes: Sequence[str]) -> dict[str, Any]:
    """The token endpoint's answer. `Client.token()` asks for all scopes and gives the text alone.

    Raises Unauthorized, Invalid (a scope that these credentials do not have) or Unavailable.
    """
    import httpx  # noqa: PLC0415 - it takes a third of a second

    from musterroll._connection import Credentials, resolve  # noqa: PLC0415
    from musterroll.errors import Unavailable, from_problem  # noqa: PLC0415

    connection = resolve(session.url, Credentials(**session.credentials()))
    form = connection.credentials.form(connection.url)
    if scopes:
        form["scope"] = " ".join(scopes)
    try:
        response = httpx.post(
            f"{connection.url}/v1/oauth/token", data=form, trust_env=not connection.is_loopback
        )
        answer: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(
            f"no token from {connection.url} ({error})", code="unreachable"
        ) from error
    if response.status_code >= 400:
        raise from_problem(response.status_code, answer)
    return answer
