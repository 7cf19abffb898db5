"""`muster task why`: every step of a task, and the reason for it."""

from collections.abc import Mapping
from typing import Any

import typer

from interfaces.cli.output import AsJson, harmless, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.task_read import TaskId, path_of
from interfaces.cli.waiting import working

app = typer.Typer()

Row = Mapping[str, Any]


@app.command()
def why(context: typer.Context, task_id: TaskId, as_json: AsJson = False) -> None:
    """Explain a task: who was chosen and why, what failed, what was refused."""
    with session_of(context).connect() as client, working("Asking"):
        answer = client.request("GET", path_of(task_id) + "/why")
    if as_json:
        print_json(answer)
        return
    for number, step in enumerate(answer["steps"]):
        print_line(f"{step['cursor']:<8} {step['time']}  {harmless(step['text'])}")
        if step["decision"]:
            print_line(f"{'':<8} {_verdict(step['decision'])}")
        if number == 0 and answer["truncated"]:
            print_line(f"{'':<8} ...")


def _verdict(decision: Row) -> str:
    if decision["reproduced"] == "unknown_policy":
        return "This service does not know that version of the policy, and cannot check it."
    if decision["reproduced"]:
        return "Made again from what was recorded, it comes out the same."
    winner = decision["recomputed_winner"]
    name = winner["name"] or winner["agent_id"]
    return f"MADE AGAIN FROM WHAT WAS RECORDED, IT COMES OUT OTHERWISE: the winner is {name}."
