"""Connections to PostgreSQL: pools that come back quickly, and errors in our own words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolClosed, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from domain.errors import DatabaseUnavailable

SCHEMA = "musterroll"
CONNECT_SECONDS_MAX = 5
READ_TRIES = 3

# The pool waits 1, 2, 4 ... s between its attempts and then gives up for good; a database that
# comes back would be found far too late (reliability.md, F9). There is no other handle than these
# constants.
AttemptWithBackoff.INITIAL_DELAY = 0.25
AttemptWithBackoff.DELAY_BACKOFF = 1.0
NEVER_SECONDS = 10 * 365 * 86400.0


def session_of(
    *, epoch: int | None = None, schema: str = SCHEMA, statement_seconds: int = 15
) -> str:
    """What every session begins with. One that names its epoch is refused (SQLSTATE `MR001`) when
    that has ended; one that names none sees and does what its role may.

    Another `schema` is a store that is not in its place: restored, or put aside.
    """
    begin = (
        f"SET search_path = {schema}; SET statement_timeout = '{statement_seconds}s'; "
        "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; "
        "SET timezone = 'UTC'"
    )
    return begin if epoch is None else f"{begin}; SET musterroll.epoch = '{epoch}'; {CHECK_EPOCH}"


CHECK_EPOCH = "SELECT check_epoch()"
EPOCH_ENDED = "MR001"
"""The SQLSTATE with which migration 0013 refuses what comes from an epoch that has ended."""
SESSION = session_of()
CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": CONNECT_SECONDS_MAX,
    "application_name": "musterroll",
    # A peer that vanished without a word is noticed within some 10 s.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

ResultT = TypeVar("ResultT")
Away = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed)


def make_pool(
    url: str, *, connections_max: int, session: str = SESSION
) -> ConnectionPool[Connection[TupleRow]]:
    """A pool for threads, not yet open. Its connections begin with `session`."""

    def configure(connection: Connection[TupleRow]) -> None:
        try:
            connection.execute(session, prepare=False)
        except BaseException:
            # The pool forgets it, and nobody would close it.
            connection.close()
            raise

    return ConnectionPool(
        url,
        kwargs=CONNECTION,
        min_size=2,
        max_size=connections_max,
        open=False,
        configure=configure,
        timeout=2.0,
        reconnect_timeout=NEVER_SECONDS,
    )


def make_async_pool(
    url: str, *, connections_max: int, session: str = SESSION
) -> AsyncConnectionPool[AsyncConnection[TupleRow]]:
    """A pool for the event loop, not yet open. Its connections begin with `session`."""

    async def configure(connection: AsyncConnection[TupleRow]) -> None:
        try:
            await connection.execute(session, prepare=False)
        except BaseException:
            # The pool forgets it, and nobody would close it.
            await connection.close()
            raise

    return AsyncConnectionPool(
        url,
        kwargs=CONNECTION,
        min_size=1,
        max_size=connections_max,
        open=False,
        configure=configure,
        timeout=2.0,
        reconnect_timeout=NEVER_SECONDS,
    )


@contextmanager
def connection_of(
    pool: ConnectionPool[Connection[TupleRow]],
) -> Iterator[Connection[TupleRow]]:
    """A connection for a moment. Raises DatabaseUnavailable for whatever says that it is away."""
    try:
        with pool.connection() as connection:
            yield connection
    except Away as error:
        raise DatabaseUnavailable("The database does not answer.") from error


def read(
    pool: ConnectionPool[Connection[TupleRow]],
    ask: Callable[[Connection[TupleRow]], ResultT],
) -> ResultT:
    """Ask something that changes nothing, again when it fell on a dead connection.

    Raises DatabaseUnavailable.
    """
    for _ in range(READ_TRIES - 1):
        try:
            with connection_of(pool) as connection:
                return ask(connection)
        except DatabaseUnavailable as error:
            if isinstance(error.__cause__, PoolTimeout | PoolClosed):
                raise
            pool.check()
    with connection_of(pool) as connection:
        return ask(connection)


@asynccontextmanager
async def async_connection_of(
    pool: AsyncConnectionPool[AsyncConnection[TupleRow]],
) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A connection for a moment. Raises DatabaseUnavailable."""
    try:
        async with pool.connection() as connection:
            yield connection
    except Away as error:
        raise DatabaseUnavailable("The database does not answer.") from error


async def read_async(
    pool: AsyncConnectionPool[AsyncConnection[TupleRow]],
    ask: Callable[[AsyncConnection[TupleRow]], Awaitable[ResultT]],
) -> ResultT:
    """The same as `read`, on the event loop. Raises DatabaseUnavailable."""
    for _ in range(READ_TRIES - 1):
        try:
            async with async_connection_of(pool) as connection:
                return await ask(connection)
        except DatabaseUnavailable as error:
            if isinstance(error.__cause__, PoolTimeout | PoolClosed):
                raise
            await pool.check()
    async with async_connection_of(pool) as connection:
        return await ask(connection)
