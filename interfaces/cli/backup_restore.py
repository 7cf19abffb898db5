"""`muster backup restore` and `undo-restore`: another store in the place of the one that serves."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interfaces.cli.backup_jobs import PATH, JobFailed, Told, begin, look, named, path_of
from interfaces.cli.backup_words import Row, moment, number, plan_fields, stage_in_words
from interfaces.cli.failures import UNREACHABLE, Failure, Misuse
from interfaces.cli.output import AsJson, hint, print_fields, print_json, print_line
from interfaces.cli.session import Session, session_of
from interfaces.cli.waiting import measuring, working

if TYPE_CHECKING:
    from musterroll import Client

POSITION_MAX = 10**18 - 1
"""The API takes no larger one."""
AWAY_SECONDS_MAX = 120.0
AWAY_LOOK_SECONDS = 0.5
LOOKS_IN_VAIN_MAX = 20
STARTING = "Waiting for the service in its new epoch"

ToPosition = Annotated[
    int | None,
    typer.Option(
        min=1, max=POSITION_MAX, metavar="P", help="The event at this position is the last one."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class Away(Failure):
    """The service did not come back in time."""

    exit_code = UNREACHABLE


def restore(
    context: typer.Context,
    backup_id: Annotated[
        str,
        typer.Argument(
            metavar="BACKUP_ID",
            help="As `muster backup list` shows it; latest: the newest verified.",
        ),
    ],
    to_position: ToPosition = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Up to what was recorded then, 2026-01-31T14:03:00Z: some moments later than the "
            "time that an event shows.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would do.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go back to a backup, or to any event in it.

    A new store is made of it beside the one that serves, checked, and put in its place in one step.
    The former one is kept for 7 days: `muster backup undo-restore` puts it back.
    """
    if to_position is not None and to_time is not None:
        raise Misuse("give --to-position or --to-time, not both.")
    ends = {"to_position": to_position, "to_time": to_time}
    body = {name: end for name, end in ends.items() if end is not None}
    session = session_of(context)
    with session.connect() as client:
        with working("Planning"):
            path = path_of(named(client, backup_id), "/restore")
            planned = client.request("POST", path, json={**body, "dry_run": True})
        if dry_run:
            print_json(planned) if as_json else print_fields(plan_fields(planned["plan"]))
            return
        if not as_json:
            print_fields(plan_fields(planned["plan"]))
        after = _replaced(session, client, path, body, yes=yes)
    if as_json:
        print_json(after)
        return
    print_line(f"Restored: epoch {after['epoch']} has begun, at {after['cursor']}.")
    hint("Not what you wanted? muster backup undo-restore")


def undo(context: typer.Context, yes: Yes = False, as_json: AsJson = False) -> None:
    """Put back what the last restore put aside.

    That store serves again, in an epoch of its own; what came since is put aside in its place.
    """
    session = session_of(context)
    with session.connect() as client:
        with working("Asking"):
            store = client.request("GET", "/v1/store")
        if not as_json:
            print_fields(_undo_fields(store))
        # Where there is nothing to undo, the service says so.
        meant = yes or not store["former"]
        after = _replaced(session, client, f"{PATH}/undo-restore", None, yes=meant)
    if as_json:
        print_json(after)
        return
    print_line(f"Undone: epoch {after['epoch']} has begun, at {after['cursor']}.")


def _replaced(session: Session, client: "Client", path: str, body: Any, *, yes: bool) -> Row:
    """The store that serves once another is in the place of this one. Raises Misuse, Failure."""
    store = client.request("GET", "/v1/store")
    _require_meant(store, yes=yes)
    # In another epoch it is refused: an answer that was lost leads to no second restore.
    headers = {"If-Match": f'"{store["epoch"]}"'}
    with measuring() as tell:
        begun = begin(client, path, body, headers)
        return _followed(session, client, begun.get("job", begun), store["epoch"], tell)


def _undo_fields(store: Row) -> dict[str, object]:
    restored, former = store["restored"], store["former"]
    if not restored or not former:
        return {}
    newest = max(former, key=lambda one: one["epoch"])
    return {
        "put back": f"the store of epoch {newest['epoch']}, kept until {moment(newest['until'])}",
        "put aside": f"what serves now, restored {moment(restored['at'])} to position "
        f"{number(restored['position'])}",
    }


def _require_meant(store: Row, *, yes: bool) -> None:
    """Whoever restores says of which store: a terminal is easily mistaken for another."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misuse("this replaces the store that serves: say --yes where nobody can be asked.")
    whole = str(store["store_id"])
    word = whole.partition("-")[0]
    said = typer.prompt(f"Type {word}, the beginning of this store's id, to go on", err=True)
    if said.strip() not in {word, whole}:
        raise Failure("nothing was changed.")


def _followed(session: Session, client: "Client", job: Row, epoch: int, tell: Told) -> Row:
    """The store once it serves in a new epoch. Raises JobFailed, Away."""
    from musterroll.errors import NotFound, Unavailable  # noqa: PLC0415 - takes a while

    path = f"{PATH}/jobs/{job['job_id']}"
    try:
        while job["state"] == "running":
            tell(stage_in_words(job["stage"]), job["progress"])
            job = look(client, path)
    except (NotFound, Unavailable):
        # It starts anew, and knows of no job then; the store tells what came of it.
        tell(STARTING, 1.0)
    _require_no_failure(job)
    return _awaited(session, path, epoch)


def _awaited(session: Session, job_path: str, epoch: int) -> Row:
    """Asked anew each time: a service that starts again may be found elsewhere."""
    from musterroll.errors import NotFound, Unavailable  # noqa: PLC0415 - takes a while

    deadline = time.monotonic() + AWAY_SECONDS_MAX
    in_vain = 0
    while time.monotonic() < deadline and in_vain < LOOKS_IN_VAIN_MAX:
        try:
            with session.connect(retry_seconds=0) as client:
                store: Row = client.request("GET", "/v1/store")
                if store["epoch"] > epoch:
                    client.ready()
                    return store
                _require_no_failure(look(client, job_path))
        except NotFound:
            # Another process of the service may know it, but not for long.
            in_vain += 1
        except Unavailable:
            in_vain = 0
        time.sleep(AWAY_LOOK_SECONDS)
    if in_vain:
        raise JobFailed("the service was started anew before it came to that: nothing was changed.")
    raise Away(
        f"the service has not come back within {AWAY_SECONDS_MAX:.0f} s; its log says why. "
        "`muster backup list` tells, once it answers."
    )


def _require_no_failure(job: Row) -> None:
    if job["state"] == "failed":
        error = job["error"] or {}
        raise JobFailed(
            f"it failed, and nothing was changed: {error.get('message')} ({error.get('code')})."
        )
