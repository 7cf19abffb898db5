"""The read model of archives, in PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from application.archives.listing import Marks
from application.projections.archives import ArchiveRow
from domain.archive import ArchiveStatus
from infrastructure.postgres.pool import read_async
from infrastructure.postgres.read_model_store import ARCHIVES, row_from
from infrastructure.postgres.read_models import AsyncPool
from infrastructure.postgres.sql_files import load

SQL = load("archives.sql")


class PostgresArchiveList:
    """Implements `application.archives.listing.ArchiveList`."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def listed(
        self, *, status: ArchiveStatus | None, before: UUID | None, limit: int
    ) -> Sequence[ArchiveRow]:
        """A keyset page. Raises DatabaseUnavailable."""
        return await self._archives("listed", status=status, before=before, limit=limit)

    async def one(self, archive_id: UUID) -> ArchiveRow | None:
        """By primary key. Raises DatabaseUnavailable."""
        return next(iter(await self._archives("one", archive_id=archive_id)), None)

    async def newest_verified(self) -> ArchiveRow | None:
        """Raises DatabaseUnavailable."""
        return next(iter(await self._archives("newest_verified")), None)

    async def verified(self) -> Sequence[UUID]:
        """Raises DatabaseUnavailable."""
        return [row[0] for row in await self._ask(SQL["verified"], {})]

    async def known(self) -> Sequence[UUID]:
        """Raises DatabaseUnavailable."""
        return [row[0] for row in await self._ask(SQL["known"], {})]

    async def marks(self) -> Marks:
        """Some rows, and a few events by primary key. Raises DatabaseUnavailable."""
        (row,) = await self._ask(SQL["marks"], {})
        return Marks(**dict(zip(Marks.__dataclass_fields__, row, strict=True)))

    async def _archives(self, name: str, **parameters: Any) -> list[ArchiveRow]:
        statement = SQL[name].format(columns=", ".join(ARCHIVES.columns))
        return [row_from(ARCHIVES, row) for row in await self._ask(statement, parameters)]

    async def _ask(self, statement: str, parameters: dict[str, Any]) -> list[TupleRow]:
        async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
            cursor = connection.cursor(binary=True)
            return await (await cursor.execute(statement, parameters)).fetchall()

        return await read_async(self._pool, ask)
