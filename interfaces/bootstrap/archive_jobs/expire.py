"""Lets archives go that no rule keeps: `{"store_id", "dry_run"}`."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from application.archives.chain import Catalogue
from application.archives.expiry import Expiry, Known
from application.archives.ports import Told
from application.archives.retention import Rules
from infrastructure.archives.collecting import translated
from infrastructure.archives.holding import SQL, letting_go
from infrastructure.archives.named_keys import named_key
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs.context import JobContext

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """The members that POST /v1/backups/expire tells of. `archives` are those to write
    `archive.expired` for, also when an earlier run let them go and died.

    Raises ControlPlaneError; JobUnderWay while an archive is being taken, by whatever process.
    """
    assert context.database_url is not None, "whoever lets go asks the log first"
    with letting_go(context.database_url) as connection:
        return _let_go(context, request, known_in(connection), told)


def known_in(connection: Connection[TupleRow]) -> Known:
    """What the log knows of archives that are there. Raises DatabaseUnavailable."""
    with translated():
        rows = connection.execute(SQL["statuses"]).fetchall()
    return Known(
        statuses={archive_id: status for archive_id, status, _ in rows},
        drilled=frozenset(archive_id for archive_id, _, equal in rows if equal),
    )


def _let_go(
    context: JobContext, request: dict[str, Any], known: Known, told: Told
) -> dict[str, Any]:
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    expiry = Expiry(
        repository,
        Catalogue(repository, store_id, signed, context.trusted_keys),
        rules=rules_of(context.settings),
        grace=timedelta(hours=context.settings.backup_grace_hours),
        key_of=named_key,
    )
    dry_run = bool(request["dry_run"])
    expired = expiry.run(known, now=datetime.now(UTC), dry_run=dry_run, told=told)
    return expired.members(dry_run=dry_run)


def rules_of(settings: "Settings") -> Rules:
    """Which archives stay."""
    return Rules(
        last=settings.backup_keep_last,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
        age_min=timedelta(days=settings.backup_keep_days_min),
    )
