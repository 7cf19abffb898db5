"""Letting archives go, on a real folder and a real bucket."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from application.archives.expiry import EXPIRED, Expired, Expiry, Known
from application.archives.format import MANIFEST_BYTES_MAX, Content
from application.archives.manifest import Manifest
from application.archives.retention import STATE, Rules, Status
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.named_keys import named_key
from tests.archive_shelf import STORE, STRANGER, Shelf
from tests.s3_server import s3_server

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GRACE = DAY
BEGAN = datetime.now(UTC).replace(microsecond=0)
"""Files are as old as the file system says, so times here are real ones."""
LATER = BEGAN + 10 * DAY


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(FolderRepository(tmp_path / "backups", STORE))


def expire(
    shelf: Shelf,
    *,
    last: int = 1,
    now: datetime = LATER,
    statuses: Mapping[int, Status] | None = None,
    drilled: Collection[int] = (),
    dry_run: bool = False,
) -> Expired:
    """By a rule that keeps the last ones; whatever was taken is verified unless told otherwise."""
    verified: dict[int, Status] = dict.fromkeys(shelf.numbers(), "verified")
    known = Known(
        statuses={UUID(int=n): status for n, status in {**verified, **(statuses or {})}.items()},
        drilled={UUID(int=n) for n in drilled},
    )
    rules = Rules(last=last, daily=0, weekly=0, monthly=0, age_min=timedelta(0))
    expiry = Expiry(shelf.repository, shelf.catalogue, rules=rules, grace=GRACE, key_of=named_key)
    return expiry.run(known, now=now, dry_run=dry_run, told=lambda *_: None)


def numbers(pairs: Iterable[tuple[UUID, str]]) -> list[int]:
    return [archive_id.int for archive_id, _ in pairs]


def files_of(manifest: Manifest, *contents: Content) -> set[str]:
    return {entry.name for entry in manifest.files if not contents or entry.content in contents}


def test_what_no_rule_keeps_goes_and_its_files_after_the_grace_period(shelf: Shelf) -> None:
    old, new = shelf.take(1, BEGAN), shelf.take(2, BEGAN + DAY)

    first = expire(shelf)

    assert (numbers(first.gone), numbers(first.kept), first.files) == ([1], [2], 0)
    assert shelf.numbers() == [2]
    assert set(shelf.names("segments")) == files_of(old) | files_of(new)

    again = expire(shelf, now=LATER + DAY + HOUR)

    assert (numbers(again.gone), again.files) == ([], len(files_of(old) - files_of(new)))
    assert again.file_bytes > 0
    assert set(shelf.names("segments")) == files_of(new)
    assert shelf.names(EXPIRED) == []


def test_why_each_stays_or_goes_is_told(shelf: Shelf) -> None:
    shelf.chain([1, 2], BEGAN, HOUR)
    shelf.take(3, BEGAN + DAY)
    shelf.take(4, BEGAN + 2 * DAY)

    members = expire(shelf, drilled=[2]).members(dry_run=False)

    assert members["archives"] == [{"id": str(UUID(int=3)), "reason": "no rule keeps it"}]
    assert members["kept"] == [
        {
            "id": str(UUID(int=4)),
            "reason": "one of the last 1, the newest verified, the newest of epoch 1",
        },
        {"id": str(UUID(int=2)), "reason": "the newest drilled"},
        {"id": str(UUID(int=1)), "reason": f"archive {UUID(int=2)} goes on from it"},
    ]


def test_a_dry_run_tells_the_same_and_changes_nothing(shelf: Shelf) -> None:
    for number in range(1, 5):
        shelf.take(number, BEGAN + number * HOUR)
    garbage = shelf.add_garbage(1)
    shelf.take(5, BEGAN + 5 * HOUR)
    expire(shelf, last=4)
    before = shelf.everything()

    dry = expire(shelf, last=2, now=LATER + 2 * DAY, dry_run=True)

    assert shelf.everything() == before
    assert expire(shelf, last=2, now=LATER + 2 * DAY) == dry
    assert numbers(dry.gone) == [3, 2]
    assert dry.files > 0
    assert garbage not in shelf.names("segments")


def test_a_segment_stays_as_long_as_one_archive_names_it(shelf: Shelf) -> None:
    old, new = shelf.take(1, BEGAN), shelf.take(2, BEGAN + DAY)
    shared = files_of(old, "events")
    assert shared < files_of(new, "events")

    expire(shelf)
    expire(shelf, now=LATER + 2 * DAY)

    assert shared <= set(shelf.names("segments"))
    assert shelf.missing_of(shelf.catalogue.one(new.archive_id)) == set()


def test_what_nobody_names_goes_when_it_is_old(shelf: Shelf) -> None:
    garbage = shelf.add_garbage(1)
    shelf.take(1, BEGAN)

    young = expire(shelf, now=BEGAN + GRACE - HOUR)
    old = expire(shelf, now=BEGAN + GRACE + HOUR)

    assert (young.files, old.files) == (0, 1)
    assert garbage not in shelf.names("segments")


def test_what_is_newer_than_the_newest_archive_may_be_of_the_next(shelf: Shelf) -> None:
    shelf.take(1, BEGAN)
    under_way = shelf.add_garbage(1)
    make_newer(shelf, under_way)

    assert expire(shelf, now=LATER + 300 * DAY).files == 0

    shelf.take(2, BEGAN + DAY)
    make_newer(shelf, *shelf.names("manifests"))
    assert expire(shelf, last=2, now=LATER + 300 * DAY).files == 1


def make_newer(shelf: Shelf, *names: str) -> None:
    """Than whatever was kept before: clocks of file systems are coarse."""
    import os  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    root = Path(urlsplit(shelf.repository.url).path)
    newest = max(path.stat().st_mtime for path in root.rglob("*.*"))
    for name in names:
        os.utime(root / name, (newest + 1, newest + 1))


def test_while_one_is_taken_no_file_goes(shelf: Shelf) -> None:
    shelf.add_garbage(1)
    shelf.take(1, BEGAN)
    shelf.take(2, BEGAN + DAY)

    expired = expire(shelf, statuses={3: "running"})

    assert (numbers(expired.gone), expired.files) == ([1], 0)


def test_where_no_archive_is_nothing_goes(shelf: Shelf) -> None:
    shelf.add_garbage(1)

    expired = expire(shelf, now=LATER + 300 * DAY)

    assert expired == Expired()
    assert len(shelf.everything()) == 1


def test_a_data_key_goes_with_the_last_segment_that_names_it(shelf: Shelf) -> None:
    old = shelf.make_key(1)
    shelf.take(1, BEGAN)
    new = shelf.make_key(2)
    shelf.take(2, BEGAN + DAY)

    expire(shelf)
    within_grace = shelf.names("keys")
    dry = expire(shelf, now=LATER + DAY + HOUR, dry_run=True)
    after = expire(shelf, now=LATER + DAY + HOUR)

    assert within_grace == [old, new]
    assert shelf.names("keys") == [new]
    assert (dry.files, dry.file_bytes) == (after.files, after.file_bytes)


def test_a_data_key_stays_while_a_segment_names_it(shelf: Shelf) -> None:
    keys = [shelf.make_key(1)]
    first = shelf.take(1, BEGAN)
    keys.append(shelf.make_key(2))
    shelf.take(2, BEGAN + DAY, continues=first)

    expire(shelf)
    expire(shelf, now=LATER + 300 * DAY)

    assert shelf.names("keys") == keys


def test_a_data_key_that_is_newer_than_the_newest_archive_may_be_of_the_next(shelf: Shelf) -> None:
    shelf.take(1, BEGAN)
    key = shelf.make_key(1)
    make_newer(shelf, key)

    expire(shelf, now=LATER + 300 * DAY)

    assert shelf.names("keys") == [key]


def test_where_a_segment_cannot_be_read_all_data_keys_stay(shelf: Shelf) -> None:
    key = shelf.make_key(1)
    shelf.key_id = None
    manifest = shelf.take(1, BEGAN)
    damaged = manifest.files[0].name
    shelf.repository.replace(damaged, b"nothing that was written here")

    expired = expire(shelf, now=LATER + 300 * DAY)

    assert shelf.names("keys") == [key]
    assert expired.unreadable == {damaged: "bad_segment"}


def test_a_data_key_that_nothing_names_goes_when_it_is_old(shelf: Shelf) -> None:
    shelf.make_key(1)
    shelf.key_id = None
    shelf.take(1, BEGAN)

    young = expire(shelf, now=BEGAN + GRACE - HOUR)
    dry = expire(shelf, now=BEGAN + GRACE + HOUR, dry_run=True)
    old = expire(shelf, now=BEGAN + GRACE + HOUR)

    assert (young.files, dry.files, old.files) == (0, 1, 1)
    assert shelf.names("keys") == []


# What cannot be read.


def test_what_another_signed_stays_with_all_that_it_names_and_is_told_of(shelf: Shelf) -> None:
    base = shelf.take(1, BEGAN)
    theirs = shelf.take(2, BEGAN + DAY, continues=base, by=STRANGER)
    shelf.take(3, BEGAN + 2 * DAY)

    first = expire(shelf)
    again = expire(shelf, now=LATER + 300 * DAY)

    assert first.unreadable == again.unreadable == {theirs.file_name: "untrusted_key"}
    assert first.members(dry_run=False)["unreadable"] == [
        {"name": theirs.file_name, "fault": "untrusted_key"}
    ]
    assert (numbers(first.kept), first.kept[1][1]) == ([3, 1], "one that stays goes on from it")
    assert files_of(base) | files_of(theirs) <= set(shelf.names("segments"))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_damaged_manifest_keeps_the_files_whose_names_can_still_be_read(
    shelf: Shelf, kept: float
) -> None:
    damaged = shelf.take(1, BEGAN)
    content = shelf.repository.get(damaged.file_name, bytes_max=MANIFEST_BYTES_MAX)
    cut = content[: int(len(content) * kept)]
    shelf.repository.replace(damaged.file_name, cut)
    shelf.take(2, BEGAN + DAY, state=())

    expired = expire(shelf, now=LATER + 300 * DAY)

    readable = {name for name in files_of(damaged) if name.encode() in cut}
    assert set(expired.unreadable) == {damaged.file_name}
    assert readable <= set(shelf.names("segments"))
    assert damaged.file_name in shelf.names("manifests")


def test_when_nobody_here_trusts_any_archive_all_of_them_stay(shelf: Shelf) -> None:
    for number in range(1, 4):
        shelf.take(number, BEGAN + number * DAY, by=STRANGER)
    before = shelf.everything()

    expired = expire(shelf, now=LATER + 300 * DAY)

    assert len(expired.unreadable) == 3
    assert shelf.everything() == before


def test_what_is_too_large_to_be_a_manifest_is_told_of_and_holds_up_nothing(shelf: Shelf) -> None:
    shelf.add_garbage(1)
    huge = shelf.take(1, BEGAN)
    shelf.repository.replace(huge.file_name, bytes(MANIFEST_BYTES_MAX + 1))
    shelf.take(2, BEGAN + DAY)
    shelf.take(3, BEGAN + 2 * DAY)

    expired = expire(shelf)

    assert expired.unreadable == {huge.file_name: "manifest_too_large"}
    assert (numbers(expired.gone), numbers(expired.kept)) == ([2], [3])
    assert expired.files > 0


# What is no history.


def test_what_is_personal_goes_after_thirty_days_from_all_but_the_newest(shelf: Shelf) -> None:
    taken = [shelf.take(number, BEGAN + number * DAY) for number in range(1, 6)]
    now = BEGAN + 40 * DAY

    expired = expire(shelf, last=5, now=now)

    assert numbers(expired.kept) == [5, 4, 3, 2, 1]
    assert expired.files == 4
    for manifest in taken[:2]:
        missing = shelf.missing_of(shelf.catalogue.one(manifest.archive_id))
        assert missing == files_of(manifest, *STATE)
    for manifest in taken[2:]:
        assert shelf.missing_of(shelf.catalogue.one(manifest.archive_id)) == set()


def test_what_is_personal_stays_for_thirty_days(shelf: Shelf) -> None:
    for number in range(1, 6):
        shelf.take(number, BEGAN + number * DAY)

    assert expire(shelf, last=5, now=BEGAN + 30 * DAY).files == 0


# What was begun before.


def test_what_was_let_go_and_not_written_down_is_told_again(shelf: Shelf) -> None:
    shelf.take(1, BEGAN)
    shelf.take(2, BEGAN + DAY)
    expire(shelf)

    unwritten = expire(shelf, statuses={1: "verified"}, now=LATER + HOUR)
    written = expire(shelf, now=LATER + HOUR)

    assert unwritten.gone == [(UUID(int=1), "let go before")]
    assert written.gone == []


def test_an_archive_that_is_put_back_within_the_grace_period_is_whole(shelf: Shelf) -> None:
    old = shelf.take(1, BEGAN)
    shelf.take(2, BEGAN + DAY)
    expire(shelf)
    aside = old.file_name.replace("manifests", EXPIRED)

    content = shelf.repository.get(aside, bytes_max=MANIFEST_BYTES_MAX)
    shelf.repository.put_if_absent(old.file_name, content)

    assert shelf.missing_of(shelf.catalogue.one(old.archive_id)) == set()
    expire(shelf, last=2, now=LATER + 300 * DAY)
    missing = shelf.missing_of(shelf.catalogue.one(old.archive_id))
    assert missing <= files_of(old, *STATE)


# Locks.


def test_what_the_store_has_locked_stays_with_what_it_goes_on_from() -> None:
    with s3_server() as server:
        bucket = server.bucket(lock=True)
        unlocked = Shelf(server.repository(STORE, bucket=bucket))
        shelf = Shelf(server.repository(STORE, bucket=bucket, lock_days=30))
        base = unlocked.take(1, BEGAN)
        shelf.take(2, BEGAN + HOUR, continues=base)
        unlocked.take(3, BEGAN + DAY)
        unlocked.take(4, BEGAN + 2 * DAY)

        first = expire(unlocked)
        again = expire(unlocked, now=LATER + 2 * DAY)

        assert (numbers(first.gone), numbers(first.kept)) == ([3], [4, 2, 1])
        assert [reason for _, reason in first.kept[1:]] == [
            "locked by the store",
            "one that stays goes on from it",
        ]
        assert again.files > 0
        assert unlocked.numbers() == [1, 2, 4]
        assert unlocked.missing_of(unlocked.catalogue.one(UUID(int=2))) == set()
        assert unlocked.names(EXPIRED) == []


def test_a_locked_segment_is_counted_and_left() -> None:
    with s3_server() as server:
        bucket = server.bucket(lock=True)
        Shelf(server.repository(STORE, bucket=bucket, lock_days=30)).add_garbage(1)
        shelf = Shelf(server.repository(STORE, bucket=bucket))
        shelf.take(1, BEGAN)

        expired = expire(shelf)

        assert (expired.locked, expired.files) == (1, 0)


# Whatever comes.


def test_whatever_was_taken_and_let_go_what_is_listed_is_whole(shelf: Shelf, rng: Random) -> None:
    taken: list[Manifest] = []
    now = BEGAN
    for number in range(1, 40):
        now += rng.random() * rng.choice([HOUR, DAY, 8 * DAY])
        continues = rng.choice([None, *taken[-1:]])
        if continues is not None and continues.file_name not in shelf.names("manifests"):
            continues = None
        taken.append(shelf.take(number, now, continues=continues))
        if rng.random() < 0.3:
            shelf.add_garbage(number)
        if rng.random() < 0.5:
            drilled = rng.sample(range(1, number + 1), 1)
            expire(shelf, last=rng.randrange(1, 6), now=now + HOUR, drilled=drilled)
        newest = [file.name for file in shelf.catalogue.manifests()][-3:]
        for file in shelf.catalogue.manifests():
            missing = shelf.missing_of(file)
            assert all(name.split("/")[1].split("-")[0] in STATE for name in missing)
            assert not (missing and file.name in newest and file.manifest.continues is None)

    shelf.take(40, now)
    expire(shelf, last=2, now=now + 2 * DAY)
    expire(shelf, last=2, now=now + 4 * DAY)
    named = {name for file in shelf.catalogue.manifests() for name in files_of(file.manifest)}
    assert set(shelf.names("segments")) <= named
    assert shelf.catalogue.broken == {}
