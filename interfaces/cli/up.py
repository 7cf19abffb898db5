"""`muster up`: the whole service, in the foreground."""

import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interfaces.cli.backup_places import StoreId, id_given, place_at, telling_what_is_there
from interfaces.cli.failures import Failure, Misuse
from interfaces.cli.output import print_fields, print_line
from interfaces.cli.waiting import measuring, working

if TYPE_CHECKING:
    from interfaces.bootstrap import Settings

LogLevel = Literal["debug", "info", "warning", "error"]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, metavar="N", help="Port; 8000. 0 takes any that is free."),
]
RestoreFrom = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Make the store out of a backup there first: a folder, file:///folder or "
        "s3://bucket/prefix. Only where there is none yet.",
    ),
]
Archive = Annotated[
    str | None, typer.Option(metavar="ID", help="Of that, this backup; else the newest.")
]
AllowedOrigin = Annotated[
    list[str] | None, typer.Option(metavar="URL", help="Another origin of pages; repeatable.")
]
UntilStdinCloses = Annotated[
    bool, typer.Option("--until-stdin-closes", hidden=True, help="End with the parent.")
]
Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY_ID", help="Believe backups signed with this key; repeatable."),
]


def up(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on; 127.0.0.1.")
    ] = None,
    port: Port = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Database, keys and first password.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A PostgreSQL of yours; else one is started."),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="What is logged to stderr: info, on a terminal warning.")
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Allow another address than this machine's own.")
    ] = False,
    allowed_origin: AllowedOrigin = None,
    restore_from: RestoreFrom = None,
    archive: Archive = None,
    store_id: StoreId = None,
    trust: Trust = None,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Run the whole service until Ctrl-C.

    Each setting is a flag here, a MUSTERROLL_* variable (MUSTERROLL_PORT), or a line of
    musterroll.toml in the working folder (port = 8000), in this order. There are more of them than
    flags: see infrastructure/README.md.
    """
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "data_dir": data_dir and data_dir.expanduser().absolute(),
        "database_url": database_url,
        "log_level": log_level,
        "behind_proxy": behind_proxy or None,
        "allowed_origins": allowed_origin or None,
    }
    if until_stdin_closes:
        threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()
    settings = _quieter_on_a_terminal(settings_of(given))
    if restore_from is not None:
        _restore(settings, restore_from, archive, store_id, trust or [])
    elif archive or store_id or trust:
        raise Misuse("--archive, --store-id and --trust go with --restore-from.")
    _serve(settings)


def _quieter_on_a_terminal(settings: "Settings") -> "Settings":
    if sys.stderr.isatty() and "log_level" not in settings.model_fields_set:
        # Somebody is looking: a line for every request would push everything else off the screen.
        return settings.model_copy(update={"log_level": "warning"})
    return settings


def _restore(
    settings: "Settings", url: str, archive: str | None, store: str | None, trust: list[str]
) -> None:
    """Raises what `restore_into_empty` raises: the first line of each says why."""
    from interfaces.bootstrap.empty_machine import restore_into_empty  # noqa: PLC0415

    archive_id, store_id = id_given("--archive", archive), id_given("--store-id", store)
    place = settings.model_copy(update={"backup_store": place_at("--restore-from", url)})
    with telling_what_is_there(url), measuring() as tell:
        restored = restore_into_empty(
            place,
            archive_id=archive_id,
            store_id=store_id,
            trusted=trust,
            told=lambda stage, done, total: tell(
                stage.capitalize(), done / total if total else 0.0
            ),
        )
    print_line(
        f"Restored {restored['events']} events, up to position {restored['position']}; "
        f"epoch {restored['epoch']} begins."
    )


def _serve(settings: "Settings") -> None:
    """Raises what `serve` raises: the first line of each says why."""
    from interfaces.bootstrap import build  # noqa: PLC0415 - only the service needs these
    from interfaces.http.server import serve  # noqa: PLC0415

    with ExitStack() as starting:
        starting.enter_context(working("Starting; the first time, a database is made"))

        def welcome(url: str) -> None:
            starting.close()
            _welcome(settings, url)

        serve(build(settings), on_ready=welcome)


def _welcome(settings: "Settings", url: str) -> None:
    """A few lines for whoever started it; what programs need is in service.json."""
    password = settings.data_dir / "admin-password"
    chosen = "the one chosen at the first start; lost? Stop this: muster user reset-password admin"
    kept = f"in {password}" if password.exists() else chosen
    print_line(f"Musterroll is ready at {url}")
    print_line()
    print_fields(
        {
            "  API": f"{url}/docs",
            "  sign in": f"as admin; the password is {kept}",
            "  data": "your PostgreSQL" if settings.database_url else str(settings.data_dir),
        }
    )
    print_line()
    print_line("Try, in another terminal:")
    for command in _FIRST_COMMANDS:
        print_line(f"  {command}")
    print_line()
    print_line("Ctrl-C stops it.")


_FIRST_COMMANDS = (
    "muster doctor",
    "muster agent run --kind command --name echo --task echo -- cat",
    """muster task submit echo --input '"hello"' --wait""",
    "muster events tail --follow",
)


def _stop_when_stdin_closes() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def settings_of(given: dict[str, Any]) -> "Settings":
    """The service's settings, flags first; None is a flag that was not given. Raises Failure where
    one makes no sense."""
    from pydantic import ValidationError  # noqa: PLC0415 - only the service needs these

    from interfaces.bootstrap import Settings  # noqa: PLC0415

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(
            ": ".join([*map(str, fault["loc"]), fault["msg"].removeprefix("Value error, ")])
            for fault in error.errors()
        )
        raise Failure(f"a setting makes no sense: {faults}.") from error
