"""The log and its seals as they lie in the database, for whoever verifies them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from application.seals.finding import Fault, Tampered
from application.seals.ports import Restoring, Seal
from domain.errors import DatabaseUnavailable
from domain.merkle import Node
from domain.restoration import SIGNED, Restoration
from infrastructure.postgres.pool import CONNECTION
from infrastructure.postgres.row_copy import POSITION, rows_of
from infrastructure.postgres.seals import SQL, copy_statement, seal_of


class PostgresEvidence:
    """Implements `application.seals.ports.Evidence`, on one connection.

    In portions, without one long transaction: what stands in the log stays as it is, or that is
    just what is looked for.
    """

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self._connection = connection

    def log_id(self) -> UUID:
        """Raises DatabaseUnavailable."""
        found: UUID = self._ask("log_id")[0][0]
        return found

    def size(self) -> int:
        """Raises DatabaseUnavailable."""
        return int(self._ask("size")[0][0])

    def keys(self) -> Mapping[str, bytes]:
        """Raises DatabaseUnavailable."""
        return {row[0]: bytes(row[1]) for row in self._ask("keys")}

    def seals(self, *, after: int, limit: int) -> Sequence[Seal]:
        """A keyset page. Raises DatabaseUnavailable."""
        with _translated():
            return [seal_of(row) for row in self._ask("seals_after", after=after, limit=limit)]

    def nodes(self, *, after: int, until: int) -> Mapping[Node, bytes]:
        """Raises DatabaseUnavailable."""
        with _translated():
            rows = self._ask("nodes_between", after=after, until=until)
            # No node stands where a size of no tree that completes one would put it.
            return {
                (height, (size >> height) - 1 if size % (1 << height) == 0 else -size): bytes(one)
                for height, size, one in rows
            }

    def leaves(self, *, after: int | None, until: int | None) -> list[bytes]:
        """The row as it is sent begins with the zero of a leaf. Raises DatabaseUnavailable."""
        with _translated():
            rows = rows_of(self._connection, copy_statement(after=after, until=until))
            return [sha256(row).digest() for row in rows]

    def positions(self, *, after: int | None, until: int) -> Iterator[tuple[int, bytes]]:
        """Raises DatabaseUnavailable."""
        with _translated():
            for row in rows_of(self._connection, copy_statement(after=after, until=until)):
                position = int.from_bytes(row[POSITION], "big", signed=True)
                yield position, sha256(row).digest()

    def last_position(self) -> int:
        """Raises DatabaseUnavailable."""
        return int(self._ask("last_position")[0][0])

    def restorations(self) -> Sequence[Restoring]:
        """By an index of such events alone, where there is one. Raises DatabaseUnavailable."""
        with _translated():
            return [_restoring(bytes(row[0]), row[1]) for row in self._ask("restorations")]

    def _ask(self, name: str, **parameters: Any) -> list[TupleRow]:
        with _translated():
            cursor = self._connection.cursor(binary=True)
            return cursor.execute(SQL[name], parameters).fetchall()


def _restoring(state: bytes, size: int) -> Restoring:
    members = orjson.loads(state)
    archive_id = members["archive_id"]
    told = {name: members[name] for name in SIGNED}
    told |= {"log": UUID(members["log"]), "archive_id": archive_id and UUID(archive_id)}
    return Restoring(Restoration(**told), bytes.fromhex(members["signature"]), size)


@contextmanager
def evidence_in(url: str) -> Iterator[PostgresEvidence]:
    """On a connection that can change nothing. Raises DatabaseUnavailable."""
    with _translated():
        connection = psycopg.connect(url, **CONNECTION)
    with connection:
        with _translated():
            connection.execute(SQL["read_only"])
        yield PostgresEvidence(connection)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.DataError, TypeError, ValueError, LookupError) as error:
        # Nothing that we write has such a value: infinite times, nulls, heights below zero.
        message = "A seal holds what no seal can hold."
        raise Tampered(Fault(code="seal_changed", message=message)) from error
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise DatabaseUnavailable(f"The database cannot be read: {reason}") from error
