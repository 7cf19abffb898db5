"""Seals in PostgreSQL, for whoever makes them and whoever asks about them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from application.seals.head import Head
from application.seals.ports import (
    NODE_HEIGHT_MIN,
    Block,
    Seal,
    SealedElsewhere,
    SealedEvent,
)
from domain.merkle import HASH_BYTES, Node, Range, Tree, peaks_of, root_of
from infrastructure.postgres.arrays import Column
from infrastructure.postgres.log import Pool
from infrastructure.postgres.pool import connection_of, read, read_async
from infrastructure.postgres.read_models import AsyncPool
from infrastructure.postgres.row_copy import copy_rows
from infrastructure.postgres.sql_files import load

HEAD = "log_id, epoch, size, position, root, recorded_at, sealed_at, previous, key_id, signature"
SQL = {name: text.replace("{head}", HEAD) for name, text in load("seals.sql").items()}


class PostgresSealStore:
    """Implements `application.seals.ports.SealStore`, on threads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def keep_key(self, key_id: str, public_key: bytes) -> None:
        """Raises DatabaseUnavailable."""
        with connection_of(self._pool) as connection:
            connection.execute(SQL["keep_key"], {"key_id": key_id, "public_key": public_key})

    def last(self) -> Head | None:
        """By primary key. Raises DatabaseUnavailable."""
        rows = self._ask("heads_before", before=None, limit=1)
        return head_of(rows[0]) if rows else None

    def head(self, size: int) -> Head | None:
        """By primary key. Raises DatabaseUnavailable."""
        rows = self._ask("head", size=size)
        return head_of(rows[0]) if rows else None

    def heads(self, *, after: int, limit: int) -> Sequence[Head]:
        """A keyset page. Raises DatabaseUnavailable."""
        return [head_of(row) for row in self._ask("heads_after", after=after, limit=limit)]

    def tree(self, size: int) -> Tree:
        """From its peaks. Raises DatabaseUnavailable."""
        peaks = peaks_of((0, size))
        high = self._ask("nodes", **_keys_of(peaks))
        low_start = sum(1 << height for height, _ in peaks if height >= NODE_HEIGHT_MIN)
        low = self._ask("leaves", start=low_start, end=size) if low_start < size else []
        hashes = nodes_from(peaks, high, low)
        return Tree(size, {peak[0]: hashes.get(peak, b"") for peak in peaks})

    def size_before(self, epoch: int) -> int:
        """A look at every head: once at a start, after a restore. Raises DatabaseUnavailable."""
        return int(self._ask("size_before", epoch=epoch)[0][0])

    def next_blocks(self, *, after: int, events: int, blocks: int) -> Sequence[Block]:
        """Hashed in PostgreSQL. Raises DatabaseUnavailable."""
        rows = self._ask("next_blocks", after=after, events=events, blocks=blocks)
        return [
            Block(leaves=split(leaves), position=position, recorded_at=recorded_at, now=now)
            for leaves, position, recorded_at, now in rows
        ]

    def keep(self, seals: Sequence[Seal], nodes: Mapping[Node, bytes]) -> None:
        """One statement, one commit. Raises SealedElsewhere, DatabaseUnavailable."""
        parameters = {
            **{n: [getattr(seal.head, n) for seal in seals] for n in Head.__dataclass_fields__},
            "former_size": [seal.former_size for seal in seals],
            "leaves": Column.of("bytea", [seal.leaves for seal in seals]),
            **_keys_of(nodes.keys()),
            "hashes": list(nodes.values()),
        }
        try:
            with connection_of(self._pool) as connection:
                connection.execute(SQL["keep"], parameters)
        except psycopg.errors.UniqueViolation as error:
            raise SealedElsewhere("Another process sealed this block.") from error

    def _ask(self, name: str, **parameters: Any) -> list[TupleRow]:
        def ask(connection: Connection[TupleRow]) -> list[TupleRow]:
            return connection.cursor(binary=True).execute(SQL[name], parameters).fetchall()

        return read(self._pool, ask)


