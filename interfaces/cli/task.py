"""`muster task`: submit work, watch it, and step in."""

import typer

from interfaces.cli import task_change, task_read, task_submit, task_watch, task_why

app = typer.Typer(help="Submit work, watch it, step in.", no_args_is_help=True)
app.add_typer(task_submit.app)
app.add_typer(task_read.app)
app.add_typer(task_why.app)
app.add_typer(task_watch.app)
app.add_typer(task_change.app)
