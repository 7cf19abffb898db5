"""The files of an archive as its repository has them: fetched, and held against what is listed."""

from collections.abc import Collection, Iterable
from functools import cached_property
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.format import KEYS, SEGMENTS, key_name
from application.archives.manifest import FileEntry
from application.archives.ports import FileMissing, Repository
from infrastructure.archives.encryption import DataKey, Keys
from infrastructure.archives.event_rows import EventCheck, Events
from infrastructure.archives.segment import (
    Opened,
    Segment,
    check_digest,
    header_of,
    open_segment,
    read_segment,
)


class Files:
    """The segments of one store. Everything raises BadArchive, BadIdentity and
    RepositoryUnavailable; fetching may be done on many threads."""

    def __init__(self, repository: Repository, keys: Keys, store_id: UUID) -> None:
        self._repository = repository
        self._keys = keys
        self.store_id = store_id

    def look_up(
        self, entries: Iterable[FileEntry], *, may_be_gone: Collection[str] = ()
    ) -> frozenset[str]:
        """That they are all there, each of the size that is listed. The names of those that may
        have gone, and did."""
        wanted = {entry.name: entry.size for entry in entries}
        for kept in self._repository.listed(SEGMENTS):
            size = wanted.pop(kept.name, kept.size)
            if kept.size != size:
                fault = "file_too_large" if kept.size > size else "file_damaged"
                message = f"It has {kept.size} bytes, and {size} are listed"
                raise BadArchive(fault, message, file=kept.name)
        if missing := wanted.keys() - may_be_gone:
            raise BadArchive("file_missing", "It is not there", file=min(missing))
        return frozenset(wanted)

    def content(self, entry: FileEntry) -> bytes:
        """As it is there."""
        try:
            return self._repository.get(entry.name, bytes_max=entry.size)
        except FileMissing as error:
            raise BadArchive("file_missing", "It is not there", file=entry.name) from error

    def whole(self, entry: FileEntry) -> FileEntry:
        """That it is the file that was listed, and that whoever may open it could."""
        content = self.content(entry)
        check_digest(content, entry)
        self._look_up_key(header_of(content, entry)[0].key_id)
        return entry

    def with_key(self, entry: FileEntry) -> tuple[bytes, DataKey | None]:
        """The content, and the key that opens it."""
        content = self.content(entry)
        check_digest(content, entry)
        key_id = header_of(content, entry)[0].key_id
        self._look_up_key(key_id)
        return content, None if key_id is None else self._keys.get(key_id)

    def opened(self, entry: FileEntry) -> Opened:
        """Decrypted and decompressed."""
        opened = open_segment(self.content(entry), entry, self._keys, store_id=self.store_id)
        self._look_up_key(opened.header.key_id)
        return opened

    def segment(self, entry: FileEntry) -> Segment:
        """With its rows, once their root was compared."""
        return read_segment(self.content(entry), entry, self._keys, store_id=self.store_id)

    def events(self, entry: FileEntry) -> Events:
        """What its events tell of themselves, once each was looked at."""
        return EventCheck().look_at(self.opened(entry).plain, entry)

    def _look_up_key(self, key_id: str | None) -> None:
        """A key that is only in our memory would be lost with us."""
        if key_id is not None and key_name(key_id) not in self._key_names:
            message = "The data key is not there"
            raise BadArchive("file_missing", message, file=key_name(key_id))

    @cached_property
    def _key_names(self) -> frozenset[str]:
        return frozenset(kept.name for kept in self._repository.listed(KEYS))
