"""What can be wrong with an archive, a repository, or what somebody wants of them."""

from functools import partial
from typing import Any

from domain.errors import Conflict, Unavailable

UNREADABLE_HERE = frozenset({"key_missing"})
"""Faults that say nothing of an archive, only that nobody here can read it."""


class BadArchive(Conflict):
    """An archive is not what was written: damaged, cut, forged, foreign, or made to do harm.

    `fault` is the stable name of what is wrong (infrastructure/archives/README.md lists them),
    `file` the name in the repository, `byte` where in the file it was noticed, if anywhere.
    """

    code = "bad_archive"

    def __init__(
        self, fault: str, message: str, *, file: str | None = None, byte: int | None = None
    ) -> None:
        where = "".join(
            [f" in {file}" if file else "", f" at byte {byte}" if byte is not None else ""]
        )
        super().__init__(f"{message}{where} ({fault}).", fault=fault, file=file, byte=byte)
        self._said = message
        self.fault = fault
        self.file = file
        self.byte = byte

    def __reduce__(self) -> tuple[Any, ...]:
        """As another process found it."""
        return partial(BadArchive, file=self.file, byte=self.byte), (self.fault, self._said)


class RepositoryUnavailable(Unavailable):
    """Where archives are kept does not answer, or refuses us."""

    code = "repository_unavailable"


class RepositoryFull(Unavailable):
    """There is no room left where archives are kept."""

    code = "repository_full"


class DiskFull(Unavailable):
    """There is no room left where the service itself writes, temporary files and its keys, or where
    PostgreSQL keeps the store that is built."""

    code = "disk_full"


class ArchiveLocked(Conflict):
    """What is to be deleted is under a lock of the store, until its time is over."""

    code = "archive_locked"
