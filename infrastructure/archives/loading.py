"""Loads an archive into a new store: each segment is checked, then its rows go to COPY as they are.

The tree of the log is folded anew from the rows, and every signed head is held against it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain as chained

import orjson
import psycopg
from psycopg import sql

from application.archives.chain import Chain
from application.archives.faults import BadArchive
from application.archives.format import Content
from application.archives.manifest import FileEntry
from application.archives.ports import Told
from application.seals.head import Head
from application.seals.ports import NODE_HEIGHT_MIN, SignatureCheck
from domain.merkle import HASH_BYTES, Node, Tree
from infrastructure.archives.ahead import quick_threads
from infrastructure.archives.checking import (
    ALONE,
    Effort,
    Fetched,
    Looked,
    Portion,
    looked_at,
)
from infrastructure.archives.cutting import Cut
from infrastructure.archives.files import Files
from infrastructure.archives.head_rows import Heads, Mark, seal_keys_in
from infrastructure.archives.next_store import SQL, NextStore, translated
from infrastructure.archives.segment import Row, Segment, columns_in
from infrastructure.archives.versions import Versions
from infrastructure.postgres.row_copy import HEADER, TRAILER

APPEND_EVENTS_MAX = 300_000
"""No append is larger: a request that much before the cut was answered before it."""
OF_LIVE: tuple[Content, ...] = ("accounts", "webhooks", "webhook_letters", "subject_keys")
"""No history: where there is a store, they are taken over from that one."""

Sealed = tuple[Head, int, bytes, dict[Node, bytes]]
"""A head, the size of the one before, the leaves between, and the nodes that they complete."""


class Loading:
    """Loads one archive up to a cut. Raises BadArchive, BadIdentity, RepositoryUnavailable and
    DatabaseUnavailable; the store is then to be thrown away."""

    def __init__(
        self,
        store: NextStore,
        chain: Chain,
        files: Files,
        signed: SignatureCheck,
        told: Told,
        *,
        effort: Effort = ALONE,
    ) -> None:
        self._store = store
        self._chain = chain
        self._files = files
        self._signed = signed
        self._told = told
        self._effort = effort
        self._tree = Tree()
        # Behind the newest seal: leaves, and the nodes that they complete.
        self._leaves = bytearray()
        self._nodes: dict[Node, bytes] = {}

    def load(self, cut: Cut, *, tables: Chain | None) -> Tree:
        """History up to the cut, and the tables that are none out of the archive that is named,
        where no store has them; the tree of what was restored."""
        self._load_table("seal_keys", tables or self._chain)
        if tables is not None:
            for content in OF_LIVE:
                self._load_table(content, tables)
        self._load_events(cut)
        for entry in self._chain.files("requests"):
            self._load_requests(entry, cut)
        self._told("index", 0, 0)
        self._store.index()
        return self._tree

    def _load_events(self, cut: Cut) -> None:
        newest = self._chain.newest
        keys = seal_keys_in(self._segments("seal_keys"))
        heads = Heads(
            self._segments("heads"), keys, self._signed, self._files.store_id, from_start=True
        )
        looking = looked_at(self._files, self._portions(heads, cut), self._effort)
        # PostgreSQL takes one segment in while the next is looked at, and the one after fetched.
        with (
            ThreadPoolExecutor(1) as writer,
            Versions(from_start=True) as versions,
            closing(looking),
            quick_threads(),
        ):
            writing: Future[None] | None = None
            for looked, fetched in looking:
                versions.add(looked.entry.name, looked.firsts, looked.lasts)
                count = min(looked.entry.count, cut.size - self._tree.size)
                seals = self._grow(heads, looked, cut)
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._write, looked, fetched, count, seals)
                self._told("load", self._tree.size, cut.size)
            if writing is not None:
                writing.result()
            versions.finish()
        whole = cut.position == newest.last
        if whole:
            heads.finish()
        found = (self._tree.size, self._tree.root)
        if found[0] != cut.size or (whole and found != (newest.size, newest.root)):
            raise BadArchive("root_differs", "The log is another than the manifest says")

    def _portions(self, heads: Heads, cut: Cut) -> Iterator[Portion]:
        start, store_id = 0, self._files.store_id
        for entry in self._chain.files("events"):
            if entry.first > cut.position:
                return
            end = start + entry.count
            last = min(end, cut.size)
            sizes = sorted({*heads.sizes(last), last, end})
            yield Portion(entry=entry, start=start, sizes=sizes, store_id=store_id, kept=True)
            start = end

    def _grow(self, heads: Heads, looked: Looked, cut: Cut) -> list[Sealed]:
        """The tree over the next events, up to the cut; the seals that end among them."""
        seals: list[Sealed] = []
        for stop in looked.stops:
            if stop.size > cut.size:
                break
            completed = self._tree.join(stop.parts)
            self._leaves += stop.leaves
            self._nodes |= stop.nodes
            self._nodes |= {node: of for node, of in completed.items() if _is_kept(node)}
            if heads.wait_at(stop.size):
                head = heads.look_at(Mark(self._tree.root, stop.position, stop.recorded_at))
                former_size = stop.size - len(self._leaves) // HASH_BYTES
                seals.append((head, former_size, bytes(self._leaves), self._nodes))
                self._leaves, self._nodes = bytearray(), {}
        if not heads.left:
            # Nothing in the archive seals them: whoever serves the store seals them anew.
            self._leaves, self._nodes = bytearray(), {}
        return seals

    def _write(self, looked: Looked, fetched: Fetched, count: int, seals: Sequence[Sealed]) -> None:
        """The first rows of a segment, and the seals that end among them."""
        opened = fetched.opened()
        rows = _rows(opened.plain, looked.ends[:count])
        self._copy("events", opened.header.columns, rows, looked.entry)
        if not seals:
            return
        nodes = dict(chained.from_iterable(nodes.items() for *_, nodes in seals))
        completed = {
            "sizes": [(index + 1) << height for height, index in nodes],
            "heights": [height for height, _ in nodes],
            "hashes": list(nodes.values()),
        }
        with translated(), self._store.connection.cursor() as cursor:
            cursor.executemany(self._named("keep_seal"), map(_columns_of, seals))
            cursor.execute(self._named("keep_nodes"), completed)

    def _load_requests(self, entry: FileEntry, cut: Cut) -> None:
        """Those of which all that they did was restored: the others may be done again."""
        if entry.first > cut.position:
            return
        segment = self._files.segment(entry)
        rows: Sequence[memoryview] = segment.rows
        if entry.last + APPEND_EVENTS_MAX > cut.position:
            rows = [row for row in rows if _answered_until(row, entry) <= cut.position]
        self._copy("requests", segment.header.columns, rows, entry)

    def _load_table(self, content: Content, chain: Chain) -> None:
        for entry in chain.files(content):
            segment = self._files.segment(entry)
            self._copy(content, segment.header.columns, segment.rows, entry)

    def _copy(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], entry: FileEntry
    ) -> None:
        if not rows:
            return
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(self._store.schema, table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        try:
            with self._store.connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(b"".join([HEADER, *rows, TRAILER]))
        except (psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError) as error:
            reason = str(error).partition("\n")[0]
            message = f"PostgreSQL does not take its rows: {reason}"
            raise BadArchive("bad_row", message, file=entry.name) from error
        except psycopg.Error:
            with translated():
                raise

    def _segments(self, content: Content) -> Iterator[tuple[str, Segment]]:
        for entry in self._chain.files(content):
            yield entry.name, self._files.segment(entry)

    def _named(self, name: str) -> sql.Composed:
        return sql.SQL(SQL[name]).format(schema=sql.Identifier(self._store.schema))


def _is_kept(node: Node) -> bool:
    return node[0] >= NODE_HEIGHT_MIN


def _columns_of(seal: Sealed) -> dict[str, object]:
    head, former_size, leaves, _ = seal
    columns = {name: getattr(head, name) for name in Head.__dataclass_fields__}
    return {**columns, "former_size": former_size, "leaves": leaves}


def _rows(plain: bytes, ends: Sequence[int]) -> list[bytes]:
    """Of a body, without the length before each."""
    begins = chained((0,), ends)
    return [plain[begin + 4 : end] for begin, end in zip(begins, ends, strict=False)]


def _answered_until(row: memoryview, entry: FileEntry) -> int:
    """The position of the last event of what a request did; 0 where it changed nothing."""
    try:
        values = columns_in(row, 5)
        base = int.from_bytes(values[2] or b"", "big", signed=True)
        parts = orjson.loads(values[3] or b"null")
    except ValueError as error:
        raise BadArchive("bad_row", f"A row is none: {error}", file=entry.name) from error
    return base + max(map(_place_of, parts if isinstance(parts, list) else ()), default=0)


def _place_of(part: object) -> int:
    """Of its last event in the append, as `answer_to_keep` has it."""
    if isinstance(part, list) and len(part) > 2 and isinstance(part[2], int):
        return part[2]
    return 0
