"""Who takes archives: the process that leads, by order and by the time."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from application.access import Principal
from application.archives.jobs import JobStatus
from application.archives.ports import JobFailed
from application.commands import RequestKey
from application.projections.archives import ArchiveRow
from domain.errors import AggregateNotFound, ArchiveNotReady
from tests.conftest import Database
from tests.interfaces.restored import restored
from tests.interfaces.service import Service

SECONDS_MAX = 30.0
NEVER = 86_400.0
OPERATOR = Principal(
    account_id=uuid4(),
    kind="user",
    subject="user/ada",
    tenant="default",
    scopes=frozenset({"admin"}),
)
T = TypeVar("T")


class Backups:
    """A service, and what is asked of its archives."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.archives = service.process.archives
        self.client = service.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.service.loop).result(SECONDS_MAX)

    def order(self, kind: str = "incremental", key: RequestKey | None = None) -> UUID:
        return self.on_loop(self.archives.request(kind, OPERATOR, key)).aggregate_id

    def one(self, archive_id: UUID) -> ArchiveRow:
        return self.on_loop(self.archives.one(archive_id))

    def all(self) -> list[ArchiveRow]:
        found = self.on_loop(self.archives.listed(status=None, after=None, limit=100))
        return list(reversed(found))

    def ended(self, archive_id: UUID) -> ArchiveRow:
        return until(lambda: self.one(archive_id), lambda row: row.status in ("verified", "failed"))

    def taken(self, kind: str = "incremental") -> ArchiveRow:
        row = self.ended(self.order(kind))
        assert row.status == "verified", row
        return row

    def finished(self, job: JobStatus) -> JobStatus:
        return self.on_loop(self.archives.jobs.finished(job.job_id))

    def submit(self, tasks: int = 1) -> None:
        for _ in range(tasks):
            headers = {"Idempotency-Key": str(uuid4())}
            self.client.post("/v1/tasks", json={"kind": "k"}, headers=headers).raise_for_status()

    def kill_job(self, archive_id: UUID, stage: str) -> int:
        """Outright, once it is in a stage; the id of its process."""

        def look() -> tuple[int | None, str | None]:
            # In this order: where a job begins anew, its process comes behind its stage.
            pid = self.service.process._backups.archivist.pid
            progress = self.archives.progress(archive_id)
            return pid, progress.stage if progress else None

        pid, _ = until(look, lambda found: found[0] is not None and found[1] == stage)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(look, lambda found: found[0] != pid)
        return pid

    def figure(self, name: str) -> float:
        text = httpx.get(f"{self.service.url}/metrics").raise_for_status().text
        (line,) = [one for one in text.splitlines() if one.startswith(f"musterroll_{name} ")]
        return float(line.split()[-1])

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/readyz").json()["checks"]["backups"]
        return found


def until(look: Callable[[], T], holds: Callable[[T], bool]) -> T:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def a_service(database: Database, tmp_path: Path, **settings: Any) -> Service:
    return Service(database, tmp_path / "data", **({"backup_seconds": NEVER} | settings))


