"""One prepared statement on a connection of its own, at the least cost there is.

psycopg's cursor costs some 0.15 ms of Python a call, which an append that is waited for by
everybody cannot afford; this speaks to the same libpq through `psycopg.pq`, on the event loop.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.rows import TupleRow

from domain.errors import DatabaseUnavailable
from infrastructure.postgres.pool import CONNECTION, SESSION

ANSWER_SECONDS_MAX = 20.0
"""Longer than the server's statement_timeout, which ends what is merely slow."""
PREPARED = b"statement"
BINARY = pq.Format.BINARY


class PreparedStatement:
    """Connects when it is first needed, and again after a failure. One call at a time.

    `application_name` is what PostgreSQL knows its connections by, and no others.
    """

    def __init__(
        self, url: str, statement: str, parameter_oids: Sequence[int], *, session: str = SESSION
    ) -> None:
        self.application_name = f"musterroll {uuid4()}"
        self._url = url
        self._statement = statement.encode()
        self._oids = parameter_oids
        self._session = session
        self._connection: AsyncConnection[TupleRow] | None = None

    async def execute(self, parameters: Sequence[bytes]) -> pq.abc.PGresult:
        """The result of the statement, in binary, after its COMMIT.

        Raises psycopg.Error for what PostgreSQL refuses, and DatabaseUnavailable, which leaves open
        whether it was done.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                pgconn = await self._connected()
                pgconn.send_query_prepared(
                    PREPARED, parameters, [BINARY] * len(parameters), result_format=BINARY
                )
                return await self._result(pgconn)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError) as error:
            await self.close()
            raise DatabaseUnavailable("The database does not answer.") from error
        except asyncio.CancelledError:
            # An answer that nobody has read must not be taken for that to the next question.
            await self.close()
            raise

    async def close(self) -> None:
        """End the connection; the next call makes another."""
        former, self._connection = self._connection, None
        if former is not None:
            with suppress(psycopg.Error, OSError):
                await former.close()

    async def _connected(self) -> pq.abc.PGconn:
        if self._connection is None:
            options = CONNECTION | {"application_name": self.application_name}
            connection = await AsyncConnection.connect(self._url, **options)
            try:
                await connection.execute(self._session, prepare=False)
                connection.pgconn.send_prepare(PREPARED, self._statement, self._oids)
                await self._result(connection.pgconn)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection.pgconn

    async def _result(self, pgconn: pq.abc.PGconn) -> pq.abc.PGresult:
        """Read on to the end: a COMMIT that fails comes after the rows."""
        while pgconn.flush():
            await _ready(pgconn, writing=True)
            pgconn.consume_input()
        first = failed = None
        while True:
            while pgconn.is_busy():
                await _ready(pgconn)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                break
            first = first or result
            if result.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
                failed = failed or result
        if failed is not None:
            raise psycopg.errors.error_from_result(failed)
        if first is None:
            raise psycopg.OperationalError("the connection was closed")
        return first


async def _ready(pgconn: pq.abc.PGconn, *, writing: bool = False) -> None:
    """Until the socket can be read, or written to when that is wanted too."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    socket = pgconn.socket
    loop.add_reader(socket, wake)
    if writing:
        loop.add_writer(socket, wake)
    try:
        await ready
    finally:
        loop.remove_reader(socket)
        if writing:
            loop.remove_writer(socket)
