"""`muster backup`: the log kept elsewhere, proved, and restored."""

from collections.abc import Callable
from operator import itemgetter
from typing import Annotated, Any, Literal

import typer

from interfaces.cli import backup_restore
from interfaces.cli.backup_jobs import (
    LATEST,
    PATH,
    NotAtLevel,
    begin,
    follow,
    look,
    named,
    path_of,
    require_done,
)
from interfaces.cli.backup_offline import list_store, verify_in_store
from interfaces.cli.backup_places import StoreId
from interfaces.cli.backup_words import Row, fields_of, number, proof, size, stage_in_words
from interfaces.cli.failures import FAILED, Failure, Misuse
from interfaces.cli.listing import show_list
from interfaces.cli.output import (
    AsJson,
    ago,
    hint,
    print_fields,
    print_json,
    print_line,
)
from interfaces.cli.session import session_of
from interfaces.cli.waiting import measuring, working

SETTLED = frozenset({"verified", "failed", "expired"})

BackupId = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP_ID", help="As `muster backup list` shows it; latest: the newest verified."
    ),
]
LatestId = Annotated[
    str,
    typer.Argument(metavar="[BACKUP_ID]", help="The newest verified one unless given."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Ask no service, read there: a folder, file:///folder or s3://bucket/prefix.",
    ),
]

app = typer.Typer(
    help="Keep the log elsewhere, prove that it can be restored, and restore it.",
    no_args_is_help=True,
)


