"""PostgreSQL's clock, read now and then and carried on by this machine's monotonic one."""

import threading
import time
from datetime import UTC, datetime, timedelta

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from infrastructure.postgres.pool import read
from infrastructure.postgres.sql_files import load

RESET_SECONDS = 60.0


class PostgresClock:
    """Implements `application.ports.Clock`: one time for all, whatever the machines' own clocks
    say."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]]) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._offset = timedelta()
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._monotonic_epoch = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    def set(self) -> None:
        """Read PostgreSQL's clock. Raises DatabaseUnavailable."""
        before = time.monotonic()
        row = read(self._pool, lambda c: c.execute(load("log.sql")["now"]).fetchone())
        after = time.monotonic()
        assert row is not None
        middle = self._monotonic_epoch + timedelta(seconds=(before + after) / 2)
        with self._lock:
            self._offset = row[0] - middle

    def __call__(self) -> datetime:
        """Now, as PostgreSQL would say. Never runs back."""
        with self._lock:
            now = self._monotonic_epoch + timedelta(seconds=time.monotonic()) + self._offset
            self._newest = max(self._newest, now)
            return self._newest