class PostgresSealReader:
    """Implements `application.seals.ports.SealReader`, on the event loop."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def newest(self) -> Head | None:
        """By primary key. Raises DatabaseUnavailable."""
        return next(iter(await self.heads(before=None, limit=1)), None)

    async def heads(self, *, before: int | None, limit: int) -> Sequence[Head]:
        """A keyset page. Raises DatabaseUnavailable."""
        return [head_of(r) for r in await self._ask("heads_before", before=before, limit=limit)]

    async def head(self, size: int) -> Head | None:
        """By primary key. Raises DatabaseUnavailable."""
        rows = await self._ask("head", size=size)
        return head_of(rows[0]) if rows else None

    async def keys(self) -> Mapping[str, tuple[bytes, datetime]]:
        """A handful. Raises DatabaseUnavailable."""
        return {row[0]: (bytes(row[1]), row[2]) for row in await self._ask("keys")}

    async def event(self, tenant: str, position: int) -> SealedEvent | None:
        """By primary key; its place in its block is counted. Raises DatabaseUnavailable."""
        rows = await self._ask("event", tenant=tenant, position=position)
        if not rows:
            return None
        content: list[bytes] = []
        statement = copy_statement(after=position - 1, until=position)

        async def ask(connection: psycopg.AsyncConnection[TupleRow]) -> None:
            content.clear()
            async with connection.cursor() as cursor, cursor.copy(statement) as copy:
                content.extend([bytes(block) async for block in copy])

        await read_async(self._pool, ask)
        return SealedEvent(content=next(copy_rows(content))[1:], index=rows[0][0])

    async def nodes(self, wanted: Collection[Node]) -> Mapping[Node, bytes]:
        """Two queries at most, and one for each stretch of leaves. Raises DatabaseUnavailable."""
        high = [node for node in wanted if node[0] >= NODE_HEIGHT_MIN]
        rows = await self._ask("nodes", **_keys_of(high)) if high else []
        low: list[TupleRow] = []
        for start, end in stretches([n for n in wanted if n[0] < NODE_HEIGHT_MIN]):
            low += await self._ask("leaves", start=start, end=end)
        return nodes_from(wanted, rows, low)

    async def _ask(self, name: str, **parameters: Any) -> list[TupleRow]:
        async def ask(connection: psycopg.AsyncConnection[TupleRow]) -> list[TupleRow]:
            cursor = connection.cursor(binary=True)
            return await (await cursor.execute(SQL[name], parameters)).fetchall()

        return await read_async(self._pool, ask)


def copy_statement(*, after: int | None, until: int | None) -> bytes:
    """The rows of a stretch of the log; COPY takes no parameters."""
    bounds = {"after": POSITION_MIN if after is None else after}
    bounds["until"] = POSITION_MAX if until is None else until
    return SQL["rows"].format(**bounds).encode()


POSITION_MIN, POSITION_MAX = "'-9223372036854775808'::bigint", "9223372036854775807"


def head_of(row: TupleRow) -> Head:
    """From the columns of a head."""
    log, epoch, size, position, root, recorded_at, time, previous, key_id, signature = row[:10]
    return Head(
        log=log,
        epoch=epoch,
        size=size,
        position=position,
        root=bytes(root),
        recorded_at=recorded_at,
        time=time,
        previous=bytes(previous),
        key_id=key_id,
        signature=bytes(signature),
    )


def seal_of(row: TupleRow) -> Seal:
    """From the columns of a head, and what else a seal has."""
    return Seal(head=head_of(row), former_size=row[10], leaves=bytes(row[11]))


def split(hashes: bytes) -> list[bytes]:
    """One by one."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def stretches(low: Sequence[Node]) -> list[Range]:
    """The leaves under low nodes, those that touch as one."""
    found: list[Range] = []
    for start, end in sorted((i << h, (i + 1) << h) for h, i in low):
        if found and found[-1][1] >= start:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def nodes_from(
    wanted: Collection[Node], high: Sequence[TupleRow], low: Sequence[TupleRow]
) -> dict[Node, bytes]:
    """The hashes of nodes, from rows of `nodes` and `leaves`; what is not there is left out."""
    kept = {(row[0], (row[1] >> row[0]) - 1): bytes(row[2]) for row in high}
    leaves = {
        index: leaf
        for first, hashes in low
        for index, leaf in enumerate(split(bytes(hashes)), start=first)
    }
    found = {}
    for height, index in wanted:
        if height >= NODE_HEIGHT_MIN:
            if (height, index) in kept:
                found[height, index] = kept[height, index]
            continue
        below = range(index << height, (index + 1) << height)
        if all(leaf in leaves for leaf in below):
            found[height, index] = root_of([leaves[leaf] for leaf in below])
    return found


def _keys_of(nodes: Collection[Node]) -> dict[str, list[int]]:
    """How the table names them."""
    return {
        "sizes": [(index + 1) << height for height, index in nodes],
        "heights": [height for height, _ in nodes],
    }
