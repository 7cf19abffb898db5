"""What is done to archives, to be interrupted at every step (archive_interruptions.py)."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from application.archives.expiry import Expiry, Known
from application.archives.format import LATEST, segment_name
from application.archives.retention import STATE, Rules
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.named_keys import named_key
from infrastructure.archives.s3 import S3Repository, client_of
from tests.archive_shelf import STORE, Shelf

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAME = segment_name("events", 1, 1, 9, "0a" * 32)
CONTENT = bytes(range(256)) * 40


S3_NOTE = "s3"
"""The file in a place that names a service and a bucket, where it is not a folder."""
s3_hooks: list[Callable[[Any], None]] = []
"""What is done to each client of boto3."""


def shelf_at(place: Path) -> Shelf:
    """A repository, in a folder that is not made yet, or in a bucket."""
    if (place / S3_NOTE).exists():
        url, bucket = (place / S3_NOTE).read_text().split()
        return Shelf(S3Repository(client_at(url, os.getpid()), bucket, "", STORE))
    return Shelf(FolderRepository(place / "backups", STORE))


@cache
def client_at(url: str, process: int) -> Any:
    """One for each process: connections are not to be shared."""
    client = client_of(url, None)
    for hook in s3_hooks:
        hook(client)
    return client


class OnShelf:
    """What is listed is whole, and of archives nothing is missing that may not be."""

    def check(self, place: Path) -> None:
        """Also that the newest archive is there, where there was one."""
        shelf = shelf_at(place)
        files = shelf.catalogue.manifests()
        assert not shelf.catalogue.broken, shelf.catalogue.broken
        found = shelf.everything()
        for file in files:
            missing = shelf.missing_of(file, found)
            assert all(name.split("/")[1].split("-")[0] in STATE for name in missing), missing

    def outcome(self, place: Path) -> Any:
        """Every file."""
        return shelf_at(place).everything()


class Putting(OnShelf):
    """The very first file of a repository."""

    def prepare(self, place: Path) -> None:
        """Nothing is there."""

    def run(self, place: Path) -> None:
        """Put it."""
        shelf_at(place).repository.put_if_absent(NAME, CONTENT)

    def check(self, place: Path) -> None:
        """It is not there, or whole."""
        assert set(self.outcome(place).values()) <= {CONTENT}


class Replacing(OnShelf):
    """A file by another."""

    def prepare(self, place: Path) -> None:
        """The first is there."""
        shelf_at(place).repository.replace(LATEST, b"before")

    def run(self, place: Path) -> None:
        """Put the second in its place."""
        shelf_at(place).repository.replace(LATEST, CONTENT)

    def check(self, place: Path) -> None:
        """It is one or the other."""
        assert self.outcome(place) in (b"before", CONTENT)

    def outcome(self, place: Path) -> Any:
        """What it is now."""
        return shelf_at(place).repository.get(LATEST, bytes_max=len(CONTENT))


class Deleting(OnShelf):
    """One file of two."""

    def prepare(self, place: Path) -> None:
        """Both are there."""
        shelf = shelf_at(place)
        shelf.repository.put_if_absent(NAME, CONTENT)
        shelf.add_garbage(1)

    def run(self, place: Path) -> None:
        """Delete it."""
        shelf_at(place).repository.delete(NAME)

    def check(self, place: Path) -> None:
        """The other is there."""
        assert len([name for name in self.outcome(place) if name != NAME]) == 1


class Continuing(OnShelf):
    """An archive that continues another one: segments, manifest, LATEST."""

    def prepare(self, place: Path) -> None:
        """The first is there."""
        shelf_at(place).take(1, BEGAN)

    def run(self, place: Path) -> None:
        """Take the second."""
        shelf = shelf_at(place)
        base = shelf.catalogue.one(UUID(int=1)).manifest
        shelf.take(2, BEGAN + HOUR, continues=base)


class Expiring(OnShelf):
    """Chains of which some go, some stay, and some are what others go on from."""

    now = BEGAN + 50 * DAY
    last = 3

    def prepare(self, place: Path) -> None:
        """Seven archives, and files of none."""
        shelf = shelf_at(place)
        for number in range(3):
            shelf.add_garbage(number)
        shelf.chain([1, 2, 3], BEGAN, HOUR)
        shelf.chain([4, 5, 6], BEGAN + DAY, HOUR)
        shelf.take(7, BEGAN + 2 * DAY)

    def run(self, place: Path) -> None:
        """Let go."""
        shelf = shelf_at(place)
        rules = Rules(last=self.last, daily=0, weekly=0, monthly=0, age_min=timedelta(0))
        expiry = Expiry(shelf.repository, shelf.catalogue, rules=rules, grace=DAY, key_of=named_key)
        known = Known(
            statuses={UUID(int=number): "verified" for number in range(1, 8)},
            drilled={UUID(int=2)},
        )
        expiry.run(known, now=self.now, dry_run=False, told=lambda *_: None)

    def check(self, place: Path) -> None:
        """What the rules keep is there, too."""
        super().check(place)
        assert set(shelf_at(place).numbers()) >= {1, 2, 4, 5, 6, 7}


class Sweeping(Expiring):
    """The run after the grace period: files of what was let go before, and what is personal."""

    def prepare(self, place: Path) -> None:
        """What a first run leaves."""
        super().prepare(place)
        shelf = shelf_at(place)
        for file in shelf.catalogue.manifests()[:3]:
            content = shelf.repository.get(file.name, bytes_max=2**20)
            shelf.repository.replace(file.name.replace("manifests", "expired"), content)
            shelf.repository.delete(file.name)

    def run(self, place: Path) -> None:
        """By a log that knows what went."""
        shelf = shelf_at(place)
        rules = Rules(last=4, daily=0, weekly=0, monthly=0, age_min=timedelta(0))
        expiry = Expiry(shelf.repository, shelf.catalogue, rules=rules, grace=DAY, key_of=named_key)
        known = Known(statuses={UUID(int=number): "verified" for number in range(4, 8)}, drilled=())
        expiry.run(known, now=self.now, dry_run=False, told=lambda *_: None)

    def check(self, place: Path) -> None:
        """None of those that stay is harmed."""
        OnShelf.check(self, place)
        assert shelf_at(place).numbers() == [4, 5, 6, 7]


class Unsafe(Putting):
    """A file that is written where it is listed."""

    def run(self, place: Path) -> None:
        """Write it in place."""
        shelf_at(place).add_garbage(1)
        path = place / "backups" / str(STORE) / NAME
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(file, CONTENT)
        os.fsync(file)
        os.close(file)

    def check(self, place: Path) -> None:
        """It is not there, or whole."""
        shelf = shelf_at(place)
        if NAME in shelf.names("segments"):
            assert shelf.repository.get(NAME, bytes_max=len(CONTENT)) == CONTENT
