"""The signed heads of the log in an archive, read as they are needed and held against its tree."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, NoReturn
from uuid import UUID

from application.archives.faults import BadArchive
from application.seals.head import NOTHING_BEFORE, Head, key_id_of
from application.seals.ports import SignatureCheck
from infrastructure.archives.segment import COLUMNS, Segment, columns_in

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
KEYS_MAX = 10_000
_WIDTHS = (16, 4, 8, 8, 8, 32, 8, 8, 32, None, 64)
"""Of the columns of a head, in bytes; the id of its key is text."""


class Mark(NamedTuple):
    """The log as it was found to be at the size of a head; the time in microseconds since 2000."""

    root: bytes
    position: int
    recorded_at: int


class Heads:
    """The heads of an archive in their order, each held against a mark. Raises BadArchive.

    `from_start`: they begin with the first head of the log.
    """

    def __init__(
        self,
        segments: Iterable[tuple[str, Segment]],
        keys: Mapping[str, bytes],
        signed: SignatureCheck,
        store_id: UUID,
        *,
        from_start: bool,
    ) -> None:
        self._heads = _heads_in(segments)
        self._keys = keys
        self._signed = signed
        self._store_id = store_id
        self._former: Head | None = None
        self._from_start = from_start
        self._waiting: deque[tuple[str, Head, int]] = deque()
        self._next = next(self._heads, None)

    def sizes(self, end: int) -> list[int]:
        """At which the next heads stand, up to a size. They wait for their marks then."""
        sizes = []
        while self._next is not None and self._next[1].size <= end:
            self._waiting.append(self._next)
            sizes.append(self._next[1].size)
            self._next = next(self._heads, None)
        return sizes

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return bool(self._waiting) or self._next is not None

    def pass_by(self, size: int, root: bytes) -> None:
        """Those up to the size at which an archive goes on, whose events are in those before: with
        its root, but without the rest of what they say."""
        for _ in self.sizes(size):
            file, head, former_size = self._waiting.popleft()
            if head.size == size and head.root != root:
                _fault("root_differs", head, "is of other events", file)
            self._follow(file, head, former_size)

    def wait_at(self, size: int) -> bool:
        """Whether the next that waits is of this size."""
        return bool(self._waiting) and self._waiting[0][1].size == size

    def look_at(self, mark: Mark) -> Head:
        """The next that waits, once it was held against its mark."""
        file, head, former_size = self._waiting.popleft()
        time = timedelta(microseconds=mark.recorded_at)
        found = (mark.root, mark.position, POSTGRES_EPOCH + time)
        if (head.root, head.position, head.recorded_at) != found:
            _fault("root_differs", head, "is of other events", file)
        return self._follow(file, head, former_size)

    def _follow(self, file: str, head: Head, former_size: int) -> Head:
        """It, where it was signed and goes on from the one before."""
        former = self._former
        if former is None and self._from_start:
            follows = (former_size, head.previous) == (0, NOTHING_BEFORE)
        else:
            follows = former is None or (former_size, head.previous) == (
                former.size,
                former.digest,
            )
        if not follows or head.log != self._store_id or head.size <= former_size:
            _fault("positions_disordered", head, "does not follow on the one before", file)
        key = self._keys.get(head.key_id)
        if key is None or not self._signed(key, head.text, head.signature):
            _fault("bad_signature", head, "is not what was signed", file)
        self._former = head
        return head

    def finish(self) -> None:
        """That none is left over."""
        left = self._waiting[0] if self._waiting else self._next
        if left is not None:
            _fault("root_differs", left[1], "is of no tree of these events", left[0])


def seal_keys_in(segments: Iterable[tuple[str, Segment]]) -> dict[str, bytes]:
    """Public keys by their ids, each of which is its digest. Raises BadArchive."""
    keys: dict[str, bytes] = {}
    for file, segment in segments:
        columns = segment.header.columns
        if not {"key_id", "public_key"} <= set(columns):
            raise BadArchive("bad_header", "It holds no keys", file=file)
        places = columns.index("key_id"), columns.index("public_key")
        for row in segment.rows:
            values = values_in(row, len(columns), file)
            key_id, public_key = (bytes(values[place] or b"") for place in places)
            if key_id_of(public_key).encode() != key_id or len(keys) == KEYS_MAX:
                raise BadArchive("bad_row", "A public key is not the one it says", file=file)
            keys[key_id.decode()] = public_key
    return keys


def values_in(row: memoryview, count: int, file: str) -> "list[memoryview | None]":
    """Raises BadArchive."""
    try:
        return columns_in(row, count)
    except ValueError as error:
        raise BadArchive("bad_row", f"A row is none: {error}", file=file) from error


def _heads_in(segments: Iterable[tuple[str, Segment]]) -> Iterator[tuple[str, Head, int]]:
    """With the file that each is in, and the size of the head before."""
    size = 0
    for file, segment in segments:
        for row in segment.rows:
            head, former_size = _head_in(row, file)
            if head.size <= size:
                _fault("positions_disordered", head, "stands in the wrong place", file)
            size = head.size
            yield file, head, former_size
        if segment.header.last != size:
            raise BadArchive("positions_disordered", "Its sizes end elsewhere", file=file)


def _head_in(row: memoryview, file: str) -> tuple[Head, int]:
    values = [bytes(v or b"") for v in values_in(row, len(COLUMNS["heads"]), file)]
    widths = [w is None or len(v) == w for v, w in zip(values, _WIDTHS, strict=True)]
    try:
        if not all(widths):
            raise ValueError("its columns are of other lengths")  # noqa: TRY301
        log, epoch, size, former_size, position, root, recorded_at, sealed_at = values[:8]
        head = Head(
            log=UUID(bytes=log),
            epoch=_number(epoch),
            size=_number(size),
            position=_number(position),
            root=root,
            recorded_at=_time(recorded_at),
            time=_time(sealed_at),
            previous=values[8],
            key_id=values[9].decode(),
            signature=values[10],
        )
    except (ValueError, OverflowError) as error:
        raise BadArchive("bad_row", f"That is no head: {error}", file=file) from error
    return head, _number(former_size)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _time(value: bytes) -> datetime:
    return POSTGRES_EPOCH + timedelta(microseconds=_number(value))


def _fault(fault: str, head: Head, message: str, file: str) -> NoReturn:
    raise BadArchive(fault, f"The head of {head.size} events {message}", file=file)
