"""`muster`: the command groups put together, and every failure as one line and an exit code."""

import sys
from collections.abc import Sequence

import typer
from typer.core import TyperGroup

from interfaces.cli import (
    access_token,
    activity,
    agent,
    audit,
    backup,
    client,
    doctor,
    events,
    history,
    subject,
    task,
    up,
    user,
    webhook,
)
from interfaces.cli.demo import command as demo
from interfaces.cli.failures import debugging, exit_code_of, reason_of
from interfaces.cli.session import global_options_first, open_session

_HELP = """
Musterroll, a control plane for AI agents.

Start here: `muster demo` shows everything at work on real files, within a minute.
`muster up` starts a service of your own, and the other commands find it by themselves;
--url names a service elsewhere. The options below may stand anywhere on the line.

Every command has --help and, for programs, --json. Shell completion:
`muster --install-completion`, then a new shell.
"""

_EPILOG = """
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the service cannot be reached, 4 not allowed,
5 not found, 130 interrupted. MUSTERROLL_DEBUG=1 shows where a failure came from.
"""


class _InOrder(TyperGroup):
    """Commands in the order in which they are needed, whether or not they have subcommands."""

    def list_commands(self, _context: object) -> list[str]:
        return sorted(self.commands, key=_ORDER.index)


_ORDER = (
    *("demo", "up", "task", "agent", "events", "activity", "history", "audit", "backup"),
    *("user", "client", "webhook", "subject", "token", "doctor"),
)

app = typer.Typer(
    cls=_InOrder,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    # Rich help costs a quarter of a second, each time.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback()(open_session)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.add_typer(task.app, name="task")
app.add_typer(agent.app, name="agent")
app.add_typer(events.app, name="events")
app.command("activity")(activity.activity)
app.add_typer(history.app, name="history")
app.add_typer(audit.app, name="audit")
app.add_typer(backup.app, name="backup")
app.add_typer(user.app, name="user")
app.add_typer(client.app, name="client")
app.add_typer(subject.app, name="subject")
app.add_typer(webhook.app, name="webhook")
app.command("token")(access_token.token)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run `muster` with this process's arguments, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and answer its exit code (interfaces/README.md lists them)."""
    try:
        app(args=global_options_first(arguments), prog_name="muster")
    except SystemExit as ended:
        return _code_of(ended)
    except Exception as error:
        if debugging():
            raise
        sys.stderr.write(f"muster: {reason_of(error)}\n")
        return exit_code_of(error)
    return 0


def _code_of(ended: SystemExit) -> int:
    # typer and rich end the process when nobody reads on (`| head`): that is no failure.
    if isinstance(ended.__context__, BrokenPipeError):
        return 0
    return ended.code if isinstance(ended.code, int) else 0


if __name__ == "__main__":
    main()
