"""`muster audit`: that nobody changed the log, verified here and proved to others."""

from collections.abc import Mapping
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interfaces.cli.arguments import read_json
from interfaces.cli.failures import FAILED, NOT_FOUND, Failure, Misuse
from interfaces.cli.listing import show_list
from interfaces.cli.output import AsJson, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.up import settings_of
from interfaces.cli.waiting import counting, working

if TYPE_CHECKING:
    from application.seals.head import Head
    from application.seals.verification import Verdict

HeadsOption = Annotated[
    Path | None,
    typer.Option(
        "--heads", metavar="FILE", help="Heads that were kept, one a line: believed above all."
    ),
]

app = typer.Typer(help="Prove that nobody changed the log.", no_args_is_help=True)


class NoHeads(Failure):
    """There is no file of that name, or none of heads."""

    exit_code = NOT_FOUND


@app.command()
def verify(
    heads: HeadsOption = None,
    database_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The service's database; else as `muster up` finds it."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The data folder of the service.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the whole log in the database and compare it with its seals. Exits with 1 when anything
    was changed, and names the first position.

    It asks no service, and works beside one. Without --heads, the service's own file of heads is
    taken where there is one; what was cut off or written anew, seals and all, only heads that were
    kept out of reach can tell.
    """
    from application.seals.verification import Verification  # noqa: PLC0415 - the service's parts
    from interfaces.bootstrap.seals import (  # noqa: PLC0415
        evidence_of,
        heads_file_of,
        signed,
    )

    given = {
        "database_url": database_url,
        "data_dir": data_dir and data_dir.expanduser().absolute(),
    }
    settings = settings_of({name: value for name, value in given.items() if value is not None})
    file = heads or heads_file_of(settings)
    # Before the log is looked at: a head that is written meanwhile is of what was not read.
    kept = _heads_in(file) if heads or file.exists() else []
    with counting("Reading the log") as progress, evidence_of(settings) as evidence:
        verdict = Verification(evidence, signed, kept, progress=progress).run()
    _show(verdict, file if kept else None, as_json=as_json)
    if verdict.fault:
        if as_json:
            raise typer.Exit(FAILED)
        raise Failure(verdict.fault.message)


@app.command("heads")
def list_heads(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the signed heads of the log, newest first. With --json they are lines to be kept."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/audit/heads",
            limit=limit,
            as_json=as_json,
            columns={
                "EVENTS": itemgetter("size"),
                "POSITION": itemgetter("position"),
                "SEALED": itemgetter("time"),
                "ROOT": itemgetter("root"),
            },
            empty="Nothing is sealed yet.",
        )


@app.command()
def proof(
    context: typer.Context,
    position: Annotated[
        int | None,
        typer.Argument(min=1, metavar="[POSITION]", help="Of the event that is to be in the log."),
    ] = None,
    old: Annotated[
        int | None, typer.Option("--from", min=1, metavar="SIZE", help="Of a former head.")
    ] = None,
    new: Annotated[
        int | None, typer.Option("--to", min=1, metavar="SIZE", help="Of a later head.")
    ] = None,
) -> None:
    """Print a proof, to be kept in a file: that an event is in the log, or that the log of one head
    begins with that of another."""
    asked = {"position": position, "from": old, "to": new}
    if (position is None) == (old is None) or (old is None) != (new is None):
        raise Misuse("give a position, or --from and --to.")
    with session_of(context).connect() as client, working("Proving"):
        found = client.request(
            "GET",
            "/v1/audit/proof",
            params={name: value for name, value in asked.items() if value is not None},
        )
    print_json(found)


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof; - reads standard input.")],
    heads: HeadsOption = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The id of the key that is trusted (`keys` lists them)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof without any service. Exits with 1 when it proves nothing."""
    from application.seals.proof_files import check  # noqa: PLC0415 - the service's parts
    from interfaces.bootstrap.seals import signed  # noqa: PLC0415

    kept = _heads_in(heads) if heads else []
    if heads and not kept:
        raise NoHeads(f"{heads} holds no heads.")
    checked = check(read_json(file), signed, kept=kept, trusted=key)
    if as_json:
        members = checked.head.members()
        print_json({"statement": checked.statement, "vouched": checked.vouched, "head": members})
        return
    print_line(checked.statement)
    if not checked.vouched:
        print_line(f"Nobody vouches for the key {checked.head.key_id}: give --heads or --key.")


@app.command()
def trail(
    context: typer.Context,
    actor: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only of this one: user/alice, anonymous.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="audit.commanded, audit.read, audit.refused."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: 2026-01-31T14:03:00Z.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what people did, asked for and were refused, newest first."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/audit/trail",
            {"actor": actor, "type": kind, "since": since},
            limit=limit,
            as_json=as_json,
            columns={
                "CURSOR": itemgetter("id"),
                "TIME": itemgetter("time"),
                "ACTOR": itemgetter("actor"),
                "WHAT": itemgetter("type"),
                "REQUEST": _request_of,
                "ANSWER": lambda entry: entry["data"].get("code") or entry["data"].get("status"),
                "FROM": lambda entry: entry["data"].get("address"),
            },
            empty="Nobody did anything.",
        )


def _request_of(entry: Mapping[str, Any]) -> str | None:
    """The method and route, with what it was about; of those that were counted, how many."""
    asked = entry["data"]
    if "route" not in asked:
        count = asked.get("count")
        return None if count is None else f"{count} refusals more"
    about = " ".join(f"{name}={value}" for name, value in asked["about"].items())
    return f"{asked['method']} {asked['route']} {about}".rstrip()


@app.command("keys")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List the public keys that heads are signed with."""
    with session_of(context).connect() as client, working("Reading"):
        found = client.request("GET", "/v1/audit/keys")["items"]
    for one in found:
        if as_json:
            print_json(one)
        else:
            print_fields(
                {"key": one["key_id"], "public": one["public_key"], "since": one["added_at"]}
            )


def _heads_in(path: Path) -> "list[Head]":
    from domain.errors import Invalid  # noqa: PLC0415 - the service's parts
    from interfaces.bootstrap.seals import kept_heads  # noqa: PLC0415

    try:
        return kept_heads(path)
    except OSError as error:
        raise NoHeads(f"{path} cannot be read: {error.strerror}.") from None
    except Invalid as error:
        raise Failure(error.message) from None


def _show(verdict: "Verdict", file: Path | None, *, as_json: bool) -> None:
    last = verdict.last
    if as_json:
        print_json(
            {
                "ok": verdict.fault is None,
                "log": str(verdict.log),
                "sealed": verdict.sealed,
                "unsealed": verdict.unsealed,
                "seals": verdict.seals,
                "compared": verdict.compared,
                "restored_over": verdict.restored_over,
                "last": last.members() if last else None,
                "fault": asdict(verdict.fault) if verdict.fault else None,
            }
        )
        return
    if verdict.fault:
        return
    until = f", up to position {last.position}" if last else ""
    sealed, seals = _counted(verdict.sealed, "event"), _counted(verdict.seals, "seal")
    print_line(f"Nothing was changed: {sealed} in {seals}{until}.")
    print_line(f"Not sealed yet: {_counted(verdict.unsealed, 'event')}.")
    if file:
        print_line(f"Compared with {_counted(verdict.compared, 'head')} of {file}.")
        if verdict.restored_over:
            heads = _counted(verdict.restored_over, "head")
            print_line(f"Of what a restore took back: {heads}.")
    else:
        print_line(
            "No heads were compared: a log that was cut or written anew is not told from this."
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
