"""Who leads: a session-level advisory lock on a connection of its own."""

import threading

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from domain.errors import DatabaseUnavailable
from infrastructure.postgres.pool import CONNECTION

LEADER_LOCK = 7311002


class PostgresLeaderLock:
    """Implements `application.processes.leader.LeaderLock`. PostgreSQL frees it when this process
    dies."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Whoever gives it up while it is being asked for, must not leave it held behind.
        self._asking = threading.Lock()
        self._connection: Connection[TupleRow] | None = None

    def acquire(self) -> bool:
        """Whether this process holds it now. Raises DatabaseUnavailable."""
        with self._asking:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._url, **CONNECTION)
                row = self._connection.execute(
                    "SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)
                ).fetchone()
            except psycopg.OperationalError as error:
                self._close()
                raise DatabaseUnavailable("The database does not answer.") from error
            return bool(row and row[0])

    def held(self) -> bool:
        """Whether its connection lives; a lock cannot outlive it, nor it the lock."""
        if self._connection is None:
            return False
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def release(self) -> None:
        """Close the connection, and with it the lock; after what is being asked was answered."""
        with self._asking:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
