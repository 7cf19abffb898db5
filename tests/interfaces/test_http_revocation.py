"""A token that ends takes with it those who wait under it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.interfaces.service import Service

WAIT_SECONDS = 20
SOON_SECONDS = 5
Waiting = Callable[[Callable[[], httpx.Response], str], "Future[httpx.Response]"]


@pytest.fixture
def waiting(shared_service: Service) -> Iterator[Waiting]:
    """Sends a request beside the test and returns once it waits under the account's token."""
    waiters = shared_service.process.accounts.principals._revocations._waiting
    with ThreadPoolExecutor(4) as threads:

        def begin(ask: Callable[[], httpx.Response], account_id: str) -> "Future[httpx.Response]":
            asked = threads.submit(ask)
            until = time.monotonic() + SOON_SECONDS
            while UUID(account_id) not in waiters:
                assert time.monotonic() < until, "nobody waits"
                assert not asked.done(), asked.result().text
                time.sleep(0.005)
            return asked

        yield begin


def hired(admin: httpx.Client) -> dict[str, str]:
    name = uuid4().hex
    made: dict[str, str] = admin.post(
        "/v1/agents", json={"name": name, "capabilities": [name]}
    ).json()
    return made | {"name": name}


def work_for(admin: httpx.Client, made: dict[str, str]) -> None:
    task = {"kind": "work", "requires": [made["name"]]}
    admin.post("/v1/tasks", json=task).raise_for_status()


def lease(worker: httpx.Client, made: dict[str, str], **headers: str) -> httpx.Response:
    body = {"slots": 1, "wait_seconds": WAIT_SECONDS}
    return worker.post(f"/v1/agents/{made['agent_id']}/leases", json=body, headers=headers)


def require_refused(asked: "Future[httpx.Response]") -> None:
    answer = asked.result(SOON_SECONDS)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_new_secret_ends_the_lease_poll_under_the_former(
    shared_service: Service, shared_admin: httpx.Client, waiting: Waiting
) -> None:
    made = hired(shared_admin)
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        asked = waiting(lambda: lease(worker, made), made["client_id"])

        renewed = shared_admin.post(f"/v1/agents/{made['agent_id']}/secret").json()

        work_for(shared_admin, made)
        require_refused(asked)
    with shared_service.machine(renewed["client_id"], renewed["client_secret"]) as worker:
        assert len(lease(worker, made).json()["leases"]) == 1


def test_a_retired_agent_that_comes_back_gets_nothing_by_its_former_poll(
    shared_service: Service, shared_admin: httpx.Client, waiting: Waiting
) -> None:
    made = hired(shared_admin)
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        asked = waiting(lambda: lease(worker, made), made["client_id"])

        shared_admin.post(f"/v1/agents/{made['agent_id']}/retire").raise_for_status()
        body = {"name": made["name"], "capabilities": [made["name"]]}
        back = shared_admin.post("/v1/agents", json=body).raise_for_status().json()

        work_for(shared_admin, made)
        answer = asked.result(SOON_SECONDS)
        assert answer.status_code in {401, 409}, answer.text
        assert "leases" not in answer.json()
    with shared_service.machine(back["client_id"], back["client_secret"]) as worker:
        assert len(lease(worker, made).json()["leases"]) == 1


@pytest.mark.parametrize("path", ["/v1/events", "/v1/tasks/{task_id}/status"])
def test_a_removed_client_hears_of_nothing_that_comes_after(
    shared_service: Service, shared_admin: httpx.Client, waiting: Waiting, path: str
) -> None:
    task = shared_admin.post("/v1/tasks", json={"kind": "a", "approval": True}).json()
    body = {"name": uuid4().hex, "scopes": ["audit:read", "tasks:read"]}
    made = shared_admin.post("/v1/clients", json=body).raise_for_status().json()
    query = {"wait": str(WAIT_SECONDS)}
    query |= {
        "/v1/events": {"after": task["cursor"], "aggregate_id": task["task_id"]},
    }.get(path, {"after_version": "1"})
    path = path.format(task_id=task["task_id"])
    with shared_service.machine(made["client_id"], made["client_secret"]) as client:
        asked = waiting(lambda: client.get(path, params=query), made["client_id"])

        shared_admin.delete(f"/v1/clients/{made['client_id']}").raise_for_status()

        shared_admin.post(f"/v1/tasks/{task['task_id']}/cancel").raise_for_status()
        require_refused(asked)


def test_what_another_process_revokes_ends_a_poll_within_about_a_second(
    shared_service: Service, shared_admin: httpx.Client, waiting: Waiting
) -> None:
    made = hired(shared_admin)
    url = shared_service.process.settings.database_url
    assert url is not None
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        asked = waiting(lambda: lease(worker, made), made["client_id"])

        with psycopg.connect(url.get_secret_value()) as connection:
            connection.execute(
                "UPDATE musterroll.accounts SET generation = generation + 1 WHERE account_id = %s",
                [made["client_id"]],
            )

        require_refused(asked)


def test_a_poll_of_somebody_else_goes_on(
    shared_service: Service, shared_admin: httpx.Client, waiting: Waiting
) -> None:
    made, other = hired(shared_admin), hired(shared_admin)
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        asked = waiting(lambda: lease(worker, made), made["client_id"])

        shared_admin.post(f"/v1/agents/{other['agent_id']}/secret").raise_for_status()

        work_for(shared_admin, made)
        assert len(asked.result(SOON_SECONDS).json()["leases"]) == 1


def test_a_token_that_ends_while_its_body_comes_in_does_nothing(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    seen = shared_service.process.accounts.principals._remembered
    body = {"name": uuid4().hex, "scopes": ["tasks:write", "tasks:read"]}
    made = shared_admin.post("/v1/clients", json=body).raise_for_status().json()

    with shared_service.machine(made["client_id"], made["client_secret"]) as client:

        def slow_body() -> Iterator[bytes]:
            yield b'{"kind": '
            until = time.monotonic() + SOON_SECONDS
            while UUID(made["client_id"]) not in seen:
                assert time.monotonic() < until, "nobody asked who calls"
                time.sleep(0.005)
            shared_admin.delete(f"/v1/clients/{made['client_id']}").raise_for_status()
            yield b'"late"}'

        headers = {"Content-Type": "application/json"}
        answer = client.post("/v1/tasks", content=slow_body(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_nobody_is_looked_for_when_nobody_waits(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    revocations = shared_service.process.accounts.principals._revocations
    answer = shared_admin.get("/v1/events", params={"wait": "1"})

    assert answer.status_code == 200
    assert revocations._waiting == {}
    assert revocations._looking is None or isinstance(revocations._looking, asyncio.Task)
