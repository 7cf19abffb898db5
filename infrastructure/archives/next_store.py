"""A store that is being built: a schema of its own, of the newest shape, that nobody else knows."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from application.archives.jobs import JobUnderWay
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import CONNECTION
from infrastructure.postgres.sql_files import load

SQL = load("restore.sql")
NEXT = "musterroll_next"
LARGE = ("events", "requests")
"""The tables that are loaded without their indexes, which are built of what is in them."""

Definitions = list[tuple[str, str]]
"""A table, and a statement that gives it back what it had."""


class NextStore:
    """A new store. Until it is switched to, it can be thrown away at any time.

    `connection` is the owner's, in a session of its own. Everything raises DatabaseUnavailable.
    """

    def __init__(self, connection: Connection[TupleRow], schema: str = NEXT) -> None:
        self.connection = connection
        self.schema = schema
        self._definitions: Definitions = []

    def make(self, owner_url: str, application_url: str) -> None:
        """In place of one that came to nothing. Raises MigrationFailed too."""
        self.drop()
        migrate(owner_url, application_url, schema=self.schema)
        with translated():
            self.connection.execute(
                sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema))
            )
            # Whoever sees it in the moment of the switch, but not what the switch wrote, takes it
            # for another epoch and not for its own.
            self.connection.execute("UPDATE store SET epoch = 0")
            for table in LARGE:
                self._strip(table)

    @contextmanager
    def thrown_away_unless_done(self) -> Iterator[None]:
        """It is dropped when what is done with it fails. Where even that does not work, the next
        `drop_former` does it."""
        try:
            yield
        except BaseException:
            with suppress(DatabaseUnavailable):
                self.drop()
            raise

    def drop(self) -> None:
        """All of it."""
        with translated():
            name = sql.Identifier(self.schema)
            self.connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))

    def migration(self) -> str:
        """The newest that it went through, as manifests name it."""
        with translated():
            statement = sql.SQL(SQL["migration"]).format(schema=sql.Identifier(self.schema))
            row = self.connection.execute(statement).fetchone()
        assert row is not None, "the first migration is one"
        return str(row[0])

    def index(self) -> None:
        """Give the tables back what they were stripped of, and tell the planner of them."""
        with translated():
            for table, statement in self._definitions:
                self.connection.execute(statement)
                self._analyze(table)
        self._definitions = []

    def _analyze(self, table: str) -> None:
        self.connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(self.schema, table)))

    def _strip(self, table: str) -> None:
        name = f"{self.schema}.{table}"
        for constraint, definition in self.connection.execute(SQL["constraints"], (name,)):
            self._definitions.append(
                (table, f"ALTER TABLE {name} ADD CONSTRAINT {constraint} {definition}")
            )
            self.connection.execute(f"ALTER TABLE {name} DROP CONSTRAINT {constraint}")
        for index, definition in self.connection.execute(SQL["indexes"], (name,)).fetchall():
            self._definitions.append((table, definition))
            self.connection.execute(f"DROP INDEX {self.schema}.{index}")


@contextmanager
def owner_session(url: str) -> Iterator[Connection[TupleRow]]:
    """A connection for long work. Raises DatabaseUnavailable."""
    with translated():
        connection = psycopg.connect(url, **CONNECTION)
    with connection:
        with translated():
            connection.execute(SQL["session"])
        yield connection


@contextmanager
def restoring(url: str) -> Iterator[Connection[TupleRow]]:
    """The same, for the one restore that there may be at a time. Raises JobUnderWay too."""
    with owner_session(url) as connection:
        with translated():
            held = connection.execute(SQL["restoring"]).fetchone()
        if held != (True,):
            raise JobUnderWay("Another process is restoring into this database.")
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Raises DatabaseUnavailable for what PostgreSQL says."""
    try:
        yield
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise DatabaseUnavailable(f"The database refuses: {reason}") from error