@app.command()
def create(
    context: typer.Context,
    kind: Annotated[
        Literal["full", "incremental", "synthetic"],
        typer.Option(
            "--type",
            help="incremental: what is in none yet; full: everything anew; synthetic: stands "
            "alone, made of what the others wrote. The first one of an epoch is always full.",
        ),
    ] = "incremental",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Until it is verified; or do not.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Take a backup now, and read it back to prove it. The service does so by itself, too."""
    with session_of(context).connect() as client:
        with working("Asking"):
            receipt = client.request("POST", PATH, json={"type": kind})
        if not wait:
            _say_begun(receipt, as_json=as_json)
            return
        with measuring() as tell:
            row = look(client, path_of(receipt["backup_id"]))
            while row["status"] not in SETTLED:
                tell(stage_in_words(row["stage"]), row["progress"])
                row = look(client, path_of(receipt["backup_id"]))
    _show(row, as_json=as_json)
    if row["status"] == "failed":
        if as_json:
            raise typer.Exit(FAILED)
        raise Failure(f"the backup failed: {row['error']['message']} ({row['error']['code']}).")


@app.command("list")
def list_backups(
    context: typer.Context,
    status: Annotated[
        Literal["running", "stored", "verified", "failed", "expired"] | None,
        typer.Option(help="Only those that stand so."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 50,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List backups, newest first."""
    if store is not None:
        list_store(store, limit=limit, as_json=as_json)
        return
    with session_of(context).connect() as client:
        show_list(
            client,
            PATH,
            {"status": status},
            limit=limit,
            as_json=as_json,
            columns=COLUMNS,
            empty="There are none yet: `muster backup create` takes one.",
        )


@app.command()
def show(context: typer.Context, backup_id: BackupId, as_json: AsJson = False) -> None:
    """Show one backup: what is in it, and how it was proved."""
    with session_of(context).connect() as client, working("Asking"):
        row = client.request("GET", path_of(named(client, backup_id)))
    _show(row, as_json=as_json)


@app.command()
def verify(
    context: typer.Context,
    backup_id: BackupId,
    level: Annotated[
        int,
        typer.Option(
            min=0,
            max=3,
            metavar="N",
            help="0: manifests and that every file is there; 1: every file as it was written; "
            "2: every event read; 3: and every task and agent folded.",
        ),
    ] = 2,
    store: StoreUrl = None,
    store_id: StoreId = None,
    as_json: AsJson = False,
) -> None:
    """Read a backup back as if a stranger had written it. Exits with 1 when anything is wrong, or
    when it could not be read at the level that was asked for."""
    if store is not None:
        verify_in_store(store, backup_id, store_id=store_id, level=level, as_json=as_json)
        return
    if store_id is not None:
        raise Misuse("--store-id goes with --store: a service has one store.")

    def say(result: Row) -> None:
        print_line(
            f"It is as it was signed: {number(result.get('events'))} events looked at, at level "
            f"{result.get('level', level)}."
        )
        if result.get("reason"):
            raise NotAtLevel(level, str(result["reason"]))

    _run(context, backup_id, "/verify", {"level": level}, say, as_json=as_json)


@app.command()
def drill(context: typer.Context, backup_id: LatestId = LATEST, as_json: AsJson = False) -> None:
    """Prove that a backup can be restored.

    It is restored into a database of its own, what is shown of it is computed there and compared
    with what is shown here, and the database is dropped. Exits with 1 when anything differs.
    """

    def say(result: Row) -> None:
        print_line(
            f"It can be restored: {number(result.get('events'))} events up to position "
            f"{number(result.get('position'))}, and what is shown of them is the same."
        )

    _run(context, backup_id, "/drill", None, say, as_json=as_json)


@app.command()
def expire(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would go, and why.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let backups go that need not be kept.

    Which ones stay is said by the settings backup_keep_*; the newest drilled one always does.
    """
    with session_of(context).connect() as client, measuring() as tell:
        job = follow(client, begin(client, f"{PATH}/expire", {"dry_run": dry_run}), tell)
    if as_json:
        _print_job(job)
        return
    result = require_done(job)
    # The reasons are long: a table would cut them.
    for one in result["archives"]:
        print_line(f"{one['id']}  goes   {one['reason']}")
    for one in result["kept"]:
        print_line(f"{one['id']}  stays  {one['reason']}")
    verb = "would go" if result["dry_run"] else "went"
    print_line(
        f"{number(len(result['archives']))} backups {verb}, with {number(result['files'])} files "
        f"of {size(result['bytes'])}; {number(len(result['kept']))} stay."
    )
    for one in result.get("unreadable", ()):
        print_line(f"{one['name']} cannot be read ({one['fault']}): it stays, with its files.")
    if result.get("locked"):
        print_line(f"{number(result['locked'])} files are under a lock and stay until it ends.")


app.command("restore")(backup_restore.restore)
app.command("undo-restore")(backup_restore.undo)

COLUMNS: dict[str, Callable[[Row], object]] = {
    "BACKUP": itemgetter("id"),
    "STATUS": itemgetter("status"),
    "TYPE": itemgetter("type"),
    "STARTED": lambda row: ago(row["started_at"]),
    "POSITION": lambda row: number(row["position"]),
    "SIZE": lambda row: size(row["bytes"]),
    "PROVED": proof,
}


def _run(
    context: typer.Context,
    backup_id: str,
    what: str,
    body: Any,
    say: Callable[[Row], None],
    *,
    as_json: bool,
) -> None:
    with session_of(context).connect() as client:
        with working("Asking"):
            path = path_of(named(client, backup_id), what)
            job = begin(client, path, body)
        with measuring() as tell:
            job = follow(client, job, tell)
    if as_json:
        _print_job(job)
        if (job["result"] or {}).get("reason"):
            raise typer.Exit(FAILED)
    else:
        say(require_done(job))


def _print_job(job: Row) -> None:
    print_json(job)
    if job["state"] != "done":
        raise typer.Exit(FAILED)


def _show(row: Row, *, as_json: bool) -> None:
    print_json(row) if as_json else print_fields(fields_of(row))


def _say_begun(receipt: Row, *, as_json: bool) -> None:
    if as_json:
        print_json(receipt)
        return
    print_line(str(receipt["backup_id"]))
    hint(f"It is being taken: muster backup show {receipt['backup_id']}")
