"""`muster user`: people, their scopes and passwords."""

from operator import itemgetter
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from interfaces.cli.arguments import parse_scopes, read_secret
from interfaces.cli.failures import NOT_FOUND, Failure, Misuse
from interfaces.cli.listing import show_list
from interfaces.cli.output import AsJson, hint, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.up import settings_of
from interfaces.cli.waiting import working

UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="As `muster user list` shows it.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Holds the password (- is standard input); else one is made."
    ),
]

app = typer.Typer(help="People who may sign in.", no_args_is_help=True)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What they sign in as.")],
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="What they may do, such as tasks:read. Repeatable."),
    ],
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Your own unless given.")
    ] = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a person. A password that was made is shown this once."""
    body = {
        "username": name,
        "password": read_secret(password_file),
        "scopes": parse_scopes(scope),
    } | ({"tenant": tenant} if tenant else {})
    with session_of(context).connect() as client, working("Adding"):
        made = client.request("POST", "/v1/users", json=body)
    if as_json:
        print_json(made)
    else:
        print_fields(
            {"user": made["user_id"], "scopes": made["scopes"], "password": made.get("password")}
        )


@app.command("list")
def list_users(context: typer.Context, as_json: AsJson = False) -> None:
    """List the people who may sign in."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/users",
            as_json=as_json,
            columns={
                "USER": itemgetter("user_id"),
                "NAME": itemgetter("username"),
                "TENANT": itemgetter("tenant"),
                "SCOPES": itemgetter("scopes"),
            },
            empty="There are none.",
        )


@app.command()
def rotate(
    context: typer.Context,
    user_id: UserId,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Give a person a new password. Their tokens stop working at once."""
    body = {"password": read_secret(password_file)}
    with session_of(context).connect() as client, working("Rotating"):
        made = client.request("POST", f"/v1/users/{quote(user_id, safe='')}/secret", json=body)
    if as_json:
        print_json(made)
    else:
        print_fields({"user": user_id, "password": made.get("password")})
        hint("The former password and its tokens have stopped working.")


@app.command("reset-password")
def reset_password(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What they sign in as.")],
    password_file: PasswordFile = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="That of the service.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the PostgreSQL is yours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a person a new password while no service runs, on its machine.

    For whoever lost the last administrator's: nobody has to sign in. Their tokens stop working.
    For admin, MUSTERROLL_ADMIN_PASSWORD is taken, else one is made and kept in the data folder.
    """
    from interfaces.bootstrap import password_offline as offline  # noqa: PLC0415 - heavy

    folder = data_dir and data_dir.expanduser().absolute()
    settings = settings_of({"data_dir": folder, "database_url": database_url})
    password = read_secret(password_file)
    if password_file is not None and not password:
        raise Misuse("--password-file holds no password.")
    try:
        with working("Resetting"):
            reset = offline.reset_password(settings, name, password)
    except (offline.NoStore, offline.NoSuchUser) as error:
        raise Missing(str(error)) from None
    file = reset.file and str(reset.file)
    if as_json:
        print_json(
            {"username": reset.username, "tenant": reset.tenant, "password_file": file}
            | ({"password": reset.password} if reset.password else {})
        )
        return
    fields = {"user": reset.username, "password": reset.password, "kept in": file}
    print_fields({name: text for name, text in fields.items() if text})
    hint("The former password and its tokens have stopped working.")


class Missing(Failure):
    """There is no such user, or no store."""

    exit_code = NOT_FOUND


@app.command()
def remove(context: typer.Context, user_id: UserId) -> None:
    """Remove a person. Their tokens stop working at once."""
    with session_of(context).connect() as client, working("Removing"):
        client.request("DELETE", f"/v1/users/{quote(user_id, safe='')}")
    print_line(f"{user_id}  removed")
