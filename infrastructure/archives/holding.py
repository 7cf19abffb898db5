"""Who writes an archive and who lets archives go, of whatever process: never both at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from application.archives.jobs import JobUnderWay
from infrastructure.archives.collecting import translated
from infrastructure.postgres.pool import CONNECTION
from infrastructure.postgres.sql_files import load

SQL = load("archives.sql")


@contextmanager
def writing(url: str) -> Iterator[None]:
    """What is written or named meanwhile, nobody lets go before its manifest is there. Waits for
    who lets go: a moment, or a request for each segment where it asks which data keys are named.
    Raises DatabaseUnavailable."""
    with _session(url) as connection:
        with translated():
            connection.execute(SQL["hold"])
        yield


@contextmanager
def letting_go(url: str) -> Iterator[Connection[TupleRow]]:
    """No archive is written meanwhile. The session sees what is true from then on.

    Raises JobUnderWay: one is being written. Raises DatabaseUnavailable.
    """
    with _session(url) as connection:
        with translated():
            held = connection.execute(SQL["try_hold"]).fetchone()
        if held != (True,):
            raise JobUnderWay("An archive is being taken: nothing is let go meanwhile.")
        yield connection


@contextmanager
def _session(url: str) -> Iterator[Connection[TupleRow]]:
    with translated():
        connection = psycopg.connect(url, **CONNECTION)
    with connection:
        with translated():
            connection.execute(SQL["session"])
            connection.execute("SET lock_timeout = 0")
        yield connection
