"""Goal: what was erased stays so, whatever is restored, killed, full or running elsewhere.

Method: real services on a real database; a crash is what stands on disk after it, an older database
a copy that PostgreSQL made before.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from application.erasure.errors import ErasuresUnreadable
from application.erasure.ports import Erasure
from infrastructure.erasure_list import FileErasureList
from infrastructure.settings import Settings
from interfaces.bootstrap import build
from tests.conftest import OWNER_URL, Database
from tests.interfaces.live import Subscriber, token_of
from tests.interfaces.service import Service
from tests.interfaces.test_http_nodes import Standby

SUBJECT = "customer-4711"
CANARY = "Ada Lovelace, 10 December 1815"
ERASED, LOCKED = "[erased]", "[locked]"
ELSEWHERE_SECONDS_MAX = 1.0


def submit(client: httpx.Client) -> str:
    body = {"kind": "review", "subject": SUBJECT, "input": CANARY}
    return str(client.post("/v1/tasks", json=body).raise_for_status().json()["task_id"])


def input_of(client: httpx.Client, task_id: str) -> Any:
    return client.get(f"/v1/tasks/{task_id}").raise_for_status().json()["input"]


def subject_of(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/subjects/{SUBJECT}").raise_for_status().json()
    return found


def erase(client: httpx.Client) -> httpx.Response:
    return client.post(f"/v1/subjects/{SUBJECT}/erase")


def ask(database: Database, statement: str) -> list[Any]:
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("SET search_path = musterroll")
        return connection.execute(statement).fetchall()


def erased_events(database: Database) -> int:
    [(count,)] = ask(database, "SELECT count(*) FROM events WHERE topic = 'subject.erased'")
    return int(count)


def erasure(subject_id: str) -> Erasure:
    return Erasure(
        subject_id=UUID(subject_id),
        tenant="default",
        erased_at=datetime.now(UTC),
        actor="user/admin",
    )


@contextmanager
def copy_of(database: Database) -> Iterator[Database]:
    """The database as it is now, when nobody is in it: a backup that is restored."""
    name = f"{database.name}_old"
    with psycopg.connect(os.environ[OWNER_URL], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {database.name}")
        yield Database(
            name=name,
            url=make_conninfo(database.url, dbname=name),
            owner_url=make_conninfo(database.owner_url, dbname=name),
        )
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_older_database_does_not_bring_back_what_was_erased(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        task_id = submit(client)
    with copy_of(database) as older:
        with Service(database, tmp_path) as service, service.client() as client:
            erase(client).raise_for_status()
        assert ask(older, "SELECT count(*) FROM subject_keys WHERE wrapped IS NOT NULL") == [(1,)]

        with Service(older, tmp_path) as service, service.client() as client:
            shown, subject = input_of(client, task_id), subject_of(client)
            again = client.post("/v1/tasks", json={"kind": "review", "subject": SUBJECT})

        assert (shown, subject["state"]) == (ERASED, "erased")
        assert again.json()["code"] == "subject_erased"
        assert ask(older, "SELECT count(*) FROM subject_keys WHERE wrapped IS NOT NULL") == [(0,)]
        assert erased_events(older) == 1


def test_an_erasure_that_was_killed_after_it_was_listed_is_finished_at_the_next_start(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        task_id, subject_id = submit(client), subject_of(client)["subject_id"]
    FileErasureList(tmp_path / "erasures.ndjson").add([erasure(subject_id)])

    with Service(database, tmp_path) as service, service.client() as client:
        shown = input_of(client, task_id)

    assert shown == ERASED
    assert erased_events(database) == 1


def test_an_erasure_that_was_killed_before_the_log_told_of_it_is_told_of_once(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        submit(client)
    destroy_keys(database)

    for _ in range(2):
        with Service(database, tmp_path) as service, service.client() as client:
            pass

    assert erased_events(database) == 1
    assert ask(database, "SELECT actor FROM events WHERE topic = 'subject.erased'") == [
        ("user/ada",)
    ]
    assert len((tmp_path / "erasures.ndjson").read_text().splitlines()) == 1


def destroy_keys(database: Database) -> None:
    """As by somebody who was kept from all that comes after it."""
    with psycopg.connect(database.owner_url) as connection:
        connection.execute(
            "UPDATE musterroll.subject_keys SET wrapped = NULL, erased_at = now(), "
            "erased_by = 'user/ada', destroyed_at = now()"
        )


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never held"


def test_an_erasure_that_failed_after_its_key_was_gone_is_listed_and_told_of_without_a_restart(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        submit(client)

        destroy_keys(database)
        until(lambda: erased_events(database) == 1)
        listed = (tmp_path / "erasures.ndjson").read_text().splitlines()

    assert len(listed) == 1
    assert erased_events(database) == 1


def test_an_erasure_that_cannot_be_listed_is_shown_and_listed_once_it_can(
    database: Database, tmp_path: Path
) -> None:
    failing = 'musterroll_duty_failing{of="erasures_kept"} 1.0'
    with Service(database, tmp_path) as service, service.client() as client:
        task_id = submit(client)
        (tmp_path / "erasures.ndjson").mkdir()

        destroy_keys(database)
        until(lambda: failing in client.get("/metrics").text)
        shown = input_of(client, task_id)
        (tmp_path / "erasures.ndjson").rmdir()
        until(lambda: erased_events(database) == 1)

    assert shown == ERASED
    assert len((tmp_path / "erasures.ndjson").read_text().splitlines()) == 1


def test_a_key_that_was_destroyed_cannot_be_put_back_by_the_application(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        submit(client)
        erase(client).raise_for_status()

    for change in (
        "UPDATE musterroll.subject_keys SET wrapped = 'x', erased_at = NULL",
        "DELETE FROM musterroll.subject_keys",
    ):
        with (
            psycopg.connect(database.url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(change)


def test_without_a_place_to_note_it_nothing_is_erased(database: Database, tmp_path: Path) -> None:
    with Service(database, tmp_path) as service, service.client() as client:
        task_id = submit(client)
        (tmp_path / "erasures.ndjson").mkdir()

        refused = erase(client)
        still = input_of(client, task_id)
        (tmp_path / "erasures.ndjson").rmdir()
        erase(client).raise_for_status()

        assert (refused.status_code, refused.json()["code"]) == (503, "erasure_not_kept")
        assert still == CANARY
        assert input_of(client, task_id) == ERASED


def test_a_list_with_a_line_that_is_none_keeps_the_service_from_starting(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "erasures.ndjson").write_text('{"subject_id": "who?"}\n')

    settings = Settings(
        data_dir=tmp_path,
        database_url=SecretStr(database.url),
        database_owner_url=SecretStr(database.owner_url),
    )

    with pytest.raises(ErasuresUnreadable, match="line 1"):
        asyncio.run(build(settings).start())


def first_event(service: Service, client: httpx.Client) -> dict[str, Any]:
    with Subscriber(service, token_of(client)) as subscriber:
        subscriber.say(type="subscribe", channels=["tasks"], after="start")
        event: dict[str, Any] = subscriber.until(lambda frame: frame["type"] == "event")[-1]
    found: dict[str, Any] = event["event"]
    return found


def test_every_process_forgets_what_one_erased(database: Database, tmp_path: Path) -> None:
    key: dict[str, Any] = {"signing_key_file": tmp_path / "key.pem"}
    with (
        Service(database, tmp_path / "a", **key) as one,
        Standby(database, tmp_path / "b", **key) as other,
        one.client() as here,
        other.client() as there,
    ):
        task_id = submit(here)
        before = first_event(other, there)
        known = input_of(there, task_id)

        erase(here).raise_for_status()
        began = time.monotonic()
        while input_of(there, task_id) != ERASED:
            assert time.monotonic() - began < ELSEWHERE_SECONDS_MAX
        after = first_event(other, there)

    assert known == before["data"]["input"] == CANARY
    assert after["data"]["input"] == ERASED
    assert len((tmp_path / "b" / "erasures.ndjson").read_text().splitlines()) == 1


def test_with_another_signing_key_the_work_of_others_goes_on(
    database: Database, tmp_path: Path
) -> None:
    def key(name: str) -> dict[str, Any]:
        return {"signing_key_file": tmp_path / name}

    with Service(database, tmp_path, **key("first")) as service, service.client() as client:
        task_id = submit(client)

    with Service(database, tmp_path, **key("second")) as service, service.client() as client:
        cancelled = client.post(f"/v1/tasks/{task_id}/cancel", json={"reason": CANARY})
        plainly = client.post(f"/v1/tasks/{task_id}/cancel", json={})
        another = client.post("/v1/tasks", json={"kind": "review", "subject": "x", "input": 1})
        shown = input_of(client, task_id)
        events = client.get("/v1/events", params={"aggregate_id": task_id}).json()["items"]

    assert (cancelled.status_code, cancelled.json()["code"]) == (503, "subject_locked")
    assert (plainly.status_code, another.status_code) == (200, 202)
    assert (shown, events[0]["data"]["input"]) == (LOCKED, LOCKED)


def test_what_is_locked_is_leased_to_nobody_until_it_can_be_read_again(
    database: Database, tmp_path: Path
) -> None:
    def running(key: str) -> Service:
        return Service(database, tmp_path, signing_key_file=tmp_path / key)

    agent = {"name": "reviewer", "capabilities": ["review"], "slots": 3}
    with running("first") as service, service.client() as client:
        locked = submit(client)
        made = client.post("/v1/agents", json=agent).raise_for_status().json()
    worker = made["client_id"], made["client_secret"]
    path = f"/v1/agents/{made['agent_id']}/leases"

    def leases(service: Service, wait_seconds: float) -> list[Any]:
        with service.machine(*worker) as client:
            body = {"slots": 1, "wait_seconds": wait_seconds}
            found: list[Any] = client.post(path, json=body).raise_for_status().json()["leases"]
            return [(one["task_id"], one["attempt"], one["input"]) for one in found]

    with running("second") as service, service.client() as client:
        body = {"kind": "review", "input": "plain"}
        plain = client.post("/v1/tasks", json=body).raise_for_status().json()["task_id"]
        given, nothing = leases(service, 20), leases(service, 1)
        waiting = client.get(f"/v1/tasks/{locked}").json()["status"]
    with running("first") as service:
        at_last = leases(service, 20)

    assert (given, nothing, waiting) == ([(plain, 1, "plain")], [], "queued")
    assert at_last == [(locked, 1, CANARY)]
