"""Frames in PostgreSQL: taken of the live read models in one transaction, or given folded."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.time_travel.encoding import CARD, FORM
from application.time_travel.frame import Frame, without_contents
from application.time_travel.frames import part_of
from application.time_travel.ports import FramePart, KeptFrame
from infrastructure.postgres.pool import connection_of, read
from infrastructure.postgres.read_model_store import AGENT_ROSTER, row_from
from infrastructure.postgres.sql_files import load

SQL = load("frames.sql")
ROWS_AT_ONCE = 1_000
COMPRESSION = 1
"""Of zlib, 1 to 9: the fastest makes a fifth of the size; more gains little and takes thrice as
long."""
APART_MAX = 100_000
"""No further neighbours are compared; what lies between is filled first."""

Database = Connection[TupleRow]


class PostgresFrames:
    """Implements `application.time_travel.ports.FrameStore`."""

    def __init__(self, pool: ConnectionPool[Database]) -> None:
        self._pool = pool

    def newest(self, tenant: str, at: int) -> KeptFrame | None:
        """Raises DatabaseUnavailable."""
        wanted = {"tenant": tenant, "at": at, "form": FORM}
        rows = self._ask("newest", wanted)
        if not rows:
            return None
        position, holds_until, content, digest = rows[0]
        kept = None if content is None else _decompressed(content)
        return KeptFrame(position=position, holds_until=holds_until, content=kept, digest=digest)

    def last(self) -> int:
        """Raises DatabaseUnavailable."""
        return int(self._ask("last", (FORM,))[0][0])

    def size(self) -> int:
        """Raises DatabaseUnavailable."""
        rows = self._ask("size", (FORM,))
        return int(rows[0][0]) if rows else 0

    def take(self, *, after: int) -> int | None:
        """One transaction over one state of the database: killed midway, it leaves nothing.

        Raises DatabaseUnavailable.
        """
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            board, roster = _rows(connection, "checkpoints", ())[0]
            if board is None or board != roster or board <= after:
                return None
            tenants = [row[0] for row in _rows(connection, "tenants", (after, board))]
            parts = (part_of(frame) for frame in _live(connection, tenants, board))
            return board if _keep(connection, board, parts, live=True) else None

    def keep(self, position: int, parts: Iterable[FramePart]) -> None:
        """One transaction. Raises DatabaseUnavailable."""
        with connection_of(self._pool) as connection, connection.transaction():
            _keep(connection, position, parts, live=False)

    def tenants(self, *, after: int, until: int) -> list[str]:
        """Raises DatabaseUnavailable."""
        return [row[0] for row in self._ask("tenants", (after, until))]

    def digests(self, position: int) -> dict[str, str]:
        """Raises DatabaseUnavailable."""
        return dict(self._ask("digests", (position,)))

    def gap(self, wider_than: int) -> int | None:
        """Raises DatabaseUnavailable."""
        rows = self._ask("gap", {"wider_than": wider_than, "form": FORM})
        return int(rows[0][0]) if rows else None

    def unproven(self) -> tuple[int, int] | None:
        """Raises DatabaseUnavailable."""
        rows = self._ask("unproven", {"form": FORM, "apart_max": APART_MAX})
        return (rows[0][0], rows[0][1]) if rows else None

    def prove(self, position: int) -> None:
        """Raises DatabaseUnavailable."""
        with connection_of(self._pool) as connection:
            connection.execute(SQL["judge"], (True, position))

    def refute(self, position: int, parts: Iterable[FramePart]) -> None:
        """One transaction. Raises DatabaseUnavailable."""
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute(SQL["judge"], (False, position))
            connection.execute(SQL["drop_parts"], (position,))
            _keep_parts(connection, position, parts)

    def mend(self, position: int, part: FramePart) -> None:
        """One transaction. Raises DatabaseUnavailable."""
        content = zlib.compress(part.content, COMPRESSION)
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute(SQL["judge"], (False, position))
            mended = (part.digest, content, part.tenant, position)
            connection.execute(SQL["mend_part"], mended)

    def unequal(self) -> list[int]:
        """Raises DatabaseUnavailable."""
        return [row[0] for row in self._ask("unequal", ())]

    def forget_other_forms(self) -> None:
        """Raises DatabaseUnavailable."""
        with connection_of(self._pool) as connection:
            connection.execute(SQL["forget_other_forms"], (FORM,))

    def _ask(self, name: str, parameters: Any) -> list[TupleRow]:
        return read(self._pool, lambda connection: _rows(connection, name, parameters))


def _decompressed(content: bytes) -> bytes:
    """What cannot be is nothing: it has not the digest of what was kept."""
    try:
        return zlib.decompress(content)
    except zlib.error:
        return b""


def _rows(connection: Database, name: str, parameters: Any) -> list[TupleRow]:
    return connection.cursor(binary=True).execute(SQL[name], parameters).fetchall()


def _keep(connection: Database, position: int, parts: Iterable[FramePart], *, live: bool) -> bool:
    frames = {"position": position, "form": FORM, "live": live}
    if not _rows(connection, "keep", frames):
        return False
    _keep_parts(connection, position, parts)
    return True


def _keep_parts(connection: Database, position: int, parts: Iterable[FramePart]) -> None:
    open_tasks = 0
    for part in parts:
        open_tasks += part.open_tasks
        content = zlib.compress(part.content, COMPRESSION)
        connection.execute(SQL["keep_part"], (part.tenant, position, part.digest, content))
    connection.execute(SQL["measure"], (open_tasks, position))


def _live(connection: Database, tenants: list[str], position: int) -> Iterator[Frame]:
    """The live read models, tenant after tenant, so that one is in memory at a time."""
    ended: dict[str, Counter[str]] = {tenant: Counter() for tenant in tenants}
    for tenant, status, count in _rows(connection, "counts", (tenants,)):
        ended[tenant][status] = count
    for tenant in tenants:
        frame = Frame(tenant=tenant, position=position, counts=ended[tenant])
        for card in _open_cards(connection, tenant):
            frame.cards[card.task_id] = card
            frame.enter(card)
        for line in _lines(connection, tenant):
            frame.lines[line.agent_id] = line
        yield frame


def _open_cards(connection: Database, tenant: str) -> Iterator[TaskCard]:
    # A cursor of the server's: a hundred thousand rows at once would take much memory.
    with connection.cursor("frame_cards", binary=True) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        for row in cursor.execute(SQL["cards"].format(columns=", ".join(CARD)), (tenant,)):
            card = object.__new__(TaskCard)
            card.tenant = tenant
            for name, value in zip(CARD, row, strict=True):
                setattr(card, name, value)
            without_contents(card)
            yield card


def _lines(connection: Database, tenant: str) -> Iterator[RosterLine]:
    statement = load("read_models.sql")["roster"].format(columns=", ".join(AGENT_ROSTER.columns))
    for row in connection.cursor(binary=True).execute(statement, (tenant,)):
        yield row_from(AGENT_ROSTER, row)
