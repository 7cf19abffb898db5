"""Rows become segments, and segments files of a repository, while more rows are read.

Threads compress, encrypt, hash and keep whole segments, mostly outside of the interpreter's lock;
at most IN_FLIGHT segments are held at once, of 8 MiB or a single event.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Self
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.format import (
    FILE_BYTES_MAX,
    HISTORY,
    SEGMENT_BYTES,
    SEGMENT_ROWS_MAX,
    Content,
)
from application.archives.manifest import FileEntry
from application.archives.ports import FileMissing, Repository
from domain.merkle import root_of
from infrastructure.archives.encryption import DataKey
from infrastructure.archives.segment import COLUMNS, Draft, Written, columns_in, write_segment

IN_FLIGHT = 3
THREADS = 2
LENGTH_BYTES = 4
"""Before each row of a segment."""
_PLACE = {"events": 0, "requests": 2, "heads": 2}
"""Which column says where a row of history stands: position, base, size."""
_RECORDED_AT = COLUMNS["events"].index("recorded_at")
_EPOCH_OF_POSTGRES = datetime(2000, 1, 1, tzinfo=UTC)


class Packer:
    """Packs the rows of one archive. `last` is the position at which it ends. Leave it to wait for
    what is under way; left by an error, it drops what has not begun."""

    def __init__(
        self, repository: Repository, *, store_id: UUID, epoch: int, last: int, key: DataKey | None
    ) -> None:
        self._repository = repository
        self._store_id = store_id
        self._epoch = epoch
        self._last = last
        self._key = key
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="segments")
        self._under_way: deque[Future[FileEntry]] = deque()
        self.kept: list[FileEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with ExitStack() as ending:
            ending.callback(self._threads.shutdown, cancel_futures=kind is not None)
            if kind is None:
                self.wait()

    def add(
        self,
        content: Content,
        columns: tuple[str, ...],
        rows: Iterable[memoryview],
        *,
        hashed: Callable[[Sequence[bytes]], bytes] = root_of,
    ) -> None:
        """Pack these rows; `hashed` is told the leaf hashes of each segment, in order, and answers
        the root over them.

        Raises RepositoryUnavailable, RepositoryFull, BadArchive, and whatever the rows raise.
        """
        for portion in portions(rows):
            leaves = [sha256(row).digest() for row in portion]
            root = hashed(leaves)
            draft = self._draft(content, columns, portion)
            while len(self._under_way) >= IN_FLIGHT:
                self.kept.append(self._under_way.popleft().result())
            self._under_way.append(self._threads.submit(self._keep, draft, portion, leaves, root))

    def wait(self) -> None:
        """Until all of them are kept. Raises as `add` does."""
        while self._under_way:
            self.kept.append(self._under_way.popleft().result())

    def _draft(self, content: Content, columns: tuple[str, ...], rows: Sequence[bytes]) -> Draft:
        draft = Draft(
            content=content,
            columns=columns,
            store_id=self._store_id,
            epoch=self._epoch,
            first=0,
            last=self._last,
        )
        if content not in HISTORY:
            return draft
        first, last = (columns_in(memoryview(row), len(columns)) for row in (rows[0], rows[-1]))
        place = _PLACE[content]
        draft = replace(draft, first=_number(first[place]), last=_number(last[place]))
        if content != "events":
            return draft
        first_at, last_at = _time(first[_RECORDED_AT]), _time(last[_RECORDED_AT])
        return replace(draft, first_at=first_at, last_at=last_at)

    def _keep(
        self, draft: Draft, rows: Sequence[bytes], leaves: Sequence[bytes], root: bytes
    ) -> FileEntry:
        written = write_segment(draft, rows, self._key, leaves=leaves, root=root)
        if not self._repository.put_if_absent(written.entry.name, written.content):
            self._mend(written)
        return written.entry

    def _mend(self, written: Written) -> None:
        """What is there already is what was written once, or it was damaged since."""
        name = written.entry.name
        try:
            there = self._repository.get(name, bytes_max=FILE_BYTES_MAX)
        except (FileMissing, BadArchive):
            there = b""
        if sha256(there).hexdigest() != written.entry.sha256:
            self._repository.replace(name, written.content)


def portions(rows: Iterable[memoryview]) -> Iterator[list[bytes]]:
    """Rows as many as a segment holds: 10,000, or as many as make up 8 MiB, or one."""
    kept: list[bytes] = []
    held = 0
    for row in rows:
        size = len(row) + LENGTH_BYTES
        held += size
        if held > SEGMENT_BYTES and kept:
            yield kept
            kept, held = [], size
        kept.append(bytes(row))
        if len(kept) == SEGMENT_ROWS_MAX:
            yield kept
            kept, held = [], 0
    if kept:
        yield kept


def _number(value: memoryview | None) -> int:
    assert value is not None, "what places a row is never null"
    return int.from_bytes(value, "big", signed=True)


def _time(value: memoryview | None) -> datetime:
    return _EPOCH_OF_POSTGRES + timedelta(microseconds=_number(value))
