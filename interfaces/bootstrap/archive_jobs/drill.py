"""Restores an archive into a database of its own, compares it with what was, and drops it:
`{"store_id", "archive_id"}`; without the last, the newest one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from application.archives.faults import BadArchive
from application.archives.ports import JobFailed, Told
from infrastructure.archives.next_store import SQL, NextStore, owner_session, translated
from infrastructure.archives.restoring import Source, build
from infrastructure.postgres.pool import SCHEMA
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.plan import source_in
from interfaces.bootstrap.archive_jobs.restore import urls_of


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"archive_id", "position", "events", "equal", "seconds", "code", "message"}`; the last two
    tell what is wrong, or are null. The live store is only asked where the server is.

    Raises JobFailed (`drill_not_possible`), RepositoryUnavailable, DatabaseUnavailable, and
    BadArchive where there is no manifest to begin with.
    """
    began = time.monotonic()
    source = source_in(context, request)
    manifest = source.chain.newest
    fault: tuple[str, str] | None = None
    with scratch_database(*urls_of(context)) as urls:
        try:
            fault = _drilled(source, urls, told)
        except BadArchive as error:
            fault = error.fault, error.message
    return {
        "archive_id": str(manifest.archive_id),
        "position": manifest.last,
        "events": manifest.size,
        "equal": fault is None,
        "seconds": round(time.monotonic() - began, 3),
        "code": fault and fault[0],
        "message": fault and fault[1],
    }


def _drilled(source: Source, urls: tuple[str, str], told: Told) -> tuple[str, str] | None:
    with owner_session(urls[0]) as connection:
        store = NextStore(connection, SCHEMA)
        built = build(store, source, source.cut(), urls=urls, tables=True, told=told)
    if not built.different:
        return None
    message = f"Folded anew, {', '.join(built.different)} is not what it was."
    return "read_model_differs", message


@contextmanager
def scratch_database(owner_url: str, application_url: str) -> Iterator[tuple[str, str]]:
    """The URLs of an empty database on the same server, which is gone in the end. What a drill left
    behind that was killed goes first. Raises JobFailed, DatabaseUnavailable."""
    name = f"musterroll_drill_{uuid4().hex}"
    with owner_session(owner_url) as connection:
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
            _drop(connection, name)


def _drop(connection: "psycopg.Connection[Any]", name: str) -> None:
    with translated():
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
