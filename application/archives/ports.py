"""What backups need from the outside, with what each promises."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Told = Callable[[str, int, int], None]
"""Told of progress: the stage, how much is done, and of how much (events, mostly)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file as a repository lists it. `name` is `folder/file`, `size` in bytes."""

    name: str
    size: int
    kept_at: datetime


class FileMissing(Exception):
    """The repository holds no file of this name."""


class Repository(Protocol):
    """Where archives of one store are kept: files in folders (`segments`, `manifests`, `keys`),
    and `LATEST`.

    Everything raises RepositoryUnavailable. A name that is not one of ours raises ValueError; no
    name reaches a place outside.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Keep a file, whole and durable once this returns. False: there is one of that name, which
        stays as it is. Raises RepositoryFull."""

    def replace(self, name: str, content: bytes) -> None:
        """Keep a file in place of what was there, in one step. Raises RepositoryFull."""

    def get(self, name: str, *, bytes_max: int) -> bytes:
        """The content. Raises FileMissing, and BadArchive (`file_too_large`) before more than
        `bytes_max` is held."""

    def beginning(self, name: str, *, bytes_max: int) -> bytes:
        """The first bytes, at least one where there is any and at most so many, which nobody
        compares with anything. Raises FileMissing."""

    def listed(self, folder: str) -> Iterator[Kept]:
        """The files of a folder, by name; what is half written is not among them."""

    def delete(self, name: str) -> None:
        """For good; nothing when there is none. Raises ArchiveLocked."""


class JobFailed(Exception):
    """A job came to nothing. `code` and `message` are those of the error, `facts` what it knew."""

    def __init__(self, code: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = dict(facts or {})


class Archivist(Protocol):
    """Does what takes long in a process of its own, one job at a time: so it holds up nobody here,
    and what a hostile file does to it stays there."""

    async def run(
        self,
        kind: str,
        request: Mapping[str, Any],
        told: Told,
        *,
        wait_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Do a job and answer its result, both as JSON has them. Jobs wait for one another, for so
        long at most; None: as long as it takes.

        Raises JobFailed, JobUnderWay. When it is cancelled, the job's process is ended at once.
        """
