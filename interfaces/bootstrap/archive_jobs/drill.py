"""Restores an archive into a database of its own, compares it with what was, and drops it:
`{"store_id", "archive_id"}`; without the last, the newest one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from application.archives.faults import BadArchive, DiskFull
from application.archives.ports import JobFailed, Told
from domain.errors import DatabaseUnavailable
from infrastructure.archives.checking import Effort
from infrastructure.archives.next_store import SQL, NextStore, owner_session, translated
from infrastructure.archives.restoring import Source, build
from infrastructure.archives.verifying import may_be_gone
from infrastructure.postgres.pool import SCHEMA
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.plan import source_in
from interfaces.bootstrap.archive_jobs.restore import urls_of


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"archive_id", "position", "events", "equal", "seconds", "code", "message", "file"}`; the
    last three tell what is wrong and where, or are null. The live store is only asked where the
    server is.

    Raises JobFailed (`drill_not_possible`), RepositoryUnavailable, DatabaseUnavailable, and
    BadArchive where there is no manifest to begin with.
    """
    began = time.monotonic()
    source = source_in(context, request)
    manifest = source.chain.newest
    fault: tuple[str, str, str | None] | None = None
    with scratch_database(*urls_of(context)) as urls:
        try:
            fault = _drilled(source, urls, context.effort, told)
        except BadArchive as error:
            fault = error.fault, error.message, error.file
    return {
        "archive_id": str(manifest.archive_id),
        "position": manifest.last,
        "events": manifest.size,
        "equal": fault is None,
        "seconds": round(time.monotonic() - began, 3),
        "code": fault and fault[0],
        "message": fault and fault[1],
        "file": fault and fault[2],
    }


def _drilled(
    source: Source, urls: tuple[str, str], effort: Effort, told: Told
) -> tuple[str, str, str | None] | None:
    """With accounts and the like as well, unless retention may have taken them."""
    with owner_session(urls[0]) as connection:
        store = NextStore(connection, SCHEMA)
        swept = may_be_gone(source.catalogue, source.file)
        tables = None if swept else source.chain
        built = build(
            store, source, source.cut(), urls=urls, tables=tables, effort=effort, told=told
        )
    if not built.different:
        return None
    message = f"Folded anew, {', '.join(built.different)} is not what it was."
    # Whose digests they are.
    return "read_model_differs", message, source.chain.manifests[0].name


@contextmanager
def scratch_database(owner_url: str, application_url: str) -> Iterator[tuple[str, str]]:
    """The URLs of an empty database on the same server, which is gone in the end, or when the next
    drill begins. Its name tells whose it is: while this session lives nobody else drops it. What a
    drill left behind that was killed goes first. Raises JobFailed, DatabaseUnavailable,
    DiskFull."""
    with owner_session(owner_url) as connection:
        name = f"musterroll_drill_{connection.info.backend_pid}_{uuid4().hex}"
        try:
            for (left,) in connection.execute(SQL["drills"]).fetchall():
                _drop(connection, left)
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
            connection.execute(create.format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege as error:
            message = "The role of database_owner_url may not create databases (CREATEDB)."
            raise JobFailed("drill_not_possible", message) from error
        except psycopg.Error:
            with translated():
                raise
        try:
            yield make_conninfo(owner_url, dbname=name), make_conninfo(application_url, dbname=name)
        finally:
            # What came of the drill is worth more than that it is tidy.
            with suppress(DatabaseUnavailable, DiskFull):
                _drop(connection, name)


def _drop(connection: "psycopg.Connection[Any]", name: str) -> None:
    with translated():
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
