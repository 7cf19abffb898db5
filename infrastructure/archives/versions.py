"""Whether the versions of every aggregate follow on one another, however many there are."""

import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from infrastructure.archives.event_rows import gap

AGGREGATES_MAX = 500_000
"""In memory; some 150 bytes each."""
PARTITIONS = 64
_RECORD = struct.Struct(">16sqqI")
"""An aggregate, its first and last version in a segment, and which segment that is."""
_RECORDS_AT_ONCE = 10_000


class Versions:
    """The last version of every aggregate, segment by segment in the order of the log.

    Beyond `aggregates_max` they are spilled to temporary files, sorted by what they hash to, and
    looked at in the end, one file after another. `from_start`: the first version of each is 1.
    """

    def __init__(
        self,
        *,
        from_start: bool,
        aggregates_max: int = AGGREGATES_MAX,
        folder: Path | None = None,
    ) -> None:
        self._from_start = from_start
        self._aggregates_max = aggregates_max
        self._folder = folder
        self._lasts: dict[bytes, int] = {}
        self._spilled: list[BinaryIO] = []
        self._files: list[str] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def add(self, file: str, firsts: Mapping[bytes, int], lasts: Mapping[bytes, int]) -> None:
        """The next segment: each aggregate's first and last version in it. Raises BadArchive,
        OSError."""
        self._files.append(file)
        if self._spilled:
            self._spill(firsts, lasts, len(self._files) - 1)
            return
        self._follow(firsts.items(), file)
        self._lasts.update(lasts)
        if len(self._lasts) > self._aggregates_max:
            self._begin_to_spill()

    def finish(self) -> None:
        """What was spilled. Raises BadArchive, OSError."""
        for partition in self._spilled:
            self._lasts = {}
            for aggregate, first, last, number in _records(partition):
                self._follow([(aggregate, first)], self._files[number])
                self._lasts[aggregate] = last

    def _follow(self, firsts: Iterable[tuple[bytes, int]], file: str) -> None:
        lasts = self._lasts.get
        before_first = 0 if self._from_start else None
        for aggregate, first in firsts:
            before = lasts(aggregate, before_first)
            if before is None:
                # Where it begins is known to the archives before; a version is 1 at least.
                before = max(first - 1, 0)
            if first != before + 1:
                gap(aggregate, before, first, file)

    def _begin_to_spill(self) -> None:
        for _ in range(PARTITIONS):
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the stack
            self._spilled.append(self._closing.enter_context(file))
        lasts, self._lasts = self._lasts, {}
        self._spill(dict.fromkeys(lasts, 1), lasts, len(self._files) - 1)

    def _spill(self, firsts: Mapping[bytes, int], lasts: Mapping[bytes, int], number: int) -> None:
        """By Python's own hash, which nobody outside can foresee."""
        pack, parts = _RECORD.pack, defaultdict(list)
        for aggregate, first in firsts.items():
            record = pack(aggregate, first, lasts[aggregate], number)
            parts[hash(aggregate) % PARTITIONS].append(record)
        for part, records in parts.items():
            self._spilled[part].write(b"".join(records))


def _records(file: BinaryIO) -> Iterator[tuple[bytes, int, int, int]]:
    file.seek(0)
    while content := file.read(_RECORD.size * _RECORDS_AT_ONCE):
        yield from _RECORD.iter_unpack(content)
