"""What running tasks write, over HTTP: taken from the holder, handed on, kept nowhere."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest

from application.live.channel import Channel
from application.ports import Json
from tests.interfaces.service import Service

NOBODY = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"


class Ear:
    """Implements `application.live.listeners.Listener`: remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Json]] = []

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        self.heard.append(message)


@pytest.fixture
def worker(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    """An agent's program; its base is the agent's own path."""
    made = admin.post("/v1/agents", json={"name": "writer", "capabilities": ["write"]}).json()
    with service.machine(made["client_id"], made["client_secret"]) as worker:
        worker.base_url = httpx.URL(f"{service.url}/v1/agents/{made['agent_id']}")
        yield worker


def leased(admin: httpx.Client, worker: httpx.Client) -> dict[str, Any]:
    """A new task that the worker holds: its id and attempt."""
    admin.post("/v1/tasks", json={"kind": "write"}).raise_for_status()
    answer = worker.post("/leases", json={"slots": 1, "wait_seconds": 20}).raise_for_status()
    (lease,) = answer.json()["leases"]
    return {"task_id": lease["task_id"], "attempt": lease["attempt"]}


def listening(service: Service, task_id: str) -> Ear:
    """Somebody who listens to what a task writes."""
    ear, listeners = Ear(), service.process.hub.listeners

    async def listen() -> None:
        listeners.listen(ear, "default", [Channel("output", UUID(task_id))])

    loop = service.process.watermarks._loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(listen(), loop).result(timeout=20)
    return ear


def write(worker: httpx.Client, *pieces: dict[str, Any], **headers: str) -> httpx.Response:
    return worker.post("/output", json={"output": pieces}, headers=headers)


def test_what_a_task_writes_is_handed_on_as_it_comes(
    service: Service, admin: httpx.Client, worker: httpx.Client
) -> None:
    attempt = leased(admin, worker)
    ear = listening(service, attempt["task_id"])

    answer = write(worker, attempt | {"text": "Hel"}, attempt | {"text": "lo \U0001f44b\n"})

    assert answer.status_code == 200
    assert answer.json() == {"outcomes": 2 * [attempt | {"accepted": True}]}
    about = {"task_id": UUID(attempt["task_id"]), "attempt": 1, "dropped": 0}
    assert ear.heard == [
        about | {"sequence": 1, "text": "Hel"},
        about | {"sequence": 2, "text": "lo \U0001f44b\n"},
    ]


def test_output_leaves_no_trace(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = leased(admin, worker)
    before = admin.get("/v1/events").json()["next_cursor"]

    write(worker, attempt | {"text": "a"}).raise_for_status()

    assert admin.get("/v1/events", params={"after": before}).json()["items"] == []


def test_each_piece_has_its_own_outcome(admin: httpx.Client, worker: httpx.Client) -> None:
    ended, held = leased(admin, worker), None
    worker.post("/reports", json={"reports": [ended | {"type": "completed"}]}).raise_for_status()
    held = leased(admin, worker)
    unknown = {"task_id": NOBODY, "attempt": 1}

    answer = write(worker, *(one | {"text": "x"} for one in (ended, held, unknown)))

    outcomes = answer.json()["outcomes"]
    assert [one["accepted"] for one in outcomes] == [False, True, False]
    assert outcomes[0]["error"]["code"] == "stale_attempt"
    assert outcomes[2]["error"]["code"] == "not_found"


def test_a_repeated_request_is_handed_on_again_and_another_is_refused(
    service: Service, admin: httpx.Client, worker: httpx.Client
) -> None:
    attempt = leased(admin, worker)
    ear = listening(service, attempt["task_id"])
    key = {"Idempotency-Key": "1"}

    for _ in range(2):
        write(worker, attempt | {"text": "a"}, **key).raise_for_status()
    answer = write(worker, attempt | {"text": "b"}, **key)

    assert [message["text"] for message in ear.heard] == ["a", "a"]
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_the_largest_text_is_taken(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = leased(admin, worker)

    answer = write(worker, attempt | {"text": "x" * 65_536}, attempt | {"text": "ä" * 32_768})

    assert [one["accepted"] for one in answer.json()["outcomes"]] == [True, True]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"output": []},
        {"output": [{"task_id": NOBODY, "attempt": 1}]},
        {"output": [{"task_id": NOBODY, "attempt": 0, "text": "x"}]},
        {"output": [{"task_id": "x", "attempt": 1, "text": "x"}]},
        {"output": [{"task_id": NOBODY, "attempt": 1, "text": None}]},
        {"output": [{"task_id": NOBODY, "attempt": 1, "text": "x" * 65_537}]},
        {"output": [{"task_id": NOBODY, "attempt": 1, "text": "ä" * 32_769}]},
        {"output": [{"task_id": NOBODY, "attempt": 1, "text": "x", "sequence": 1}]},
        {"output": [{"task_id": NOBODY, "attempt": 1, "text": "x"}] * 1_001},
    ],
)
def test_what_makes_no_sense_is_refused(worker: httpx.Client, body: dict[str, Any]) -> None:
    answer = worker.post("/output", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


@pytest.mark.parametrize("text", [r"a\u0000b", r"\ud800", "\\x", "\x07"])
def test_what_is_no_text_is_refused(worker: httpx.Client, text: str) -> None:
    content = f'{{"output": [{{"task_id": "{NOBODY}", "attempt": 1, "text": "{text}"}}]}}'

    answer = worker.post("/output", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


def test_a_body_that_is_too_large_is_refused(worker: httpx.Client) -> None:
    pieces = [{"task_id": NOBODY, "attempt": 1, "text": "x" * 65_536}] * 17

    answer = write(worker, *pieces)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_retired_agent_writes_nothing_more(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = leased(admin, worker)
    agent_id = str(worker.base_url).rstrip("/").rpartition("/")[2]
    admin.post(f"/v1/agents/{agent_id}/retire").raise_for_status()

    answer = write(worker, attempt | {"text": "x"})

    assert answer.status_code in {401, 409}
