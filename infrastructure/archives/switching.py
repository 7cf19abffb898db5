"""The switch: one transaction puts a store in the place of the one that serves, and begins an
epoch.

Before its COMMIT the old store serves, after it the new one, whole; wherever it is killed. Who
works on the old one is ended while it is locked, and whoever comes meanwhile waits for the lock and
then finds that its epoch has ended.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from application.archives.ports import JobFailed
from application.archives.restored import Beginning
from application.archives.restores import NotEmpty
from application.ports import Record
from domain.restoration import Restoration
from infrastructure.archives.former_stores import former_name, now_of, put_aside_note
from infrastructure.archives.next_store import SQL, translated
from infrastructure.archives.standing import Standing, contents_of
from infrastructure.postgres.migrate import MIGRATION_LOCK
from infrastructure.postgres.pool import CONNECTION, SCHEMA

LOG_LOCK = 7311001
LOCK_SECONDS = 3
ATTEMPTS = 5
POLITE_ATTEMPTS = 1
"""So often those who are in the way are waited for; then they are ended first."""
PAUSE_SECONDS = 0.2
END_SECONDS_MAX, END_POLL_SECONDS = 5.0, 0.01
TAKEN_OVER = ("accounts", "webhooks", "webhook_letters", "subject_keys")
"""What is no history is taken over from the live store as it is: nothing that was revoked or erased
comes back. In the order of their references."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What comes into the place of the live store: `schema`, with the log of `size` events up to
    `position` and the Merkle root `root`.

    `contents` are those of the schema once it was built. `issued` is the highest position that was
    handed out as far as archives know, `epoch` the highest epoch. `live_epoch` is the one of the
    live store in whose place it was wanted; None: there is no live store, and the one that stands
    there, if any, is empty, and dropped.
    """

    schema: str
    store_id: UUID
    position: int
    size: int
    root: bytes
    contents: Standing
    issued: int
    epoch: int
    archive_id: UUID | None
    manifest_sha256: str | None
    undone: bool
    live_epoch: int | None


class Switch:
    """Switches once, on the connection that `restoring` gave, so that a switch and its right to
    restore end together. It and the URL may be of one role."""

    def __init__(
        self, connection: Connection[TupleRow], application_url: str, beginning: Beginning
    ) -> None:
        self._connection = connection
        self._application_url = application_url
        self._beginning = beginning

    def run(self, change: Change) -> Restoration:
        """What was restored, as it was written down.

        Raises JobFailed (`store_busy` when others could not be ended, `epoch_ended`,
        `store_changed`), NotEmpty, and DatabaseUnavailable.
        """
        for attempt in range(ATTEMPTS):
            try:
                with _translated_but_locks():
                    if attempt >= POLITE_ATTEMPTS and change.live_epoch is not None:
                        self._end_others(self._connection)
                    with self._connection.transaction():
                        return self._switch(self._connection, change)
            except Busy:
                time.sleep(PAUSE_SECONDS)
        raise JobFailed("store_busy", "Others hold the store and cannot be ended: try again.")

    def _switch(self, connection: Connection[TupleRow], change: Change) -> Restoration:
        connection.execute(
            f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = 0; "
            "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL timezone = 'UTC'; "
            "SET LOCAL synchronous_commit = on"
        )
        new = sql.Identifier(change.schema)
        # Before the live store is locked: nobody waits while what was built is counted.
        self._lock(connection, change.schema)
        built = self._require_built(connection, change)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        from_epoch, issued = max(change.epoch, built.epoch), max(change.issued, built.issued)
        if change.live_epoch is None:
            self._clear(connection)
        else:
            self._lock(connection, SCHEMA)
            (_, live_epoch, _, live_issued) = self._standing(connection, SCHEMA)
            refuse_other_epoch(live_epoch, change.live_epoch)
            self._end_others(connection)
            from_epoch, issued = max(from_epoch, live_epoch), max(issued, live_issued)
            self._take_over(connection, change.schema)
        ended = from_epoch if change.live_epoch is None else live_epoch
        restored = self._restored(change, ended=ended, to_epoch=from_epoch + 1, issued=issued)
        connection.execute(
            sql.SQL("UPDATE {}.store SET epoch = %s, store_id = %s").format(new),
            (restored.to_epoch, change.store_id),
        )
        connection.execute(
            "SELECT setval(%s::regclass, %s)", (f"{change.schema}.positions", issued)
        )
        signer = self._beginning.signer
        connection.execute(
            sql.SQL(
                "INSERT INTO {}.seal_keys (key_id, public_key) VALUES (%s, %s) "
                "ON CONFLICT DO NOTHING"
            ).format(new),
            (signer.key_id, signer.public_key),
        )
        self._rename(connection, change, ended)
        self._append(connection, restored)
        return restored

    def _restored(self, change: Change, *, ended: int, to_epoch: int, issued: int) -> Restoration:
        return Restoration(
            log=change.store_id,
            from_epoch=ended,
            to_epoch=to_epoch,
            at_position=change.position,
            size=change.size,
            root=change.root.hex(),
            issued=issued,
            archive_id=change.archive_id,
            manifest_sha256=change.manifest_sha256,
            undone=change.undone,
            key_id=self._beginning.signer.key_id,
        )

    def _standing(self, connection: Connection[TupleRow], schema: str) -> TupleRow:
        statement = sql.SQL(SQL["standing"]).format(schema=sql.Identifier(schema))
        row = connection.execute(statement).fetchone()
        assert row is not None, "the migration puts this row"
        return row

    def _require_built(self, connection: Connection[TupleRow], change: Change) -> Standing:
        """Raises JobFailed where the schema holds anything but what was built."""
        found = contents_of(connection, change.schema)
        if found != change.contents or (found.last, found.size) != (change.position, change.size):
            message = (
                f"What was built has {change.size} events up to {change.position}, and somebody "
                f"changed it: it has {found.size} up to {found.last}."
            )
            raise JobFailed("store_changed", message)
        return found

    def _lock(self, connection: Connection[TupleRow], schema: str) -> None:
        """Every table of a store. Raises LockNotAvailable."""
        rows = connection.execute(SQL["tables"], (schema,)).fetchall()
        tables = sql.SQL(", ").join(sql.Identifier(schema, row[0]) for row in rows)
        if rows:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))

    def _clear(self, connection: Connection[TupleRow]) -> None:
        """Drop the store that stands there, which nobody is migrating and everybody waits for.
        Raises LockNotAvailable, NotEmpty, Busy."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        there = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (SCHEMA,)).fetchone()
        if there != (True,):
            return
        self._lock(connection, SCHEMA)
        refuse_events(connection)
        self._end_others(connection)
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(SCHEMA)))

    def _end_others(self, connection: Connection[TupleRow]) -> None:
        """By a session of the role that they have, which any role may do to its own. Raises
        Busy."""
        own = [connection.info.backend_pid]
        with psycopg.connect(self._application_url, **CONNECTION) as ending:
            began = ending.execute("SELECT clock_timestamp()").fetchone()
            assert began is not None
            ending.execute(SQL["end_others"], (own,))
            deadline = time.monotonic() + END_SECONDS_MAX
            # Those that came since have not begun, and wait for the locks.
            while ending.execute(SQL["others"], (own, began[0])).fetchone() != (0,):
                if time.monotonic() >= deadline:
                    raise Busy
                time.sleep(END_POLL_SECONDS)

    def _take_over(self, connection: Connection[TupleRow], schema: str) -> None:
        for table in reversed(TAKEN_OVER):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, table)))
        for table in (*TAKEN_OVER, "seal_keys"):
            rows = connection.execute(SQL["columns"], (f"{SCHEMA}.{table}",)).fetchall()
            columns = sql.SQL(", ").join(sql.Identifier(row[0]) for row in rows)
            connection.execute(
                sql.SQL(
                    "INSERT INTO {to} ({columns}) SELECT {columns} FROM {live} "
                    "ON CONFLICT DO NOTHING"
                ).format(
                    to=sql.Identifier(schema, table),
                    columns=columns,
                    live=sql.Identifier(SCHEMA, table),
                )
            )

    def _rename(self, connection: Connection[TupleRow], change: Change, ended: int) -> None:
        live, new = sql.Identifier(SCHEMA), sql.Identifier(change.schema)
        name = role_of(self._application_url, connection)
        role = sql.Identifier(name)
        if change.live_epoch is not None:
            former = sql.Identifier(former_name(ended))
            note = sql.Literal(put_aside_note(now_of(connection)))
            if name != connection.info.user:
                # Who may not use the schema can read and write nothing in it. An owner who is the
                # application too keeps what it needs to bring it back: the epoch refuses the rest.
                revoke = sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}")
                connection.execute(revoke.format(live, role))
            connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(live, former))
            connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(former, note))
        connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(new, live))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(live, role))
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS NULL").format(live))

    def _append(self, connection: Connection[TupleRow], restored: Restoration) -> None:
        records = self._beginning.records(restored, now_of(connection))
        written = connection.execute(SQL["append"], _columns_of(records)).fetchone()
        assert written == (restored.issued,), "nobody else takes positions under the lock"


