"""`muster client`: programs, their scopes and secrets."""

from operator import itemgetter
from typing import Annotated
from urllib.parse import quote

import typer

from interfaces.cli.arguments import parse_scopes
from interfaces.cli.listing import show_list
from interfaces.cli.output import AsJson, hint, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

ClientId = Annotated[
    str, typer.Argument(metavar="CLIENT_ID", help="As `muster client list` shows it.")
]

app = typer.Typer(help="Programs that may sign in.", no_args_is_help=True)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the program is called.")],
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="What it may do, such as tasks:write. Repeatable."),
    ],
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Your own unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a program. Its secret is shown this once."""
    body = {"name": name, "scopes": parse_scopes(scope)} | ({"tenant": tenant} if tenant else {})
    with session_of(context).connect() as client, working("Adding"):
        made = client.request("POST", "/v1/clients", json=body)
    if as_json:
        print_json(made)
    else:
        print_fields(
            {
                "client id": made["client_id"],
                "client secret": made["client_secret"],
                "scopes": made["scopes"],
            }
        )
        hint("Keep the secret now: it is not shown again.")


@app.command("list")
def list_clients(context: typer.Context, as_json: AsJson = False) -> None:
    """List the programs that may sign in."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/clients",
            as_json=as_json,
            columns={
                "CLIENT": itemgetter("client_id"),
                "NAME": itemgetter("name"),
                "TENANT": itemgetter("tenant"),
                "SCOPES": itemgetter("scopes"),
            },
            empty="There are none.",
        )


@app.command()
def rotate(context: typer.Context, client_id: ClientId, as_json: AsJson = False) -> None:
    """Give a program a new secret, shown this once. Its tokens stop working at once."""
    with session_of(context).connect() as client, working("Rotating"):
        made = client.request("POST", f"/v1/clients/{quote(client_id, safe='')}/secret")
    if as_json:
        print_json(made)
    else:
        print_fields({"client id": client_id, "client secret": made["client_secret"]})
        hint("Keep the secret now: it is not shown again. The former one has stopped working.")


@app.command()
def remove(context: typer.Context, client_id: ClientId) -> None:
    """Remove a program. Its tokens stop working at once."""
    with session_of(context).connect() as client, working("Removing"):
        client.request("DELETE", f"/v1/clients/{quote(client_id, safe='')}")
    print_line(f"{client_id}  removed")