def test_the_first_archive_is_full_and_the_next_continues_it(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit(5)

        first, second = backups.taken("incremental"), backups.taken("incremental")

        assert (first.type, second.type) == ("full", "incremental")
        assert first.size is not None
        assert (first.requested_by, first.level) == ("user/ada", 2)
        assert second.size == first.size + (second.new_events or 0)
        assert [row.archive_id for row in backups.all()] == [first.archive_id, second.archive_id]


def test_an_order_that_is_repeated_is_one_archive(database: Database, tmp_path: Path) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        key = RequestKey(command_id=uuid4(), fingerprint=b"f")

        first, again = backups.order("full", key), backups.order("full", key)

        assert first == again
        backups.ended(first)
        assert len(backups.all()) == 1


def test_a_job_that_is_killed_is_begun_again(database: Database, tmp_path: Path) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit(20)

        with psycopg.connect(database.owner_url) as owner:
            # No job gets past this table: each of them is met in its midst.
            owner.execute("LOCK TABLE musterroll.webhook_letters IN ACCESS EXCLUSIVE MODE")
            archive_id = backups.order("full")
            killed = [backups.kill_job(archive_id, "package") for _ in range(2)]

        row = backups.ended(archive_id)
        assert len(set(killed)) == 2
        assert row.status == "verified", row
        assert row.size == row.last


def test_a_service_that_was_stopped_within_an_archive_goes_on_with_it(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit(5)
        archive_id = backups.order("full")

    with a_service(database, tmp_path) as service, Backups(service) as backups:
        row = backups.ended(archive_id)

    assert row.status == "verified", row


def test_an_archive_without_a_place_fails_and_leaves_nothing_listed(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "occupied").write_text("no folder")

    with (
        a_service(database, tmp_path, backup_store=str(tmp_path / "occupied")) as service,
        Backups(service) as backups,
    ):
        row = backups.ended(backups.order())

        assert (row.status, row.error_code) == ("failed", "repository_unavailable")
        with pytest.raises(ArchiveNotReady):
            backups.on_loop(backups.archives.verify(row.archive_id, 2, OPERATOR))


def test_what_was_damaged_since_is_found_and_the_next_archive_is_full(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit(5)
        row = backups.taken()
        (segment,) = (tmp_path / "data" / "backups").rglob("segments/events-*.seg")
        segment.chmod(0o600)
        segment.write_bytes(segment.read_bytes()[:-40] + bytes(40))

        job = backups.finished(
            backups.on_loop(backups.archives.verify(row.archive_id, 2, OPERATOR))
        )

        assert job.state == "failed"
        assert job.error is not None
        assert (job.error["code"], job.error["fault"]) == ("bad_archive", "file_damaged")
        assert backups.one(row.archive_id).status == "failed"
        assert backups.taken("incremental").type == "full"


def damage(segment: Path) -> None:
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:-40] + bytes(40))


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_with_a_damaged_archive_fails_all_that_is_made_of_it_and_nothing_continues_that(
    database: Database, tmp_path: Path, asked: int
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        rows = []
        for _ in range(3):
            backups.submit()
            rows.append(backups.taken())
        damage(min((tmp_path / "data" / "backups").rglob("segments/events-*.seg")))

        job = backups.on_loop(backups.archives.verify(rows[asked].archive_id, 2, OPERATOR))
        assert backups.finished(job).state == "failed"

        found = [backups.one(row.archive_id) for row in rows]
        codes = ["file_damaged", "continues_failed", "continues_failed"]
        codes[asked] = "file_damaged"
        assert [(row.status, row.error_code) for row in found] == [("failed", c) for c in codes]
        assert backups.taken("incremental").type == "full"


@pytest.mark.parametrize("asked", [0, 2])
def test_with_an_archive_that_a_drill_finds_damaged_fails_all_that_is_made_of_it(
    database: Database, tmp_path: Path, asked: int
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        rows = []
        for _ in range(3):
            backups.submit()
            rows.append(backups.taken())
        damage(min((tmp_path / "data" / "backups").rglob("segments/events-*.seg")))

        job = backups.on_loop(backups.archives.drill(rows[asked].archive_id, OPERATOR))
        result = backups.finished(job).result

        assert result is not None
        assert (result["equal"], result["code"]) == (False, "file_damaged")
        found = [backups.one(row.archive_id) for row in rows]
        codes = ["file_damaged", "continues_failed", "continues_failed"]
        codes[asked] = "file_damaged"
        assert [(row.status, row.error_code) for row in found] == [("failed", c) for c in codes]
        assert backups.taken("incremental").type == "full"


def test_with_read_models_that_a_drill_finds_different_fails_all_that_continues_them(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit()
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("ALTER TABLE musterroll.task_board ADD COLUMN another int")
        chain = [backups.taken(), backups.taken()]
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("ALTER TABLE musterroll.task_board DROP COLUMN another")
        apart = backups.taken("full")

        job = backups.on_loop(backups.archives.drill(chain[1].archive_id, OPERATOR))
        backups.finished(job)

        found = [backups.one(row.archive_id) for row in (*chain, apart)]
        assert [(row.status, row.error_code) for row in found] == [
            ("failed", "read_model_differs"),
            ("failed", "read_model_differs"),
            ("verified", None),
        ]


def test_what_an_archive_goes_on_from_is_sound_where_only_its_own_files_are_damaged(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        first = backups.taken()
        backups.submit()
        second = backups.taken()
        damage(max((tmp_path / "data" / "backups").rglob("segments/events-*.seg")))

        job = backups.on_loop(backups.archives.verify(second.archive_id, 2, OPERATOR))
        backups.finished(job)

        assert backups.one(second.archive_id).status == "failed"
        assert backups.one(first.archive_id).status == "verified"
        assert backups.taken("incremental").type == "incremental"


def test_an_archive_that_is_stored_and_was_not_verified_is_verified_again(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        row = backups.taken()
    with psycopg.connect(database.owner_url) as connection:
        # As a service leaves it that was killed between the two.
        connection.execute("ALTER TABLE musterroll.events DISABLE TRIGGER append_only")
        connection.execute("DELETE FROM musterroll.events WHERE topic = 'archive.verified'")
        connection.execute("ALTER TABLE musterroll.events ENABLE ALWAYS TRIGGER append_only")
        connection.execute(
            "UPDATE musterroll.archives SET status = 'stored', verified_at = NULL, level = NULL"
        )

    with a_service(database, tmp_path) as service, Backups(service) as backups:
        found = backups.ended(row.archive_id)

    assert (found.status, found.level) == ("verified", 2)


def test_no_setting_lets_archives_go_unread(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backup_verify_level"):
        a_service(database, tmp_path, backup_verify_level=0).__enter__()


def test_a_restore_and_its_plan_are_refused_while_a_backup_goes_on(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        row = backups.taken()
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            # Whoever lets archives go elsewhere: the backup waits for it.
            connection.execute("SELECT pg_advisory_lock(7311006)")
            archive_id = backups.order()
            until(lambda: backups.archives.progress(archive_id), lambda found: found is not None)

            path = f"/v1/backups/{row.archive_id}/restore"
            answers = [backups.client.post(path, json={"dry_run": dry}) for dry in (True, False)]

        assert [answer.status_code for answer in answers] == [409, 409]
        assert {answer.json()["code"] for answer in answers} == {"archive_job_running"}
        assert {answer.headers["Retry-After"] for answer in answers} == {"5"}


def test_what_lies_there_and_the_log_does_not_know_is_found_verified_and_continued(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        row = backups.taken()
    with psycopg.connect(database.owner_url) as connection:
        # As a restore to before the order leaves it.
        connection.execute("ALTER TABLE musterroll.events DISABLE TRIGGER append_only")
        connection.execute("DELETE FROM musterroll.events WHERE topic LIKE 'archive.%'")
        connection.execute("ALTER TABLE musterroll.events ENABLE ALWAYS TRIGGER append_only")
        connection.execute("TRUNCATE musterroll.archives")

    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.on_loop(service.process._backups.keeper.look())

        found = backups.ended(row.archive_id)
        next_one = backups.taken("incremental")

        assert (found.status, found.level, found.requested_by) == ("verified", 2, "found")
        assert (found.sha256, found.size, found.last) == (row.sha256, row.size, row.last)
        assert next_one.type == "incremental"


def test_what_a_restore_took_back_is_found_and_verified_and_never_merged(
    database: Database, tmp_path: Path
) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        backups.submit()
        first = backups.taken()
        backups.submit()
        lost = backups.taken("full")

        restored(backups.client, str(first.archive_id))
        path = f"/v1/backups/{lost.archive_id}"
        found = until(
            lambda: backups.client.get(path).json(), lambda one: one.get("status") == "verified"
        )
        merged = Backups(service).taken("synthetic")

    assert found["requested_by"] == "found"
    assert (merged.type, merged.epoch) == ("full", 2)


def test_archives_are_taken_by_the_time_and_the_first_is_full(
    database: Database, tmp_path: Path
) -> None:
    with (
        a_service(database, tmp_path, backup_seconds=0.5, backup_drill_days=0) as service,
        Backups(service) as backups,
    ):
        backups.submit()
        until(backups.all, lambda rows: len(rows) > 0 and rows[0].status == "verified")
        backups.submit()
        rows = until(backups.all, lambda rows: [r.status for r in rows[1:2]] == ["verified"])

        assert [row.type for row in rows[:2]] == ["full", "incremental"]
        assert {row.requested_by for row in rows} == {"schedule"}
        # Archives themselves are no reason for the next one.
        until(backups.ready, lambda shown: shown["unprotected_seconds"] == 0)
        assert backups.ready()["ok"]


def test_a_full_archive_is_taken_when_the_last_is_too_old(
    database: Database, tmp_path: Path
) -> None:
    second = 1 / 3600
    settings = {"backup_seconds": 0.5, "backup_full_hours": second, "backup_drill_days": 0}

    with a_service(database, tmp_path, **settings) as service, Backups(service) as backups:
        backups.submit()

        rows = until(
            backups.all,
            lambda rows: [r.status for r in rows if r.type == "full"][:2].count("verified") == 2,
        )

        full = [row for row in rows if row.type == "full"]
        assert (full[1].started_at - full[0].started_at).total_seconds() >= 1


def test_the_alarm_rings_while_events_are_in_no_archive(database: Database, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("no folder")
    settings = {"backup_store": str(tmp_path / "occupied"), "backup_seconds": 0.2}

    with a_service(database, tmp_path, **settings) as service, Backups(service) as backups:
        alarm = service.process._backups.alarm

        def rings() -> bool:
            backups.on_loop(alarm.look())
            return alarm.ringing

        assert not rings()
        backups.submit()

        until(rings, bool)
        assert not backups.ready()["ok"]
        assert backups.client.get("/readyz").status_code == 200
        assert backups.figure("backup_late") == 1
        assert backups.figure("backup_unprotected_seconds") > 0.4


def test_there_is_no_archive_of_an_unknown_id(database: Database, tmp_path: Path) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        stranger = uuid4()

        with pytest.raises(AggregateNotFound):
            backups.one(stranger)


def test_a_job_that_ends_without_a_word_says_so(database: Database, tmp_path: Path) -> None:
    with a_service(database, tmp_path) as service, Backups(service) as backups:
        archivist = service.process._backups.archivist

        with pytest.raises(JobFailed) as failed:
            backups.on_loop(archivist.run("unheard of", {}, lambda *_: None))

        assert failed.value.code == "job_failed"
