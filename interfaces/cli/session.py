"""Which service a command speaks to, and as whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interfaces.cli.failures import Misuse

if TYPE_CHECKING:
    from musterroll import AsyncClient, Client

RETRY_SECONDS = 3.0

_GLOBAL_OPTIONS = (
    "--url",
    "--username",
    "--password",
    "--client-id",
    "--client-secret",
    "--token",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the user said of the service; None where the environment or `service.json` decides."""

    url: str | None = None
    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token: str | None = None

    def connect(self, *, retry_seconds: float = RETRY_SECONDS) -> "Client":
        """A client for the service. It asks nothing yet."""
        from musterroll import Client  # noqa: PLC0415 - its HTTP client takes a while

        return Client(self.url, **self.credentials(), retry_seconds=retry_seconds)

    def connect_async(self, *, retry_seconds: float = RETRY_SECONDS) -> "AsyncClient":
        """The same for an event loop."""
        from musterroll import AsyncClient  # noqa: PLC0415 - its HTTP client takes a while

        return AsyncClient(self.url, **self.credentials(), retry_seconds=retry_seconds)

    def credentials(self) -> dict[str, Any]:
        """The credentials by the names that the SDK gives them."""
        return {
            "username": self.username,
            "password": self.password,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "token": self.token,
        }


def open_session(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Where the service is.", metavar="URL")] = None,
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sign in as this person.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Their password; safer in MUSTERROLL_PASSWORD."),
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Sign in as this program.")
    ] = None,
    client_secret: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Its secret; safer in MUSTERROLL_CLIENT_SECRET."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Use this access token.")
    ] = None,
) -> None:
    """Keep what was said of the service for the command that follows."""
    context.obj = Session(
        url=url,
        username=username,
        password=password,
        client_id=client_id,
        client_secret=client_secret,
        token=token,
    )


def session_of(context: typer.Context) -> Session:
    """The session of a command."""
    session = context.find_object(Session)
    assert session is not None
    return session


def global_options_first(arguments: Sequence[str]) -> list[str]:
    """The same command line with the options of every command before the command.

    So that `muster task list --url URL` means what it says. What follows `--` is left alone.
    """
    before: list[str] = []
    after: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, is_joined, _ = argument.partition("=")
        if argument == "--":
            after += [argument, *waiting]
        elif name not in _GLOBAL_OPTIONS:
            after.append(argument)
        elif is_joined:
            before.append(argument)
        else:
            value = next(waiting, None)
            if value is None:
                raise Misuse(f"{argument} needs a value.")
            before += [argument, value]
    return before + after