def refuse_events(connection: Connection[TupleRow]) -> None:
    """A store of another shape has events too: the table alone is asked. Raises NotEmpty."""
    table = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.events",)).fetchone()
    if table is None or table[0] is None:
        return
    row = connection.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM {}.events)").format(sql.Identifier(SCHEMA))
    ).fetchone()
    if row is not None and row[0]:
        raise NotEmpty(
            "There is a store with events already: `muster backup restore` restores beside it."
        )


def refuse_ended(connection: Connection[TupleRow], wanted: int) -> None:
    """Where the live store is of another epoch than the one in which this was wanted, before
    anything is built in vain. Raises JobFailed, DatabaseUnavailable."""
    with translated():
        standing = sql.SQL(SQL["standing"]).format(schema=sql.Identifier(SCHEMA))
        row = connection.execute(standing).fetchone()
    assert row is not None, "the migration puts this row"
    refuse_other_epoch(row[1], wanted)


def refuse_other_epoch(live: int, wanted: int) -> None:
    """Raises JobFailed."""
    if live != wanted:
        message = f"This was asked for in epoch {wanted}, and the store is in epoch {live}."
        raise JobFailed("epoch_ended", message, {"epoch": wanted, "current": live})


class Busy(Exception):
    """Others hold the store."""


def role_of(url: str, connection: Connection[TupleRow]) -> str:
    """The role that a URL names, or that of the connection."""
    return str(conninfo_to_dict(url).get("user") or connection.info.user)


@contextmanager
def _translated_but_locks() -> Iterator[None]:
    """Raises DatabaseUnavailable for what PostgreSQL says, except that others hold a lock."""
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise Busy from error
    except psycopg.Error:
        with translated():
            raise


def _columns_of(records: Sequence[Record]) -> dict[str, list[object]]:
    names = {
        "aggregates": "aggregate_id",
        "versions": "version",
        "topics": "topic",
        "states": "state",
        "tenants": "tenant",
        "actors": "actor",
        "commands": "command_id",
        "correlations": "correlation_id",
        "causations": "causation_id",
        "traceparents": "traceparent",
    }
    return {name: [getattr(one, member) for one in records] for name, member in names.items()}
