"""What an archive may become, and what is refused: the state table of domain/README.md."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.archive import Archive, ArchiveFacts, ArchiveStatus, ArchiveType
from domain.errors import ArchiveNotReady
from tests.given import ALICE, MINUTE, NOON, TENANT

LATER = NOON + MINUTE
FACTS = ArchiveFacts(
    manifest="manifests/m.json",
    sha256="ab" * 32,
    epoch=1,
    last=12,
    last_at=NOON,
    size=10,
    root="cd" * 32,
    new_events=10,
    segments=3,
    bytes=1000,
    new_bytes=1000,
)
Step = Callable[[Archive], None]


def stored(archive: Archive) -> None:
    archive.store(ArchiveType.FULL, FACTS, now=LATER)


def verified(archive: Archive) -> None:
    archive.verify(level=2, events=10, now=LATER)


def failed(archive: Archive) -> None:
    archive.fail(stage="store", code="repository_full", message="No room.", now=LATER)


def drilled(archive: Archive) -> None:
    archive.drill(position=12, events=10, seconds=1.5, now=LATER)


def found_different(archive: Archive) -> None:
    archive.drill(
        position=12, events=10, seconds=1.5, code="digest_differs", message="It is.", now=LATER
    )


def expired(archive: Archive) -> None:
    archive.expire("no rule keeps it", now=LATER)


def an_archive(*steps: Step) -> Archive:
    """An archive that was ordered at noon and then went through these steps."""
    archive = Archive.start(
        ALICE, tenant=TENANT, type=ArchiveType.INCREMENTAL, requested_by="schedule", now=NOON
    )
    for step in steps:
        step(archive)
    archive.take_events()
    return archive


def recorded(archive: Archive) -> list[Any]:
    return list(archive.take_events())


WAYS: dict[str, tuple[Step, ...]] = {
    "running": (),
    "stored": (stored,),
    "verified": (stored, verified),
    "failed": (failed,),
    "expired": (stored, expired),
}
TABLE: list[tuple[Step, str, str]] = [
    *((stored, status, "stored") for status in ("running",)),
    *((stored, status, "no event") for status in ("stored", "verified")),
    *((stored, status, "refused") for status in ("failed", "expired")),
    *((verified, status, "verified") for status in ("stored", "verified")),
    *((verified, status, "refused") for status in ("running", "failed", "expired")),
    *((failed, status, "failed") for status in ("running", "stored", "verified", "failed")),
    (failed, "expired", "refused"),
    *((drilled, status, status) for status in ("stored", "verified")),
    *((found_different, status, "failed") for status in ("stored", "verified")),
    *((drilled, status, "refused") for status in ("running", "failed", "expired")),
    *((expired, status, "expired") for status in ("stored", "verified", "failed")),
    (expired, "expired", "no event"),
    (expired, "running", "refused"),
]


@pytest.mark.parametrize(
    ("step", "status", "outcome"), TABLE, ids=[f"{s.__name__}-{f}-{o}" for s, f, o in TABLE]
)
def test_an_archive_becomes_what_the_table_says(step: Step, status: str, outcome: str) -> None:
    archive = an_archive(*WAYS[status])
    assert archive.status == status

    if outcome == "refused":
        with pytest.raises(ArchiveNotReady, match=f"is {status}, not stored or verified"):
            step(archive)
    else:
        step(archive)

    assert len(recorded(archive)) == (outcome not in {"refused", "no event"})
    assert archive.status == (status if outcome in {"refused", "no event"} else outcome)


def test_what_was_ordered_as_incremental_may_be_stored_as_full() -> None:
    archive = an_archive()

    stored(archive)

    (event,) = recorded(archive)
    assert isinstance(event, Archive.Stored)
    assert (event.type, event.last, event.size, event.root) == ("full", 12, 10, "cd" * 32)
    assert (archive.type, archive.manifest, archive.sha256) == ("full", FACTS.manifest, "ab" * 32)


def test_an_archive_that_lay_in_the_repository_begins_as_stored() -> None:
    archive = Archive.find(ALICE, tenant=TENANT, type=ArchiveType.FULL, facts=FACTS, now=NOON)

    (event,) = recorded(archive)
    assert isinstance(event, Archive.Found)
    assert (archive.status, archive.version) == (ArchiveStatus.STORED, 1)
    assert (archive.manifest, archive.sha256) == (FACTS.manifest, FACTS.sha256)


def test_the_highest_level_counts() -> None:
    archive = an_archive(stored)

    archive.verify(level=3, events=10, now=LATER)
    archive.verify(level=1, events=10, now=LATER)

    assert [event.level for event in recorded(archive)] == [3, 1]
    assert archive.level == 3


def test_an_archive_whose_files_nobody_read_is_not_verified() -> None:
    archive = an_archive(stored)

    archive.verify(level=0, events=10, now=LATER)

    assert (archive.status, archive.level) == (ArchiveStatus.STORED, 0)


def test_a_drill_says_what_differed() -> None:
    archive = an_archive(stored)

    found_different(archive)

    (event,) = recorded(archive)
    assert (event.equal, event.code, event.message) == (False, "digest_differs", "It is.")
    assert archive.status == ArchiveStatus.FAILED
