"""A store that is being built: a schema of its own, of the newest shape, that nobody else knows."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from application.archives.faults import DiskFull
from application.archives.jobs import JobUnderWay
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import CONNECTION
from infrastructure.postgres.sql_files import load

SQL = load("restore.sql")
NEXT = "musterroll_next"
UNORDERED = {"events": "events_aggregate_version", "requests": "requests_once"}
"""Of the large tables, the constraint whose index would be filled in no order: it is built of what
was loaded. The others cost less as the rows come than a look at the whole table each."""


class NextStore:
    """A new store. Until it is switched to, it can be thrown away at any time.

    `connection` is the owner's, in a session of its own. Everything raises DatabaseUnavailable and
    DiskFull.
    """

    def __init__(self, connection: Connection[TupleRow], schema: str = NEXT) -> None:
        self.connection = connection
        self.schema = schema
        self._definitions: list[sql.Composed] = []

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
            self._definitions = [self._strip(*one) for one in UNORDERED.items()]

    @contextmanager
    def thrown_away_unless_done(self) -> Iterator[None]:
        """It is dropped when what is done with it fails. Where even that does not work, the next
        `drop_former` does it."""
        try:
            yield
        except BaseException:
            with suppress(DatabaseUnavailable, DiskFull):
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
            for statement in self._definitions:
                self.connection.execute(statement)
            for table in UNORDERED:
                name = sql.Identifier(self.schema, table)
                self.connection.execute(sql.SQL("ANALYZE {}").format(name))

    def _strip(self, table: str, constraint: str) -> sql.Composed:
        """Drop a constraint; the statement that makes it again."""
        names = {"table": sql.Identifier(self.schema, table), "name": sql.Identifier(constraint)}
        row = self.connection.execute(
            SQL["constraint"], (self.schema, table, constraint)
        ).fetchone()
        assert row is not None, f"{table} has no {constraint}"
        self.connection.execute(
            sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {name}").format(**names)
        )
        again = "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
        return sql.SQL(again).format(**names, definition=sql.SQL(row[0]))


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
    """Raises DatabaseUnavailable for what PostgreSQL says, DiskFull where it has no room."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        reason = str(error).partition("\n")[0]
        raise DiskFull(f"There is no room left on the disk of PostgreSQL: {reason}.") from error
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise DatabaseUnavailable(f"The database refuses: {reason}") from error
