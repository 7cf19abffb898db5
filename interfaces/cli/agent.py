"""`muster agent`: who does the work."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from interfaces.cli import agent_run
from interfaces.cli.arguments import parse_pairs
from interfaces.cli.failures import NOT_FOUND, Failure
from interfaces.cli.listing import items_of, show_list
from interfaces.cli.output import AsJson, ago, hint, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.task_read import STORY, At, as_of
from interfaces.cli.waiting import working

if TYPE_CHECKING:
    from musterroll import Client

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")]
Capability = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="What it can do. Repeatable.")
]
Label = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Repeatable.")]
Row = Mapping[str, Any]

app = typer.Typer(help="Register agents, run them, look after them.", no_args_is_help=True)
app.command("run", context_settings=agent_run.CONTEXT_SETTINGS, help=agent_run.HELP)(agent_run.run)


class NoSuchAgent(Failure):
    """No agent has this name."""

    exit_code = NOT_FOUND


@app.command()
def register(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name of its own: it stays the agent's for ever."),
    ],
    capability: Annotated[
        list[str], typer.Option(metavar="NAME", help="What it can do. Repeatable.")
    ],
    slots: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many tasks it does at once.")
    ] = 1,
    label: Label = None,
    as_json: AsJson = False,
) -> None:
    """Register an agent, and print its credentials. They are shown this once."""
    body = {
        "name": name,
        "capabilities": capability,
        "slots": slots,
        "labels": parse_pairs(label or [], option="--label"),
    }
    with session_of(context).connect() as client, working("Registering"):
        made = client.request("POST", "/v1/agents", json=body)
    if as_json:
        print_json(made)
    else:
        _show_secret({"agent": made["agent_id"], **made})


@app.command("list")
def list_agents(context: typer.Context, as_json: AsJson = False) -> None:
    """List the agents: who is there, how busy, and what they have done."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/agents",
            as_json=as_json,
            columns=_COLUMNS,
            empty="No agents. Start one: muster agent run --help",
        )


@app.command()
def get(context: typer.Context, agent: AgentName, at: At = None, as_json: AsJson = False) -> None:
    """Show everything that is known of an agent, or was at a moment."""
    with session_of(context).connect() as client, working("Asking"):
        row = client.request("GET", f"/v1/agents/{_id_of(client, agent)}", params=as_of(at))
    if as_json:
        print_json(row)
        return
    print_fields(
        {
            "agent": row["id"],
            "name": row["name"],
            "state": row["state"],
            "last heard": row["last_heard_at"] and ago(row["last_heard_at"]),
            "can": row["capabilities"],
            "busy": f"{_count(row['running'])} of {row['slots']} slots",
            "load": None if row["load"] is None else f"{row['load']:.0f} %",
            "labels": row["labels"],
            "tasks": f"{row['completed']} done, {row['failed']} failed, {row['lost']} lost",
            "registered": row["registered_at"] and ago(row["registered_at"]),
        }
    )


@app.command()
def history(
    context: typer.Context,
    agent: AgentName,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many; all unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to an agent, event by event."""
    with session_of(context).connect() as client:
        show_list(
            client,
            f"/v1/agents/{_id_of(client, agent)}/history",
            limit=limit,
            as_json=as_json,
            columns=STORY,
            empty="Nothing happened.",
        )


@app.command()
def change(
    context: typer.Context,
    agent: AgentName,
    capability: Capability = None,
    slots: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many tasks at once.")
    ] = None,
    label: Label = None,
    as_json: AsJson = False,
) -> None:
    """Give an agent other capabilities, slots or labels. What is left out stays."""
    given: dict[str, Any] = {
        "capabilities": capability,
        "slots": slots,
        "labels": parse_pairs(label, option="--label") if label else None,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    _do(context, agent, "PATCH", body=wanted, as_json=as_json)


@app.command()
def drain(context: typer.Context, agent: AgentName, as_json: AsJson = False) -> None:
    """Give an agent no new work. What it holds it may finish."""
    _do(context, agent, "POST", "/drain", as_json=as_json)


@app.command()
def resume(context: typer.Context, agent: AgentName, as_json: AsJson = False) -> None:
    """Let a drained agent take work again."""
    _do(context, agent, "POST", "/resume", as_json=as_json)


@app.command()
def retire(context: typer.Context, agent: AgentName, as_json: AsJson = False) -> None:
    """End an agent's service. Registering its name again brings it back."""
    _do(context, agent, "POST", "/retire", as_json=as_json)


@app.command()
def rotate(context: typer.Context, agent: AgentName, as_json: AsJson = False) -> None:
    """Give an agent a new secret, shown this once. The former stops working now."""
    with session_of(context).connect() as client, working("Rotating"):
        made = client.request("POST", f"/v1/agents/{_id_of(client, agent)}/secret")
    print_json(made) if as_json else _show_secret(made)


def _do(
    context: typer.Context,
    agent: str,
    method: str,
    verb: str = "",
    *,
    body: Mapping[str, Any] | None = None,
    as_json: bool,
) -> None:
    with session_of(context).connect() as client, working("Asking"):
        answer = client.request(method, f"/v1/agents/{_id_of(client, agent)}{verb}", json=body)
    print_json(answer) if as_json else print_line(f"{agent}  done, version {answer['version']}")


def _id_of(client: "Client", name_or_id: str) -> str:
    """Raises NoSuchAgent."""
    if _is_id(name_or_id):
        return name_or_id
    for row in items_of(client, "/v1/agents", {}, limit=None):
        if row["name"] == name_or_id:
            return str(row["id"])
    raise NoSuchAgent(f"there is no agent called {name_or_id!r}; `muster agent list` names them.")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _show_secret(made: Row) -> None:
    print_fields(
        {
            "agent": made.get("agent"),
            "client id": made["client_id"],
            "client secret": made["client_secret"],
        }
    )
    hint("Keep the secret now: it is not shown again. The worker reads both from")
    hint("MUSTERROLL_CLIENT_ID and MUSTERROLL_CLIENT_SECRET.")


def _count(running: object) -> int:
    """How many tasks an agent runs: the API may list them or count them."""
    return len(running) if isinstance(running, list) else int(str(running or 0))


_COLUMNS: dict[str, Callable[[Row], object]] = {
    "AGENT": itemgetter("name"),
    "STATE": itemgetter("state"),
    "BUSY": lambda row: f"{_count(row['running'])}/{row['slots']}",
    "LOAD": lambda row: "-" if row["load"] is None else f"{row['load']:.0f} %",
    "DONE": itemgetter("completed"),
    "FAILED": itemgetter("failed"),
    "LOST": itemgetter("lost"),
    "HEARD": lambda row: ago(row["last_heard_at"]),
    "CAN": itemgetter("capabilities"),
}
