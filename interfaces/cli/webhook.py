"""`muster webhook`: programs elsewhere that are sent events, and what could not be sent."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import quote

import typer

from interfaces.cli.arguments import parse_pairs
from interfaces.cli.listing import show_list
from interfaces.cli.output import AsJson, ago, hint, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

PATH = "/v1/webhooks"

WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK_ID", help="As `muster webhook list` shows it.")
]

app = typer.Typer(help="Programs elsewhere that are sent events.", no_args_is_help=True)


@app.command()
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted to.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable: tasks (if none), agents, tasks.ID, ..."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Repeatable: only task.completed, ..."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Repeatable: only of what had all of them."),
    ] = None,
    after: Annotated[
        str, typer.Option(metavar="CURSOR", help="Everything after this place: 1:4711, start, now.")
    ] = "now",
    as_json: AsJson = False,
) -> None:
    """Add a webhook; it waits until it is allowed. Its secret is shown this once."""
    body = {
        "url": url,
        "channels": channel or ["tasks"],
        "types": kind or [],
        "labels": parse_pairs(label or [], option="--label"),
        "after": after,
    }
    with session_of(context).connect() as client, working("Adding"):
        made = client.request("POST", PATH, json=body)
    if as_json:
        print_json(made)
        return
    print_fields({"webhook": made["webhook_id"], "secret": made["secret"], "state": made["state"]})
    hint(f"Keep the secret now. It delivers once you say: muster webhook allow {_id_of(made)}")


@app.command("list")
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List webhooks with how they stand."""
    with session_of(context).connect() as client:
        show_list(
            client,
            PATH,
            as_json=as_json,
            columns={
                "WEBHOOK": _id_of,
                "STATE": itemgetter("state"),
                "URL": itemgetter("url"),
                "CHANNELS": itemgetter("channels"),
                "BEHIND": itemgetter("lag"),
                "DEAD": itemgetter("dead_letters"),
            },
            empty="There are none.",
        )


@app.command("get")
def get(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show one webhook."""
    with session_of(context).connect() as client, working("Reading"):
        found = client.request("GET", _path(webhook_id))
    _show(found, as_json=as_json)


@app.command()
def allow(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Let it deliver, from where it stopped."""
    _change(context, webhook_id, "/allow", as_json=as_json)


@app.command()
def pause(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Let it stop; it keeps its place."""
    _change(context, webhook_id, "/pause", as_json=as_json)


@app.command()
def rotate(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Give it a new secret, shown this once; the former one signs too for a day."""
    with session_of(context).connect() as client, working("Rotating"):
        made = client.request("POST", _path(webhook_id, "/secret"))
    if as_json:
        print_json(made)
    else:
        print_fields({"webhook": webhook_id, "secret": made["secret"]})
        hint("Keep the secret now: it is not shown again.")


@app.command()
def remove(context: typer.Context, webhook_id: WebhookId) -> None:
    """Remove it with its dead letters."""
    with session_of(context).connect() as client, working("Removing"):
        client.request("DELETE", _path(webhook_id))
    print_line(f"{webhook_id}  removed")


@app.command("dead-letters")
def dead_letters(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """List the events that it was sent in vain."""
    with session_of(context).connect() as client:
        show_list(
            client,
            _path(webhook_id, "/dead-letters"),
            as_json=as_json,
            columns={
                "CURSOR": itemgetter("cursor"),
                "TYPE": itemgetter("type"),
                "OF": itemgetter("aggregate_id"),
                "ATTEMPTS": itemgetter("attempts"),
                "FAILED": lambda row: ago(row["last_failed_at"]),
                "WHY": itemgetter("last_failure"),
            },
            empty="There are none.",
        )


@app.command()
def retry(
    context: typer.Context,
    webhook_id: WebhookId,
    cursor: Annotated[
        list[str] | None, typer.Option(metavar="CURSOR", help="Repeatable; all unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Deliver dead letters after all."""
    body = {"cursors": cursor} if cursor else {}
    _change(context, webhook_id, "/dead-letters/retry", body, as_json=as_json)


def _change(
    context: typer.Context,
    webhook_id: str,
    what: str,
    body: Mapping[str, Any] | None = None,
    *,
    as_json: bool,
) -> None:
    with session_of(context).connect() as client, working("Asking"):
        found = client.request("POST", _path(webhook_id, what), json=body)
    _show(found, as_json=as_json)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    failed_at = found["last_failed_at"]
    print_fields(
        {
            "webhook": _id_of(found),
            "state": found["state"],
            "url": found["url"],
            "channels": found["channels"],
            "types": found["types"] or None,
            "labels": found["labels"],
            "stands at": f"{found['cursor']}, {found['lag']} behind",
            "waiting": found["parked"] or None,
            "dead letters": found["dead_letters"] or None,
            "last failure": failed_at and f"{found['last_failure']}, {ago(failed_at)}",
            "added by": found["created_by"],
        }
    )


def _id_of(row: Mapping[str, Any]) -> str:
    return str(row["webhook_id"])


def _path(webhook_id: str, what: str = "") -> str:
    return f"{PATH}/{quote(webhook_id, safe='')}{what}"
